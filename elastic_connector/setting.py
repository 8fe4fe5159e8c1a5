"""What all sources of one connector process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from elasticsearch import Elasticsearch

from elastic_connector.batches import Queues
from elastic_connector.clock import ServerClock
from elastic_connector.status import Board
from scorer.service.elastic_settings import ElasticSettings
from scorer.wire.messages import ModelCard

Cards = Callable[[str, str], ModelCard]


@dataclass(frozen=True)
class Setting:
    """Made once, by the runner. ``since``: where a source without a checkpoint is begun, milliseconds."""

    client: Elasticsearch
    queues: Queues
    cards: Cards
    elastic: ElasticSettings
    clock: ServerClock
    board: Board
    since: int = 0
    once: bool = False
