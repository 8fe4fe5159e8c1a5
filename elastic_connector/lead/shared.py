"""What all sources of one connector process share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from elasticsearch import Elasticsearch

from elastic_connector.lead.batches import Queues
from elastic_connector.lead.status import StatusBoard
from elastic_connector.read.pages import RowReader
from elastic_connector.read.readers import ReaderPlan, build_reader
from scorer.elastic_client.clock import Clock
from scorer.elastic_client.moments import BEGINNING, GivenTime
from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.card import ModelCard

Cards = Callable[[str, str], ModelCard]


@dataclass(frozen=True)
class Setting:
    """Made once, by the runner. ``since``: where a source without a checkpoint is begun, by the server's clock.

    ``clock``: the server's; ``ticks``: monotonic seconds of this machine.
    """

    client: Elasticsearch
    queues: Queues
    cards: Cards
    elastic: ElasticSettings
    clock: Clock
    board: StatusBoard
    since: GivenTime = BEGINNING
    once: bool = False
    make_reader: Callable[[ReaderPlan], RowReader] = build_reader
    ticks: Callable[[], float] = time.monotonic
