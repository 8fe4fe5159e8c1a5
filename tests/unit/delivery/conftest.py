from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from demo.standins.hec_endpoint import HecEndpoint
from demo.standins.hec_rules import HecRules
from scorer.delivery.hec.http import HecClient
from scorer.delivery.hec.sink import HecSink
from tests.unit.delivery.builders import TOKEN


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(PEM of the authority, PEM of a server's key and certificate for 127.0.0.1)."""
    folder = tmp_path_factory.mktemp("tls")
    made = trustme.CA()
    made.cert_pem.write_to_path(str(folder / "ca.pem"))
    made.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder / "ca.pem", folder / "server.pem"


@pytest.fixture
def endpoint(authority: tuple[Path, Path]) -> Iterator[HecEndpoint]:
    with HecEndpoint(HecRules(TOKEN, max_bytes=20_000), authority[1]) as running:
        yield running


@pytest.fixture
def hec_sink(endpoint: HecEndpoint, authority: tuple[Path, Path]) -> Callable[..., HecSink]:
    def make(
        token: str = TOKEN, index: str = "qscore", batch_bytes: int = 10_000, url: str = "", timeout: float = 5.0
    ) -> HecSink:
        return HecSink(HecClient(url or endpoint.url, token, authority[0], timeout), index, batch_bytes)

    return make
