"""The five clients that send a key to a server: the gateway's, splunkd's, HEC's, Elasticsearch's and Kibana's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from elasticsearch import Elasticsearch

from elastic_connector.install.kibana import Kibana, KibanaLogin
from scorer.delivery.hec.http import HecClient
from scorer.delivery.hec.sink import HecSink
from scorer.elastic_client.client import connect, server_info
from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.client import GatewayClient
from splunk_app.passwords import read_key
from tests.unit.delivery.builders import make_rows

#: Seconds that a client gives an exchange in these tests.
TIMEOUT = 0.8
SECRET = "a2V5OnNlY3JldC1vZi1hLXRlc3Q="


@dataclass(frozen=True)
class Tls:
    """``authority``: PEM; ``server``: PEM of a key and a certificate for 127.0.0.1 and localhost."""

    authority: Path
    server: Path


#: Asks a server once, with a secret. Raises QScoreError, as they all do, where nothing came of it.
Ask = Callable[[str, Path, Path, float], object]


def ask_gateway(url: str, authority: Path, _folder: Path, timeout: float) -> object:
    with GatewayClient(url, SECRET, str(authority), timeout) as client:
        return client.score("lateral", b"events\n1\n", 1)


def ask_splunkd(url: str, authority: Path, _folder: Path, timeout: float) -> object:
    return read_key(url, SECRET, str(authority), "qscore", "gateway", timeout)


def ask_hec(url: str, authority: Path, _folder: Path, timeout: float) -> object:
    outcome = HecSink(HecClient(url, SECRET, authority, timeout), "qscore", 10_000).send(make_rows(2))
    if outcome.fault is not None:
        assert outcome.taken == 0, "what was not answered for counts as sent"
        raise outcome.fault
    return outcome


def elastic_client(url: str, authority: Path, folder: Path, timeout: float) -> Elasticsearch:
    key = folder / "elastic.key"
    key.touch(mode=0o600)
    key.write_text(SECRET)
    return connect(ElasticSettings(url=url, api_key_file=key, ca_file=authority, timeout=timeout))


def ask_elastic(url: str, authority: Path, folder: Path, timeout: float) -> object:
    with contextlib.closing(elastic_client(url, authority, folder, timeout)) as client:
        return server_info(client)


def ask_kibana(url: str, authority: Path, _folder: Path, timeout: float) -> object:
    with contextlib.closing(Kibana(url, KibanaLogin(api_key=SECRET), authority, timeout)) as kibana:
        return kibana.version()


CLIENTS: dict[str, Ask] = {
    "gateway": ask_gateway,
    "splunkd": ask_splunkd,
    "HEC": ask_hec,
    "Elasticsearch": ask_elastic,
    "Kibana": ask_kibana,
}


@dataclass(frozen=True)
class Client:
    """One of them, in a folder of its own."""

    name: str
    authority: Path
    folder: Path

    def ask(self, url: str, timeout: float = 5.0, authority: Path | None = None) -> object:
        return CLIENTS[self.name](url, authority or self.authority, self.folder, timeout)


#: Does something with each client, all at the same time, so that their timeouts pass together.
Each = Callable[[Callable[[Client], None]], None]


@pytest.fixture
def each(tls: Tls, tmp_path: Path) -> Each:
    def run(work: Callable[[Client], None]) -> None:
        with ThreadPoolExecutor(len(CLIENTS)) as threads:
            begun = []
            for name in CLIENTS:
                (tmp_path / name).mkdir(exist_ok=True)
                begun.append((name, threads.submit(work, Client(name, tls.authority, tmp_path / name))))
        failed = [(name, future.exception()) for name, future in begun if future.exception() is not None]
        if failed:
            names = ", ".join(f"{name} ({type(error).__name__}: {error})" for name, error in failed)
            raise AssertionError(f"not so for {names}") from failed[0][1]

    return run


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("peers")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return Tls(folder / "ca.pem", folder / "server.pem")
