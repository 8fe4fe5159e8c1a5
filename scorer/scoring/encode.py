"""ScoreBatch -> the CSV of a reply.

Numbers are not formatted row by row: each column takes ready strings from a table, and pyarrow joins the columns into
lines, whose buffer is the body. A value is quoted only where RFC 4180 asks for it and never holds a line end, so that
line k of a reply is row k of the request.
"""

from __future__ import annotations

from functools import cache
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from scorer.rows.batches import ScoreBatch
from scorer.rows.columns import BANDS
from scorer.wire.names import OUTPUT_COLUMNS, STATUS_OK

HEADER = (",".join(OUTPUT_COLUMNS) + "\n").encode()

Mask = NDArray[np.bool_]

_PROBABILITY_DECIMALS = 4
_PVALUE_DECIMALS = 5
_RISKS = 101


def encode_reply(scores: ScoreBatch) -> bytes:
    """UTF-8 CSV: header and one line a row, LF. Rows without a probability have only model, version and status.

    Probabilities have 4 decimals; p-values 5, rounded up, so that none looks smaller than it is.
    """
    if len(scores) == 0:
        return HEADER
    probability = np.asarray(scores.probability, np.float64)
    unscored = np.isnan(probability)
    # 0.01 * 100000 may come out above 1000: the small term keeps such a value from being rounded up a whole step.
    pvalue = np.ceil(np.asarray(scores.pvalue) * 10**_PVALUE_DECIMALS - 1e-6) / 10**_PVALUE_DECIMALS
    lines = pc.binary_join_element_wise(
        _shares(probability, _PROBABILITY_DECIMALS, unscored),
        _verdicts(scores, unscored),
        _shares(pvalue, _PVALUE_DECIMALS, unscored),
        _shares(scores.classical, _PROBABILITY_DECIMALS, unscored),
        _tails(scores, unscored),
        ",",
    )
    return HEADER + _buffer(lines)


def _shares(values: ArrayLike, decimals: int, unscored: Mask) -> Any:
    """Numbers from 0 to 1 as strings, empty where a row was not scored."""
    steps = 10**decimals
    index = np.rint(np.where(unscored, 0.0, np.asarray(values, np.float64)) * steps).astype(np.int32)
    return _share_table(decimals).take(pa.array(np.where(unscored, steps + 1, index)))


@cache
def _share_table(decimals: int) -> Any:
    """Every number from 0 to 1 of so many decimals, and an empty string at the end."""
    steps = 10**decimals
    return pa.array([f"{step / steps:.{decimals}f}" for step in range(steps + 1)] + [""])


def _verdicts(scores: ScoreBatch, unscored: Mask) -> Any:
    """``risk,band,alert`` of each row."""
    risk, band, alert = (np.asarray(column, np.int32) for column in (scores.risk, scores.band, scores.alert))
    index = (risk * len(BANDS) + band) * 2 + alert
    return _verdict_table().take(pa.array(np.where(unscored, _RISKS * len(BANDS) * 2, index)))


@cache
def _verdict_table() -> Any:
    verdicts = [f"{risk},{band},{alert}" for risk in range(_RISKS) for band in BANDS for alert in (0, 1)]
    return pa.array([*verdicts, ",,"])


def _tails(scores: ScoreBatch, unscored: Mask) -> Any:
    """``reason,model,version,status`` and the line end of each row. Most rows share one text, which is made once."""
    middle = f",{_quoted(scores.model)},{_quoted(scores.version)},"
    rare = _told(scores)
    texts = [
        f"{'' if unscored[row] else _quoted(scores.reason[row])}{middle}"
        f"{_quoted(str(scores.defects.get(row, STATUS_OK)))}\n"
        for row in rare
    ]
    which = np.zeros(len(scores), np.int32)
    which[rare] = np.arange(1, len(rare) + 1)
    return pa.array([f"{middle}{STATUS_OK}\n", *texts], pa.string()).take(pa.array(which))


def _told(scores: ScoreBatch) -> list[int]:
    """Positions of rows with a reason or a defect, rising; found without a loop in Python."""
    return sorted({*compress(range(len(scores)), scores.reason), *scores.defects})


def _quoted(text: str) -> str:
    """A CSV value on one line; text that UTF-8 cannot hold is replaced."""
    line = " ".join(text.split()).encode("utf-8", "replace").decode()
    return '"' + line.replace('"', '""') + '"' if '"' in line or "," in line else line


def _buffer(lines: Any) -> bytes:
    """The values of a string array, end to end."""
    _, offsets, data = lines.buffers()
    end = int(np.frombuffer(offsets, np.int32)[lines.offset + len(lines)])
    content: bytes = data.slice(0, end).to_pybytes()
    return content
