"""The local certificate authority: made on first use, it signs the gateway's certificate.

<home>/tls/ca.pem         give this one to whoever calls the gateway (ca_file)
<home>/tls/ca_key.pem     mode 0600, never leaves the host
<home>/tls/server.pem     server_key.pem (0600): renewed by themselves
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock

from scorer.files import read_file
from scorer.service.access.api_keys import write_private
from scorer.service.queue.broker import private_dir
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError

_CA_LIFE = dt.timedelta(days=3650)
_SERVER_LIFE = dt.timedelta(days=397)  # the longest that common verifiers accept of a leaf
#: Bytes of a certificate with its chain, or of a key.
_PEM_CAP = 1024 * 1024
RENEW_BEFORE = dt.timedelta(days=30)
_SKEW = dt.timedelta(minutes=5)  # clocks of callers may run behind


@dataclass(frozen=True)
class TlsFiles:
    """PEM files of a server. ``ca`` is None where the certificate came from somebody else's authority."""

    certificate: Path
    private_key: Path
    ca: Path | None


@dataclass(frozen=True)
class Authority:
    """A certificate authority in memory."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey

    def issue(
        self, hostnames: Sequence[str], purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH
    ) -> tuple[bytes, bytes]:
        """Make certificate and private key (PEM) of a server with these DNS names or addresses, or of a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(hostnames[0][:64]), self.certificate.subject, key.public_key(), _SERVER_LIFE)
        for extension, critical in self._leaf_extensions(key.public_key(), hostnames, purpose):
            builder = builder.add_extension(extension, critical)
        signed = builder.sign(self.private_key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM), _pem(key)

    def _leaf_extensions(
        self, key: ec.EllipticCurvePublicKey, hostnames: Sequence[str], purpose: x509.ObjectIdentifier
    ) -> list[tuple[x509.ExtensionType, bool]]:
        return [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.SubjectAlternativeName([_alternative(name) for name in hostnames]), False),
            (x509.SubjectKeyIdentifier.from_public_key(key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key()), False),
        ]


def new_authority() -> Authority:
    """Make a fresh self-signed authority that can sign servers and clients, and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("qscore local authority")
    builder = _builder(name, name, key.public_key(), _CA_LIFE)
    signed = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(_usage(signs_certificates=True), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    return Authority(signed, key)


def load_or_create_authority(folder: Path) -> Authority:
    """Load the authority in ``folder``, or make it there. Raises ConfigurationError when it is damaged."""
    certificate, key = folder / "ca.pem", folder / "ca_key.pem"
    if certificate.is_file() and key.is_file():
        return _loaded(certificate, key)
    authority = new_authority()
    write_private(key, _pem(authority.private_key))
    write_private(certificate, authority.certificate.public_bytes(serialization.Encoding.PEM))
    certificate.chmod(0o644)
    return authority


def local_client_file(settings: Settings) -> Path | None:
    """Find the client certificate, with its key, of the commands on this machine; made anew at each call.

    None where callers need none. The local authority is made with it where it is missing.
    """
    if settings.gateway.client_certificates != "required":
        return None
    folder = private_dir(settings.tls_dir)
    with FileLock(folder / ".lock", mode=0o600):
        certificate, key = load_or_create_authority(folder).issue(["local.qscore"], ExtendedKeyUsageOID.CLIENT_AUTH)
        private_dir(settings.local_client.parent)
        write_private(settings.local_client, certificate + key)
    return settings.local_client


def server_files(settings: Settings) -> TlsFiles:
    """Find the gateway's certificate: the configured one, or one of the local authority, renewed when it is time."""
    gateway = settings.gateway
    if gateway.certificate is not None or gateway.private_key is not None:
        return _configured(gateway.certificate, gateway.private_key)
    folder = private_dir(settings.tls_dir)
    files = TlsFiles(folder / "server.pem", folder / "server_key.pem", folder / "ca.pem")
    with FileLock(folder / ".lock", mode=0o600):
        authority = load_or_create_authority(folder)
        if not _current(files, authority, gateway.hostnames):
            certificate, key = authority.issue(gateway.hostnames)
            write_private(files.private_key, key)
            write_private(files.certificate, certificate)
    return files


def _configured(certificate: Path | None, key: Path | None) -> TlsFiles:
    if certificate is None or key is None:
        raise ConfigurationError(
            "only one of gateway.certificate and gateway.private_key is set", "Set both, or neither."
        )
    for path in (certificate, key):
        if not path.expanduser().is_file():
            raise ConfigurationError(f"{path} is not a file", "Name the PEM file, or unset it for the local authority.")
        read_file(path.expanduser(), _PEM_CAP, ConfigurationError)
    return TlsFiles(certificate.expanduser(), key.expanduser(), None)


def _current(files: TlsFiles, authority: Authority, hostnames: Sequence[str]) -> bool:
    """Tell whether the server's certificate is this authority's, names these hosts and lasts long enough."""
    if not (files.certificate.is_file() and files.private_key.is_file()):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # whatever is wrong with it, a new one is right; cryptography raises many kinds here
        return False
    wanted = {_alternative(name) for name in hostnames}
    return set(names) == wanted and certificate.not_valid_after_utc - _now() > RENEW_BEFORE


def _loaded(certificate: Path, key: Path) -> Authority:
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
        public = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (ValueError, TypeError):
        private, public = None, None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or public is None:
        raise ConfigurationError(
            f"the local authority in {certificate.parent} is damaged",
            "Remove ca.pem and ca_key.pem for a new one, and give the new ca.pem to every caller.",
        )
    return Authority(public, private)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: dt.timedelta
) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "qscore"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
