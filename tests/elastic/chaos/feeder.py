"""Documents that arrive while everything is killed."""

from __future__ import annotations

import itertools
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError, helpers

SOURCE = "logs-chaos.src-default"
SOURCE_NAME = "chaos"  # in qscore.toml
GONE = (ApiError, TransportError)  # what the client raises while the server is down or starting
_BATCH = 20  # documents that one request writes


@dataclass
class Feeder(threading.Thread):
    """Documents that arrive all the time. A request whose fate is unknown is repeated: the source may then hold a
    document twice after a rollover, and both are documents of the source like any other."""

    client: Elasticsearch
    rng: random.Random
    pause: float = 0.2
    sent: int = 0
    failures: int = 0
    #: Id -> epoch seconds at which Elasticsearch had said that it has the document.
    taken: dict[str, float] = field(default_factory=dict)
    _stop_it: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name="feeder")

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        for number in itertools.count():
            if self._stop_it.is_set():
                return
            self._write([self._document(number, k) for k in range(_BATCH)])
            self._stop_it.wait(self.pause)

    def finish(self) -> None:
        self._stop_it.set()
        self.join(120.0)

    def _document(self, number: int, k: int) -> dict[str, Any]:
        draw = self.rng.random
        return {
            "_op_type": "create",
            "_index": SOURCE,
            "_id": f"d{number}-{k}",
            "@timestamp": int(time.time() * 1000),
            "event": {"code": "4624" if draw() < 0.8 else "4625"},
            "user": {"name": f"user{int(draw() * 50)}"},
            "source": {"ip": f"10.0.0.{int(draw() * 200)}"},
            "host": {"name": f"SRV{int(draw() * 30)}"},
        }

    def _write(self, documents: list[dict[str, Any]]) -> None:
        while True:
            try:
                for ok, item in helpers.streaming_bulk(self.client, documents, raise_on_error=False):
                    status = item["create"]["status"]
                    if status == 400:
                        raise SystemExit(f"a document was refused: {item}")
                    if not ok and status != 409:
                        raise TransportError(f"not taken: {item}")
                self.sent += len(documents)
                self.taken |= dict.fromkeys((d["_id"] for d in documents), time.time())
                return
            except GONE:
                self.failures += 1
                if self._stop_it.wait(0.3):
                    return
