"""Training from a file: what `qscore train --data` does, for programs as well as for the terminal.

    request = TrainRequest(recipe=load_recipe("lateral"), data=Path("own.csv"), columns=Columns("is_attack"))
    model = train_file(request)
    scorer.registry.publish.publish(model, registry, signing_key)

Nothing here knows a terminal: ``steps`` hears of progress, errors are raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scorer.models.trained import TrainedModel
from scorer.progress import Steps, no_steps
from scorer.rows.builder import Columns
from scorer.rows.files import read_table
from scorer.rows.recipe import Recipe
from scorer.training.facts import Provenance
from scorer.training.families.table import training_of
from scorer.training.options import DEFAULTS, TrainOptions
from scorer.training.prepare import Prepared, check_grain, prepared
from scorer.training.train import check_options, train
from scorer.wire.errors import BadTrainingData


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A training that was asked for.

    ``recipe``: what a row is. ``data``: a file of events or rows, CSV, NDJSON or Parquet. ``columns``: which of its
    columns is the label, and which the group; a one-class family needs no label. ``grain``: "window" or "event"; None:
    the recipe's, or single events where windows leave too few malicious rows. ``options``: how to train.
    """

    recipe: Recipe
    data: Path
    columns: Columns
    grain: str | None = None
    options: TrainOptions = DEFAULTS


def train_file(request: TrainRequest, steps: Steps = no_steps) -> TrainedModel:
    """Train a model on a file; ``steps(text, done, total)`` hears of progress.

    Raises BadTrainingData where options, file, rows or labels cannot give a model: what is wrong with the options
    before the file is read.
    """
    check_grain(request.grain)
    check_options(request.recipe, request.options)
    one_class = training_of(request.options.family).one_class
    if request.columns.label is None and not one_class:
        raise BadTrainingData("--data without --label", "Name the column that says what is malicious: --label COLUMN.")
    steps(f"reading {request.data.name}", 0, 1)
    table = read_table(request.data)
    ready = prepared(request.recipe, table, request.columns, request.grain, normal=one_class)
    return train(
        request.recipe, ready.rows, ready.columns, _provenance(request, ready), request.options, ready.grain, steps
    )


def _provenance(request: TrainRequest, ready: Prepared) -> Provenance:
    label, positive = request.columns.label, request.columns.positive
    value = f"{label}={positive}" if positive else label
    told = "all taken for normal" if value is None else f"malicious where {value}"
    sentence = f"{ready.rows.num_rows} rows ({ready.grain} grain) of {request.data.name}, {told}"
    return Provenance(sentence, remarks=ready.remarks)
