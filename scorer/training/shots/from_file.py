"""Measuring a model with shots on a file: what `qscore shots` does, for programs as well as for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scorer.models.machine import Machine
from scorer.models.trained import TrainedModel
from scorer.progress import Steps, no_steps
from scorer.rows.builder import Columns
from scorer.rows.files import read_table
from scorer.training.dataset import dataset
from scorer.training.prepare import check_grain, prepared
from scorer.training.shots.measure import ShotError, ShotScores
from scorer.training.shots.ranking import ShotRow, exact_sampler, noisy_sampler, shot_table
from scorer.training.splits import subsample
from scorer.wire.errors import BadOption

DEFAULT_SHOTS = (64, 256, 1024, 8192, 100_000)
MOST_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class ShotRequest:
    """A measurement that was asked for.

    ``data``: a file of labelled events or rows; ``columns``: its label. ``grain``: what a row is; None: as the model
    has it. ``shots``: of each circuit. ``method``: "eigenbasis" or "overlaps". ``cx_error``: share of CX gates that go
    wrong on Qiskit Aer; None: shots of the exact probabilities. ``rows``: at most, drawn by ``seed``, and never more
    than MOST_ROWS. ``repeats``: of each number of shots.
    """

    data: Path
    columns: Columns
    grain: str | None = None
    shots: tuple[int, ...] = DEFAULT_SHOTS
    method: str = "eigenbasis"
    cx_error: float | None = None
    rows: int = 2000
    repeats: int = 3
    seed: int = 0


@dataclass(frozen=True)
class ShotReport:
    """``rows``: how many were measured, ``malicious`` of them. ``table``: exact first, then by number of shots."""

    rows: int
    malicious: int
    table: tuple[ShotRow, ...]


def measure_file(model: TrainedModel, request: ShotRequest, steps: Steps = no_steps) -> ShotReport:
    """Measure a model with shots on a labelled file; ``steps(text, done, total)`` hears of progress.

    Raises BadOption for what cannot be measured with, BadTrainingData for a file or rows that cannot be used.
    """
    if request.cx_error is not None and not 0.0 <= request.cx_error <= 1.0:
        raise BadOption(f"--cx-error {request.cx_error} is no probability", "Give a number from 0 to 1, such as 0.005.")
    check_grain(request.grain)
    Z, y = _rows(model, request)
    try:
        measure = _sampler(model.machine, Z, request)
        table = shot_table(model.machine, Z, y, sorted(request.shots), measure, request.repeats, steps)
    except ShotError as error:
        raise BadOption(str(error), "See `qscore shots --help`.") from None
    except ImportError as error:
        raise BadOption(
            f"--cx-error needs {error.name}, which is not installed", "pip install 'qscore[qiskit]'"
        ) from None
    return ShotReport(len(y), int(y.sum()), tuple(table))


def _rows(model: TrainedModel, request: ShotRequest) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scaled features (N, n) and labels (N,) of the rows to measure, both classes among them."""
    ready = prepared(model.recipe, read_table(request.data), request.columns, request.grain or model.grain)
    found = dataset(model.recipe, ready.rows, ready.columns)
    kept = found.take(subsample(found.y, min(request.rows, MOST_ROWS), np.random.default_rng(request.seed)))
    columns = [kept.names.index(name) for name in model.feature_names]
    return model.scaler.apply(kept.X[:, columns]), kept.y


def _sampler(machine: Machine, Z: NDArray[np.float64], request: ShotRequest) -> Callable[[int, int], ShotScores]:
    if request.cx_error is None:
        return exact_sampler(machine, Z, request.seed, request.method)
    return noisy_sampler(machine, Z, request.seed, request.cx_error)
