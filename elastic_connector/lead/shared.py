"""What all sources of one connector process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from elasticsearch import Elasticsearch

from elastic_connector.lead.batches import Queues
from elastic_connector.lead.status import Board
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.card import ModelCard

Cards = Callable[[str, str], ModelCard]


@dataclass(frozen=True)
class Setting:
    """Made once, by the runner. ``since``: where a source without a checkpoint is begun, milliseconds; None: where
    its first leader begins, by the server's clock."""

    client: Elasticsearch
    queues: Queues
    cards: Cards
    elastic: ElasticSettings
    clock: ServerClock
    board: Board
    since: int | None = 0
    once: bool = False
