"""Bodies of rows for the model that every test uses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch
from scorer.scoring.decode import decode

#: Inputs of the three features of ``tiny_model``.
INPUTS = ("events", "logons", "failures")


@pytest.fixture(scope="session")
def body_of() -> Callable[[int], bytes]:
    """A CSV body of n good rows."""

    def build(rows: int) -> bytes:
        rng = np.random.default_rng(rows)
        events = rng.integers(1, 60, rows)
        logons, failures = rng.binomial(events, 0.6), rng.binomial(events, 0.1)
        lines = (f"{e},{lo},{fa}" for e, lo, fa in zip(events, logons, failures, strict=True))
        return ("\n".join([",".join(INPUTS), *lines]) + "\n").encode()

    return build


@pytest.fixture(scope="session")
def read(tiny_model: TrainedModel) -> Callable[..., FeatureBatch]:
    """``read(body, rows)``: a CSV body decoded for ``tiny_model``."""

    def build(body: bytes, rows: int, media_type: str = "text/csv", write: bool = False) -> FeatureBatch:
        return decode(body, media_type, rows, tiny_model, model_name="lateral", batch_id="b" * 8, write=write)

    return build
