"""Taking over a QSVC from files: what `qscore import-qsvc` does, for programs as well as for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scorer.models.trained import TrainedModel
from scorer.progress import Steps, no_steps
from scorer.rows.builder import Columns
from scorer.rows.files import read_table
from scorer.rows.recipe import Recipe
from scorer.training.facts import Provenance
from scorer.training.options import DEFAULTS, TrainOptions
from scorer.training.prepare import Prepared, check_grain, prepared
from scorer.training.qsvc.file import QsvcFileError, StoredQsvc, read_qsvc
from scorer.training.qsvc.model import train_imported
from scorer.wire.errors import BadTrainingData


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """A machine that was asked to be taken over.

    ``machine``: the file that ``write_qsvc`` wrote. ``data``: a file of labelled events or rows that it was not trained
    on. ``columns``, ``grain``, ``recipe``: as for ``scorer.training.from_file.TrainRequest``. Of the ``options``
    ``fpr``, ``prevalence``, ``seed`` and ``note`` count.
    """

    recipe: Recipe
    machine: Path
    data: Path
    columns: Columns
    grain: str | None = None
    options: TrainOptions = DEFAULTS


def import_file(request: ImportRequest, steps: Steps = no_steps) -> TrainedModel:
    """Make a model of a stored machine, calibrated and judged on other rows.

    ``steps(text, done, total)`` hears of progress. Raises BadTrainingData.
    """
    stored = _read(request.machine)
    check_grain(request.grain)
    ready = prepared(request.recipe, read_table(request.data), request.columns, request.grain)
    provenance = _provenance(request, stored, ready)
    return train_imported(
        request.recipe, stored, ready.rows, ready.columns, provenance, request.options, ready.grain, steps
    )


def _read(path: Path) -> StoredQsvc:
    try:
        return read_qsvc(path)
    except QsvcFileError as error:
        raise BadTrainingData(str(error), "Write the file with scorer.training.qsvc.file.write_qsvc.") from None


def _provenance(request: ImportRequest, stored: StoredQsvc, ready: Prepared) -> Provenance:
    sentence = (
        f"{len(stored.rows)} rows that came with {request.machine.name}, a QSVC trained elsewhere; calibrated and "
        f"judged on {ready.rows.num_rows} rows ({ready.grain} grain) of {request.data.name}"
    )
    return Provenance(sentence, remarks=ready.remarks)
