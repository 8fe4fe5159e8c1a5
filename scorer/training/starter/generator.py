"""Seeded, labelled activity of a made-up company: events from which the starter models are trained.

Benign and malicious work are drawn from profiles (``activity_auth``, ``activity_flow``) that overlap on purpose:
administrators hop, scanners fail, backups read every share, while attackers are often slow. The events carry the
field names of Splunk and Zeek, so that they become rows by the same recipe as anybody's own data.

Source of the event shapes: Microsoft's descriptions of the Security events 4624-5145 and Zeek's conn.log.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from scorer.training.starter import authentication as activity_auth
from scorer.training.starter import connections as activity_flow
from scorer.wire.errors import BadTrainingData

#: Model -> (maker of ``rows`` rows of label 0 or 1, name of the time column).
GENERATORS: dict[str, tuple[Callable[[int, int, np.random.Generator], pa.Table], str]] = {
    "lateral": (activity_auth.generate, "_time"),
    "lateral_flow": (activity_flow.generate, "ts"),
}
MIN_ROWS, MAX_ROWS = 100, 5_000_000
_SIZES = "Give other --rows or --attack-share."


def generate_events(model: str, rows: int, rng: np.random.Generator, attack_share: float = 0.05) -> pa.Table:
    """Generate events of ``model``, about ``rows`` rows of them, ``attack_share`` malicious, in order of time.

    The column ``label`` is 1 on an attacker's events, ``activity`` names what belongs together (use it as the group of
    a split) and ``profile`` says what the event is part of. Raises BadTrainingData for a model without a generator and
    for sizes that cannot hold.
    """
    if model not in GENERATORS:
        raise BadTrainingData(
            f"there is no generator for the model {model!r}, only for {', '.join(GENERATORS)}",
            "Give rows of your own with --data.",
        )
    if not MIN_ROWS <= rows <= MAX_ROWS:
        raise BadTrainingData(f"cannot generate {rows} rows: give a number from {MIN_ROWS} to {MAX_ROWS}", _SIZES)
    if not 0.0 < attack_share < 1.0:
        raise BadTrainingData(f"an attack share of {attack_share} is not between 0 and 1", _SIZES)
    attacks = max(1, round(rows * attack_share))
    make, time_column = GENERATORS[model]
    table = pa.concat_tables([make(rows - attacks, 0, rng), make(attacks, 1, rng)])
    return table.take(np.argsort(table[time_column].to_numpy(), kind="stable"))
