"""The model that a fresh installation starts with: trained on generated activity, and saying so everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from scorer.models.trained import TrainedModel
from scorer.progress import Steps, no_steps
from scorer.rows.builder import Columns, build_rows
from scorer.rows.recipe import Recipe
from scorer.training.facts import Provenance
from scorer.training.families.table import training_of
from scorer.training.options import DEFAULTS, FIT_ROWS, TrainOptions
from scorer.training.prepare import PreparedRows
from scorer.training.starter.generator import generate_events
from scorer.training.train import check_options, train

STARTER_ROWS = 20_000
#: Half of what rows of one's own get: on generated rows it judges the same, and the twin scores twice as fast.
STARTER_FIT_ROWS = 1000
#: Made-up companies beside the one that is learnt from. Rows of one company are alike: alone, its 6,000 held-out ones
#: put the line where others see two thirds of the false positives that the card names.
LINE_COMPANIES = 3
STARTER_COLUMNS = Columns(label="label", group="activity")


def starter_rows(recipe: Recipe, rows: int = STARTER_ROWS, seed: int | Sequence[int] = 0) -> PreparedRows:
    """Generate about ``rows`` rows of activity. Raises BadTrainingData for a recipe without a generator."""
    events = generate_events(recipe.name, rows, np.random.default_rng(seed))
    return PreparedRows(build_rows(recipe, events, "window", STARTER_COLUMNS), STARTER_COLUMNS, "window")


def train_starter(recipe: Recipe, options: TrainOptions = DEFAULTS, steps: Steps = no_steps) -> TrainedModel:
    """Train a model of ``starter_rows``, seeded by ``options.seed``. Raises BadTrainingData."""
    check_options(recipe, options)
    steps("generating activity", 0, 1)
    made = starter_rows(recipe, seed=options.seed)
    sentence = (
        f"{made.rows.num_rows} rows of generated benign and malicious activity (seed {options.seed}): a starter that "
        "has never seen a real event; train on your own data before you rely on it"
    )
    if options.fit_rows is None and training_of(options.family).fit_rows == FIT_ROWS:
        options = replace(options, fit_rows=STARTER_FIT_ROWS)
    others = [starter_rows(recipe, seed=(options.seed, company)).rows for company in range(1, LINE_COMPANIES + 1)]
    remark = f"the line was set on benign rows of {LINE_COMPANIES} other generated companies too"
    return train(
        recipe,
        made.rows,
        made.columns,
        Provenance(sentence, starter=True, remarks=(remark,)),
        options,
        made.grain,
        steps,
        more_benign=pa.concat_tables(others),
    )
