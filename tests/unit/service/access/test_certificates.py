"""Callers known by a client certificate: names in one form, matched whole."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from scorer.service.access.door.certificates import check_name, read_certificate
from scorer.wire.errors import BadOption, Unauthorised

NOW = dt.datetime.now(dt.UTC)
SUBJECT = [(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Example, Ltd"), (NameOID.COMMON_NAME, "search-1")]


def certificate(names: tuple[x509.GeneralName, ...] = (), days: int = 30) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in SUBJECT])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(NOW - dt.timedelta(days=60))
    builder = builder.not_valid_after(NOW + dt.timedelta(days=days))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_every_form_of_a_name_is_known() -> None:
    alternatives = (
        x509.DNSName("Search-1.SOC.example"),
        x509.UniformResourceIdentifier("spiffe://soc/search-1"),
        x509.RFC822Name("ops@soc.example"),
    )
    der = certificate(alternatives)
    names = read_certificate(der).names
    digest = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()
    pairs = ":".join(digest[k : k + 2] for k in range(0, 64, 2)).upper()
    for text in (
        f"sha256:{digest}",
        f"SHA256:{pairs}",
        "dns:search-1.soc.example",
        "DNS:search-1.SOC.example",
        "uri:spiffe://soc/search-1",
        "email:ops@soc.example",
        "CN=search-1,O=Example\\, Ltd,C=DE",
    ):
        assert check_name(text) in names, text


@pytest.mark.parametrize(
    "text",
    [
        "CN=search-1",
        "CN=search-1,O=Example\\, Ltd",
        "CN=search-1,C=DE,O=Example\\, Ltd",
        "dns:search-1",
        "dns:soc.example",
    ],
)
def test_a_part_of_a_name_is_none(text: str) -> None:
    assert check_name(text) not in read_certificate(certificate((x509.DNSName("search-1.soc.example"),))).names


def test_a_subject_is_no_alternative_name_and_the_other_way_round() -> None:
    assert check_name("dns:search-1") not in read_certificate(certificate()).names
    other = certificate((x509.IPAddress(ip_address("10.0.0.1")),))
    assert check_name("dns:10.0.0.1") not in read_certificate(other).names


@pytest.mark.parametrize(
    "text", ["", "search-1", "sha256:12", "dns:", "dns:a b", "uri:", "=x", "CN=", "x=y", "CN=a,,", "ip:1"]
)
def test_what_names_no_certificate(text: str) -> None:
    with pytest.raises(BadOption, match="names no certificate"):
        check_name(text)


def test_an_ended_certificate_and_one_that_cannot_be_read() -> None:
    read_certificate(certificate()).check_alive()
    with pytest.raises(Unauthorised, match="has ended"):
        read_certificate(certificate(days=-1)).check_alive()
    for der in (b"", b"\x30\x03\x02\x01\x01", certificate()[:-40]):
        with pytest.raises(Unauthorised, match="cannot be read"):
            read_certificate(der)
