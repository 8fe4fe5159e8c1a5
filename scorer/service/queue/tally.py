"""What became of a batch, part by part, until its last part is settled."""

from __future__ import annotations

from collections.abc import Iterable

import msgpack

from scorer.rows.acknowledgement import Acknowledgement


def packed_counts(part: int, ack: Acknowledgement) -> bytes:
    """Write what became of one part. The part stands inside, so that no copy of it can stand for another."""
    return bytes(msgpack.packb([ack.written, ack.already_there, ack.dead, part]))


def added_up(batch_id: str, settled: Iterable[bytes]) -> Acknowledgement | None:
    """Add up what ``packed_counts`` wrote; 0.1.0 left out the part. None where one part stands there twice."""
    counted = [tuple(msgpack.unpackb(value)) for value in settled]
    parts = [value[3] for value in counted if len(value) > 3]
    if len(set(parts)) < len(parts):
        return None
    written, there, dead = (sum(value[k] for value in counted) for k in range(3))
    return Acknowledgement(batch_id, written, there, dead)
