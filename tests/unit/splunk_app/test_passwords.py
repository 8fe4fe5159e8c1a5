"""Reading the gateway key from a real HTTPS server in splunkd's place."""

from __future__ import annotations

import datetime
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from demo.standins.splunkd_endpoint import SplunkdEndpoint
from scorer.wire import errors
from splunk_app.passwords import on_loopback, read_key
from tests.unit.wire.trickling_peer import TricklingPeer, json_answer

SESSION = "session"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A CA's PEM and a certificate named as Splunk's default is."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("SplunkServerDefaultCert")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "splunkd.pem"))
    return folder / "ca.pem", folder / "splunkd.pem"


@pytest.fixture
def splunkd(ca: tuple[Path, Path]) -> Iterator[SplunkdEndpoint]:
    with SplunkdEndpoint(SESSION, {"qscore:gateway:": " the-key\n", "qscore:empty:": ""}, ca[1]) as endpoint:
        yield endpoint


def test_the_key_is_read_with_the_searchs_session_key(splunkd: SplunkdEndpoint, ca: tuple[Path, Path]) -> None:
    assert read_key(splunkd.url, SESSION, str(ca[0]), "qscore", "gateway") == "the-key"
    assert splunkd.paths == ["/servicesNS/nobody/qscore/storage/passwords/qscore%3Agateway%3A?output_mode=json"]


def test_names_cannot_leave_their_place_in_the_path(splunkd: SplunkdEndpoint, ca: tuple[Path, Path]) -> None:
    with pytest.raises(errors.ConfigurationError, match="has no entry"):
        read_key(splunkd.url, SESSION, str(ca[0]), "../x", "y?z")
    assert splunkd.paths[0].endswith("/..%2Fx%3Ay%3Fz%3A?output_mode=json")


@pytest.mark.parametrize(
    ("failure", "error", "sentence"),
    [
        ("401", errors.Unauthorised, "session key"),
        ("403", errors.Forbidden, "list_storage_passwords"),
        ("404", errors.ConfigurationError, "has no entry qscore:gateway"),
        ("500", errors.Unreachable, "splunkd answered 500"),
        ("not_json", errors.NonsenseReply, "holds no password"),
    ],
)
def test_every_refusal_says_what_to_do(
    splunkd: SplunkdEndpoint, ca: tuple[Path, Path], failure: str, error: type[errors.QScoreError], sentence: str
) -> None:
    splunkd.failure = failure
    with pytest.raises(error, match=sentence):
        read_key(splunkd.url, SESSION, str(ca[0]), "qscore", "gateway")


def test_a_wrong_session_key_and_an_empty_password(splunkd: SplunkdEndpoint, ca: tuple[Path, Path]) -> None:
    with pytest.raises(errors.Unauthorised):
        read_key(splunkd.url, "other", str(ca[0]), "qscore", "gateway")
    with pytest.raises(errors.NonsenseReply, match="holds no password for qscore:empty"):
        read_key(splunkd.url, SESSION, str(ca[0]), "qscore", "empty")


def test_a_splunkd_that_hangs(splunkd: SplunkdEndpoint, ca: tuple[Path, Path]) -> None:
    splunkd.failure = "hang"
    with pytest.raises(errors.ScoringTimeout, match=r"splunkd https://127\.0\.0\.1:\d+ did not answer within 0\.3 s"):
        read_key(splunkd.url, SESSION, str(ca[0]), "qscore", "gateway", timeout=0.3)


def test_a_splunkd_that_trickles_is_left_at_the_deadline(ca: tuple[Path, Path]) -> None:
    """A byte every 50 ms never lets a receive time out; the head of the answer alone would take three seconds."""
    answer = json_answer(b'{"entry": [{"content": {"clear_password": "the-key"}}]}')
    with TricklingPeer(ca[1], answer) as peer, pytest.raises(errors.ScoringTimeout, match=r"within 0\.5 s"):
        read_key(peer.url, SESSION, str(ca[0]), "qscore", "gateway", timeout=0.5)
    assert 0 < peer.sent < answer.index(b"\r\n\r\n")


def test_nobody_listens(ca: tuple[Path, Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(errors.Unreachable, match="no connection to splunkd") as caught:
            read_key(f"https://127.0.0.1:{port}", SESSION, str(ca[0]), "qscore", "gateway")
    assert "gateway" not in caught.value.sentence()


def test_what_does_not_speak_http(ca: tuple[Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(errors.Unreachable, match="no TLS with splunkd"):
            read_key(f"https://127.0.0.1:{server.getsockname()[1]}", SESSION, str(ca[0]), "qscore", "gateway")
        thread.join()


def test_another_authority_is_refused_on_loopback_too(splunkd: SplunkdEndpoint, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with pytest.raises(errors.Unreachable, match=r"certificate of splunkd .* was not accepted"):
        read_key(splunkd.url, SESSION, str(tmp_path / "other.pem"), "qscore", "gateway")
    assert splunkd.paths == []


def test_only_loopback_may_carry_another_name(splunkd: SplunkdEndpoint, ca: tuple[Path, Path]) -> None:
    """0.0.0.0 reaches the same server under an address that is none of the loopback interface."""
    elsewhere = splunkd.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104
    with pytest.raises(errors.Untrusted, match="not accepted"):
        read_key(elsewhere, SESSION, str(ca[0]), "qscore", "gateway")
    assert splunkd.paths == []
    localhost = splunkd.url.replace("127.0.0.1", "localhost")
    assert read_key(localhost, SESSION, str(ca[0]), "qscore", "gateway") == "the-key"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost"])
def test_what_is_loopback(host: str) -> None:
    assert on_loopback(f"https://{host}:8089")


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "search-head.example", "localhost.example", "0.0.0.0", "127.0.0.1.example", "", "["],  # noqa: S104
)
def test_what_is_not_loopback(host: str) -> None:
    assert not on_loopback(f"https://{host}:8089")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:8089", "", "127.0.0.1:8089", "https://", "https://[", "https://a:b"])
def test_no_key_over_anything_but_https(ca: tuple[Path, Path], uri: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="of splunkd is not of the form https"):
        read_key(uri, SESSION, str(ca[0]), "qscore", "gateway")


@pytest.mark.parametrize("session", ["", "a\r\nX-Other: b", "é", "\x00"])
def test_a_session_key_that_cannot_be_one_is_not_sent(ca: tuple[Path, Path], session: str) -> None:
    with pytest.raises(errors.Unauthorised, match="no session key"):
        read_key("https://127.0.0.1:1", session, str(ca[0]), "qscore", "gateway")


def test_a_missing_authority_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"/nowhere/cacert\.pem cannot be used"):
        read_key("https://127.0.0.1:1", SESSION, "/nowhere/cacert.pem", "qscore", "gateway")


def test_an_authority_as_old_as_splunks_is_accepted(tmp_path: Path) -> None:
    """Splunk's default authority has none of the extensions that VERIFY_X509_STRICT (Python 3.13) demands."""
    old_ca, leaf = tmp_path / "cacert.pem", tmp_path / "server.pem"
    _issue_old_style(old_ca, leaf)
    with SplunkdEndpoint(SESSION, {"qscore:gateway:": "the-key"}, leaf) as endpoint:
        assert read_key(endpoint.url, SESSION, str(old_ca), "qscore", "gateway") == "the-key"


def _issue_old_style(ca_path: Path, leaf_path: Path) -> None:
    ca_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SplunkCommonCA")])
    leaf_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SplunkServerDefaultCert")])
    now = datetime.datetime.now(datetime.UTC)

    def issue(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    constraints = x509.BasicConstraints(ca=True, path_length=None)
    ca = issue(ca_name, ca_key).add_extension(constraints, critical=False).sign(ca_key, hashes.SHA256())
    leaf = issue(leaf_name, leaf_key).sign(ca_key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    ca_path.write_bytes(ca.public_bytes(pem))
    private = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    leaf_path.write_bytes(private + leaf.public_bytes(pem))
