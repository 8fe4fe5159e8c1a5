"""What the gateway speaks: TLS 1.2 and later, to those who know its authority, and nothing else."""

from __future__ import annotations

import contextlib
import ssl
import warnings

import pytest

from tests.unit.service.gateway.wire.conftest import Line, Served

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def of_version(served: Served, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A client that speaks one version alone, however weak."""
    context = served.context()
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the old versions, which are meant
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(served: Served, version: ssl.TLSVersion) -> None:
    context = of_version(served, version)
    with served.bare() as bare, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(bare, server_hostname="localhost")


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_versions_of_today_are_spoken(served: Served, version: ssl.TLSVersion, name: str) -> None:
    context = of_version(served, version, "DEFAULT")
    with served.bare() as bare, context.wrap_socket(bare, server_hostname="localhost") as secured:
        assert secured.version() == name
        assert secured.compression() is None
        line = Line(secured)
        line.say(ASK)
        assert line.answer().status == 200


@pytest.mark.parametrize("ciphers", ["aNULL:@SECLEVEL=0", "eNULL:@SECLEVEL=0", "AES128-SHA:@SECLEVEL=0"])
def test_ciphers_without_a_secret_of_their_own_are_refused(served: Served, ciphers: str) -> None:
    try:
        context = of_version(served, ssl.TLSVersion.TLSv1_2, ciphers)
    except ssl.SSLError:
        pytest.skip(f"this OpenSSL has no {ciphers}")
    with served.bare() as bare, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(bare, server_hostname="localhost")


@pytest.mark.parametrize(
    "content",
    [
        ASK,
        b"\x00" * 64,
        b"\x80\x2e\x01\x00\x02" + b"\x00" * 60,  # a hello of SSL 2
        b"\x17\x03\x03\x00\x10" + b"\x00" * 16,  # data before any handshake
        b"\x16\x03\x01\xff\xff" + b"\x00" * 64,  # a record that is too long
        b"\x16\x03\x01\x00\x00" + b"\x00" * 64,  # one that holds nothing
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff" + b"\x00" * 64,  # a hello of 16 MB
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n" + ASK,
    ],
    ids=["plain HTTP", "zeros", "SSL 2", "data", "long record", "empty record", "long hello", "proxy line"],
)
def test_what_is_no_tls_is_not_answered_and_its_connection_ends(served: Served, content: bytes) -> None:
    with served.bare() as bare:
        bare.sendall(content)
        bare.settimeout(15.0)
        said = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := bare.recv(4096):
                said += piece
    assert b"HTTP" not in said
    assert said[:1] in (b"", b"\x15")  # nothing, or an alert of TLS
    assert served.ask("GET", b"/healthz").status == 200


def test_who_does_not_know_the_authority_says_nothing(served: Served) -> None:
    with served.bare() as bare, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(bare, server_hostname="localhost")
    with served.bare() as bare, pytest.raises(ssl.SSLCertVerificationError):
        served.context().wrap_socket(bare, server_hostname="another.example")
