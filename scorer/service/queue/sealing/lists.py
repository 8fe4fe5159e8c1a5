"""Values that are taken from a list, each looked at before it counts."""

from __future__ import annotations

import time
from typing import Any

import redis

from scorer.logs import get_log
from scorer.service.queue.claims import reached
from scorer.service.queue.sealing.seal import Forged, Seal
from scorer.wire.errors import NonsenseReply


def taken(seal: Seal, key: str, values: list[bytes]) -> list[bytes]:
    """Open values of a list; those that are forged are said and left out.

    Raises NonsenseReply where values are sealed and here is no key.
    """
    opened = []
    for value in values:
        try:
            opened.append(seal.open(key, value))
        except Forged as error:
            get_log().error("refused", key=key, reason=error.sentence())
            if not seal.keys:  # ours is the process that was not told of the key
                raise NonsenseReply(error.detail, error.remedy) from None
    return opened


def waited(client: redis.Redis, seal: Seal, key: str, seconds: float) -> bytes | None:
    """Take the next value of a list that is not forged; None when ``seconds`` passed without one.

    Raises Unavailable when the server does not answer, NonsenseReply where values are sealed and here is no key.
    """
    until = time.monotonic() + seconds
    while True:
        with reached():  # 0 would be for ever
            found: Any = client.blpop([key], timeout=max(0.01, until - time.monotonic()))
        if not found:
            return None
        if opened := taken(seal, key, [found[1]]):
            return opened[0]
