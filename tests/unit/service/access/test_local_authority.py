"""The local certificate authority: what it signs, when it signs again."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509

from scorer.service.access import authority as tls
from scorer.service.settings import GatewaySettings, Settings, load_settings
from scorer.wire.errors import ConfigurationError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _handshake(files: tls.TlsFiles, hostname: str) -> None:
    """A strict client against a server with these files, over a socket pair; raises what verification raises."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.private_key)
    client = ssl.create_default_context(cafile=files.ca)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT  # the default from Python 3.13 on
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            try:
                server.wrap_socket(theirs, server_side=True).close()
            except OSError:
                return  # the client refused, which the caller sees

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours, client.wrap_socket(ours, server_hostname=hostname):
            pass
    finally:
        thread.join()


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1"])
def test_strict_clients_accept_the_certificate_for_its_names(settings: Settings, hostname: str) -> None:
    _handshake(tls.server_files(settings), hostname)


def test_clients_refuse_it_for_another_name(settings: Settings) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tls.server_files(settings), "splunk.example")


def test_private_keys_are_private(settings: Settings) -> None:
    tls.server_files(settings)
    for name in ("ca_key.pem", "server_key.pem"):
        assert (settings.tls_dir / name).stat().st_mode & 0o777 == 0o600
    assert settings.tls_dir.stat().st_mode & 0o777 == 0o700


def test_nothing_changes_while_the_certificate_is_good(settings: Settings) -> None:
    before = tls.server_files(settings).certificate.read_bytes()
    assert tls.server_files(settings).certificate.read_bytes() == before


@pytest.mark.parametrize("names", ["[]", '[""]', '["bücher.example"]', '["a b"]'])
def test_hostnames_that_no_certificate_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setenv("QSCORE_GATEWAY__HOSTNAMES", names)
    with pytest.raises(ConfigurationError, match=r"gateway\.hostnames"):
        load_settings()


def test_other_hostnames_give_another_certificate_of_the_same_authority(settings: Settings) -> None:
    first = tls.server_files(settings)
    authority = (settings.tls_dir / "ca.pem").read_bytes()
    more = settings.model_copy(update={"gateway": GatewaySettings(hostnames=("gateway.example", "10.0.0.7"))})
    second = tls.server_files(more)
    names = _certificate(second.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert (settings.tls_dir / "ca.pem").read_bytes() == authority
    assert first.certificate == second.certificate


def test_a_certificate_near_its_end_is_renewed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    old = _certificate(tls.server_files(settings).certificate)
    later = old.not_valid_after_utc - tls.RENEW_BEFORE + dt.timedelta(hours=1)
    monkeypatch.setattr(tls, "_now", lambda: later)
    new = _certificate(tls.server_files(settings).certificate)
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc > old.not_valid_after_utc


def test_a_damaged_certificate_is_replaced_and_a_damaged_authority_named(settings: Settings) -> None:
    files = tls.server_files(settings)
    files.certificate.write_text("nonsense")
    _handshake(tls.server_files(settings), "localhost")
    (settings.tls_dir / "ca_key.pem").write_text("nonsense")
    with pytest.raises(ConfigurationError, match=r"authority in .* is damaged"):
        tls.server_files(settings)


def test_own_certificates_are_used_as_they_are(settings: Settings, tmp_path: Path) -> None:
    pair = tmp_path / "own.pem", tmp_path / "own_key.pem"
    for path in pair:
        path.write_text("PEM")
    own = settings.model_copy(update={"gateway": GatewaySettings(certificate=pair[0], private_key=pair[1])})
    assert tls.server_files(own) == tls.TlsFiles(*pair, ca=None)
    half = settings.model_copy(update={"gateway": GatewaySettings(certificate=pair[0])})
    with pytest.raises(ConfigurationError, match="only one of"):
        tls.server_files(half)
