"""Senders of batches, in a process of their own, so that the load does not share an interpreter with what measures it.

    python -m tests.load.senders '{"url": ..., "keys": [...], "rate": 20.0, ...}'

It sends until its standard input closes, and prints its counts as JSON at the end.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from scorer.wire.client import GatewayClient
from scorer.wire.errors import QScoreError
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import body


@dataclass(frozen=True)
class Order:
    """What is sent. ``rate``: batches a second in all, on a clock of its own, whatever becomes of them; 0: each sender
    sends its next when it has an answer. ``nice``: how much the senders stand back behind what they load."""

    url: str
    ca_file: str | None
    keys: tuple[str, ...]
    senders: int
    rows: int
    rate: float = 0.0
    bulk: bool = True
    write: bool = False
    timeout: float = 20.0
    nice: int = 0


@dataclass
class Sent:
    """What became of batches: code -> how many, seconds of those that were scored, and batches that were due when
    every sender was busy."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    missed: int = 0

    @property
    def scored(self) -> int:
        return self.codes["ok"]


def send(order: Order, stop: threading.Event) -> Sent:
    """Send until ``stop`` is set."""
    sent, lock = Sent(), threading.Lock()
    content = body(order.rows)
    threads = [
        threading.Thread(target=_sender, args=(order, number, content, sent, lock, stop), daemon=True)
        for number in range(order.senders)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sent


def _sender(order: Order, number: int, content: bytes, sent: Sent, lock: threading.Lock, stop: threading.Event) -> None:
    every = order.senders / order.rate if order.rate else 0.0
    due = time.monotonic() + every * number / order.senders
    with GatewayClient(order.url, order.keys[number % len(order.keys)], order.ca_file, order.timeout) as client:
        while not stop.wait(max(0.0, due - time.monotonic())):
            started = time.monotonic()
            code = _posted(client, order, content)
            with lock:
                sent.codes[code] += 1
                if code == "ok":
                    sent.seconds.append(time.monotonic() - started)
            due += every
            if every and (late := int((time.monotonic() - due) / every)) > 0:
                with lock:
                    sent.missed += late
                due += late * every


def _posted(client: GatewayClient, order: Order, content: bytes) -> str:
    options = ScoreOptions(explain="none", write=order.write)
    try:
        client.score("lateral", content, order.rows, options, timeout=order.timeout, bulk=order.bulk)
    except QScoreError as error:
        return error.code
    return "ok"


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    os.nice(order.nice)
    stop = threading.Event()

    def until_told() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=until_told, daemon=True).start()
    sent = send(order, stop)
    sys.stdout.write(json.dumps({"codes": sent.codes, "seconds": sent.seconds, "missed": sent.missed}) + "\n")


if __name__ == "__main__":
    main()
