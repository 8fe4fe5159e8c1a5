"""Answers that do not end: declared, in chunks, or packed; none fills memory, and the connection is usable on."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from scorer.elastic_client.bounded import ANSWER_BYTES
from scorer.elastic_client.client import connect, server_info
from scorer.elastic_client.failures import AnswerTooLarge
from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.errors import Unreachable
from tests.serving import serving

_INFO = b'{"version":{"number":"8.19.8"}}'
_BLOCK = b" " * (1024 * 1024)
_ENDLESS = 4096  # blocks, that is 4 GiB: nobody reads to the end
_PACKED = gzip.compress(_BLOCK * (2 * ANSWER_BYTES // len(_BLOCK)), 1)


class Talker(BaseHTTPRequestHandler):
    """Answers in the manner that the class attribute ``manner`` names."""

    protocol_version = "HTTP/1.1"
    manner = "plain"
    said = 0

    def do_GET(self) -> None:
        type(self).said = 0
        self.send_response(200)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        try:
            getattr(self, "_" + self.manner)()
        except OSError:  # it was hung up
            self.close_connection = True

    def _plain(self) -> None:
        self._whole(_INFO)

    def _whole(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _declared(self) -> None:
        self.send_header("Content-Length", str(_ENDLESS * len(_BLOCK)))
        self.end_headers()
        for _ in range(_ENDLESS):
            self.wfile.write(_BLOCK)
            type(self).said += 1

    def _chunks(self) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self._chunked()

    def _both(self) -> None:
        """A length that is not the length: the chunks count."""
        self.send_header("Content-Length", "5")
        self._chunks()

    def _no_length(self) -> None:
        """A length beyond all numbers, which http.client takes for none: until the connection ends."""
        self.send_header("Content-Length", "0" * 30 + "9" * 5000)
        self.close_connection = True
        self.end_headers()
        for _ in range(_ENDLESS):
            self.wfile.write(_BLOCK)
            type(self).said += 1

    def _chunked(self) -> None:
        self.end_headers()
        for _ in range(_ENDLESS):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK))
            type(self).said += 1
        self.wfile.write(b"0\r\n\r\n")

    def _packed(self) -> None:
        """A small answer that becomes a large one."""
        self.send_header("Content-Encoding", "gzip")
        self._whole(_PACKED)

    def _cut(self) -> None:
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(_INFO)
        self.close_connection = True

    def _small_packed(self) -> None:
        self.send_header("Content-Encoding", "gzip")
        self._whole(gzip.compress(_INFO))

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Elasticsearch]:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("a2V5OnNlY3JldA==\n")
    with serving(Talker) as port:
        made = connect(ElasticSettings(url=f"http://127.0.0.1:{port}", api_key_file=key, timeout=5))
        with contextlib.closing(made):
            yield made


@pytest.mark.parametrize("manner", ["declared", "chunks", "both", "no_length", "packed"])
def test_an_answer_without_end_is_cut_off_and_named(
    client: Elasticsearch, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Talker, "manner", manner)
    with pytest.raises(AnswerTooLarge) as caught:
        server_info(client)
    assert "larger than 64 MiB" in caught.value.detail
    assert "something between here and Elasticsearch" in caught.value.remedy
    assert Talker.said * len(_BLOCK) < 2 * ANSWER_BYTES, "the rest was not read"
    monkeypatch.setattr(Talker, "manner", "plain")
    assert server_info(client).number == "8.19.8"


def test_what_was_cut_off_takes_no_connection_away(client: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Talker, "manner", "declared")
    for _ in range(9):  # more often than there are connections
        with pytest.raises(AnswerTooLarge):
            server_info(client)


def test_a_packed_answer_of_ordinary_size_is_read(client: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Talker, "manner", "small_packed")
    assert server_info(client).number == "8.19.8"


def test_an_answer_that_breaks_off_is_no_answer(client: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Talker, "manner", "cut")
    with pytest.raises(Unreachable):
        server_info(client)
