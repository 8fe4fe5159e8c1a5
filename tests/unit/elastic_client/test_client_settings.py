"""Settings become a client, or one sentence that names the setting."""

from __future__ import annotations

import base64
import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from scorer.elastic_client.client import connect, server_info
from scorer.elastic_client.lookup import backing_indices, existing_ids
from scorer.elastic_client.settings import ElasticSettings, ElasticSource, check_source_pattern
from scorer.service.settings import load_settings
from scorer.wire.errors import ConfigurationError, NonsenseReply, QScoreError, Unreachable
from tests.serving import serving
from tests.unit.elastic_client.servers import Canned, scripted_server

INFO = {"cluster_name": "c", "cluster_uuid": "u", "version": {"number": "8.19.8", "build_flavor": "default"}}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text("a2V5OnNlY3JldA==\n")
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": ""}, "elastic.url is empty"),
        ({"url": "http://elastic.example:9200"}, "unencrypted"),
        ({"url": "ftp://h"}, "is not https"),
        ({"url": "https://u:p@h:9200"}, "elastic.api_key_file"),
        ({"api_key_file": None}, "elastic.api_key_file is not set"),
        ({"api_key_file": Path("/nowhere/key")}, "cannot be read"),
        ({"url": "https://h:9200", "ca_file": Path("/nowhere/ca.pem")}, "elastic.ca_file"),
        ({"url": "https://h:9200", "proxy": "socks5://p:1"}, "elastic.proxy"),
    ],
)
def test_settings_that_make_no_client_are_named(key: Path, changes: dict[str, Any], says: str) -> None:
    settings = ElasticSettings(**{"url": "http://127.0.0.1:1", "api_key_file": key, **changes})
    with pytest.raises(ConfigurationError) as caught:
        connect(settings)
    assert says in caught.value.sentence()


def test_a_key_that_others_may_read_is_refused(key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        connect(ElasticSettings(url="https://h:9200", api_key_file=key))


def test_the_server_says_what_it_is(key: Path) -> None:
    with scripted_server(lambda *_: Canned(200, INFO)) as url:
        info = server_info(connect(ElasticSettings(url=url, api_key_file=key)))
    assert (info.number, info.serverless) == ("8.19.8", False)


@pytest.mark.parametrize(
    ("canned", "error", "says"),
    [
        (Canned(200, {"version": 5}), NonsenseReply, "no version"),
        (Canned(200, b"<html>"), NonsenseReply, "has no version"),
        (Canned(200, {}, product=False), ConfigurationError, "OpenSearch"),
        (Canned(401, {"error": {"type": "security_exception", "reason": "no"}}), QScoreError, "elastic.api_key_file"),
        (
            Canned(403, {"error": {"type": "security_exception", "reason": "no"}}),
            QScoreError,
            "cluster privilege monitor",
        ),
        (
            Canned(400, {"error": {"type": "media_type_header_exception", "reason": "compatible-with=9"}}),
            ConfigurationError,
            "pip install 'elasticsearch>=8.19,<9'",
        ),
    ],
)
def test_every_failure_is_one_sentence(key: Path, canned: Canned, error: type[QScoreError], says: str) -> None:
    with scripted_server(lambda *_: canned) as url:
        client = connect(ElasticSettings(url=url, api_key_file=key))
        with pytest.raises(error) as caught:
            server_info(client)
    assert says in caught.value.sentence()


def test_indices_that_were_moved_by_an_upgrade_still_belong_to_their_stream(key: Path) -> None:
    """Searchable snapshots prefix a name; the reindexing before an upgrade to Elasticsearch 9 puts one into its dot."""
    names = [f"{before}ds-logs-qscore.scores-t-2026.01.0{day}-00000{day}" for day, before in enumerate(
        (".", "partial-.", ".migrated-"), 1
    )]  # fmt: skip
    answer = {name: {"settings": {"index.creation_date": f"{at}000"}} for at, name in enumerate(names, 1)}
    with scripted_server(lambda *_: Canned(200, answer)) as url:
        client = connect(ElasticSettings(url=url, api_key_file=key))
        assert [index.name for index in backing_indices(client, "logs-qscore.scores-t")] == names


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([], NonsenseReply),
        ({".ds-logs-qscore.scores-t-1": {}}, NonsenseReply),
        ({"logs-qscore.scores-t": {"settings": {"index.creation_date": "1"}}}, ConfigurationError),
    ],
)
def test_indices_that_are_no_streams_are_refused(key: Path, answer: Any, error: type[QScoreError]) -> None:
    with scripted_server(lambda *_: Canned(200, answer)) as url:
        client = connect(ElasticSettings(url=url, api_key_file=key))
        with pytest.raises(error):
            backing_indices(client, "logs-qscore.scores-t")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"docs": []},
        {"docs": [{"_id": "b", "found": True}]},
        {"docs": [{"_id": "a", "found": "yes"}]},
        {"docs": [7]},
    ],
)
def test_a_look_up_that_is_not_answered_for_each_id_counts_for_none(key: Path, answer: Any) -> None:
    with scripted_server(lambda *_: Canned(200, answer)) as url:
        client = connect(ElasticSettings(url=url, api_key_file=key))
        with pytest.raises(NonsenseReply):
            existing_ids(client, ["i"], ["a"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A TLS server that asks its clients for a certificate of the authority and answers as Elasticsearch."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"version":{"number":"8.19.8"}}'
            self.send_response(200)
            for name, value in (
                ("X-Elastic-Product", "Elasticsearch"),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue_cert("127.0.0.1", "localhost")
    # With the authority's own certificate at the end of the chain, as Elasticsearch sends it.
    chain = tmp_path_factory.mktemp("tls") / "chain.pem"
    chain.write_bytes(issued.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes())
    context.load_cert_chain(chain)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(Handler, context) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, Path]:
    found = {"ca_file": tmp_path / "ca.pem", "client_certificate": tmp_path / "c.pem", "client_key": tmp_path / "k.pem"}
    authority.cert_pem.write_to_path(str(found["ca_file"]))
    issued = authority.issue_cert("connector.example")
    issued.cert_chain_pems[0].write_to_path(str(found["client_certificate"]))
    issued.private_key_pem.write_to_path(str(found["client_key"]))
    return found


def test_both_sides_are_verified(tls_server: str, key: Path, files: dict[str, Path]) -> None:
    assert server_info(connect(ElasticSettings(url=tls_server, api_key_file=key, **files))).number == "8.19.8"


def test_a_fingerprint_stands_for_the_file(tls_server: str, key: Path, files: dict[str, Path]) -> None:
    digest = sha256(ssl.PEM_cert_to_DER_cert(files.pop("ca_file").read_text())).hexdigest().upper()
    coloned = ":".join(digest[at : at + 2] for at in range(0, 64, 2))
    settings = ElasticSettings(url=tls_server, api_key_file=key, ca_fingerprint=coloned, **files)
    assert server_info(connect(settings)).number == "8.19.8"


def test_a_server_that_asks_for_a_certificate_gets_none_unless_told(
    tls_server: str, key: Path, files: dict[str, Path]
) -> None:
    settings = ElasticSettings(url=tls_server, api_key_file=key, ca_file=files["ca_file"])
    with pytest.raises(Unreachable):
        server_info(connect(settings))


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """An HTTP proxy that tunnels; its address and what it was asked for: targets, and logins after them."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().split()[1])
            host, _, port = asked[-1].rpartition(":")
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"proxy-authorization:"):
                    asked.append(line.decode().split(":", 1)[1].strip())
            with socket.create_connection((host, int(port)), timeout=10) as upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
                back.start()
                _copy(self.connection, upstream)
                back.join(10)

    with serving(Handler, http=False) as port:
        yield f"http://127.0.0.1:{port}", asked


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_proxy_gets_the_login_that_its_address_names(
    tls_server: str, key: Path, files: dict[str, Path], proxy: tuple[str, list[str]]
) -> None:
    address, asked = proxy
    named = address.replace("http://", "http://soc:p%40ss@")
    client = connect(ElasticSettings(url=tls_server, api_key_file=key, proxy=named, **files))
    assert server_info(client).number == "8.19.8"
    client.close()
    assert asked[1:] == ["Basic " + base64.b64encode(b"soc:p@ss").decode()]
    with pytest.raises(ConfigurationError) as raised:
        connect(ElasticSettings(url=tls_server, api_key_file=key, proxy="socks5://soc:p%40ss@proxy:1080", **files))
    assert "p%40ss" not in raised.value.sentence()


def test_the_way_through_a_proxy_is_verified_end_to_end(
    tls_server: str, key: Path, files: dict[str, Path], proxy: tuple[str, list[str]]
) -> None:
    address, asked = proxy
    client = connect(ElasticSettings(url=tls_server, api_key_file=key, proxy=address, **files))
    assert server_info(client).number == "8.19.8"
    assert asked == [tls_server.removeprefix("https://")]
    client.close()
    untrusted = {name: path for name, path in files.items() if name != "ca_file"}
    with pytest.raises(Unreachable):
        server_info(connect(ElasticSettings(url=tls_server, api_key_file=key, proxy=address, **untrusted)))


@pytest.mark.parametrize("wrong", [{}, {"ca_fingerprint": "ab" * 32}])
def test_an_unknown_authority_is_not_trusted(tls_server: str, key: Path, wrong: dict[str, str]) -> None:
    client = connect(ElasticSettings(url=tls_server, api_key_file=key, **wrong))
    with pytest.raises(Unreachable) as caught:
        server_info(client)
    assert "elastic.ca_file" in caught.value.sentence()


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("winlogbeat-*", True),
        ("logs-system.*", True),
        ("logs-*,-logs-qscore.*", True),
        ("rem:logs-system.*", False),
        ("logs-*", False),
        ("*", False),
        ("_all", False),
        ("", False),
        ("-logs-qscore.*,logs-*", False),
        ("rem:logs-*,-logs-qscore.*", False),
        ("logs-*,-logs-qscore.scores-default", False),
        ("logs-qscore.scores-prod", False),
        (".ds-logs-*", False),
        ("*" * 200 + "x" * 56, False),
        ("<logs-{now/d}>", False),
    ],
)
def test_a_source_never_reads_the_scores(pattern: str, allowed: bool) -> None:
    if allowed:
        assert check_source_pattern(pattern) == pattern
        return
    with pytest.raises(ValueError, match=r"logs-qscore|no index pattern|another cluster"):
        check_source_pattern(pattern)


def test_sources_come_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    (tmp_path / "qscore.toml").write_text(
        'sink = "elastic"\n[elastic]\nurl = "https://h:9200"\n[[elastic.sources]]\nname = "dc"\nindex = "logs-a*"\n'
        'model = "lateral"\ncopy = ["host.os.name"]\nnamespace = "lab"\n[elastic.sources.fields]\n'
        'user = "winlog.user"\nsrc = ["a", "b"]\n'
    )
    settings = load_settings()
    source = settings.elastic.sources[0]
    assert source.fields == {"user": ("winlog.user",), "src": ("a", "b")}
    assert (source.copy_fields, settings.elastic.namespace_of(source)) == (("host.os.name",), "lab")
    assert settings.delivers


@pytest.mark.parametrize(
    "wrong",
    [
        {"namespace": "a-b"},
        {"url": "https://h", "cloud_id": "x:y"},
        {"client_key": "k.pem"},
        {"ca_fingerprint": "zz"},
        {"sources": [{"name": "a", "index": "x", "model": "m"}] * 2},
        {"sources": [{"name": "A", "index": "x", "model": "m"}]},
        {"sources": [{"name": "a", "index": "x", "model": "No Model"}]},
        {"sources": [{"name": "a", "index": "x", "model": "m", "version": "../1"}]},
    ],
)
def test_wrong_sections_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ElasticSettings(**wrong)


def test_a_source_needs_its_parts() -> None:
    with pytest.raises(ValidationError):
        ElasticSource.model_validate({"name": "a", "index": "logs-a"})
