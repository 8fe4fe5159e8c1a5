"""The features of a recipe for rows in Python, as training and workers compute them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.library.tables import columns_of
from scorer.rows.fields import input_numbers
from scorer.rows.recipe import Recipe
from scorer.rows.recipe_files import recipe_for
from scorer.rows.transform import derive, range_defects, required_inputs
from scorer.wire.errors import BadInput

Floats = NDArray[np.float64]


def recipe_features(recipe: str | Path, rows: Any) -> dict[str, Floats]:
    """Compute the features of a recipe, by name in its order, of N rows: float64 (N,) each, unscaled.

    ``recipe``: the name of a model that has one (``"lateral"``), or a file of your own. ``rows``: what `qscore rows`
    writes, as a data frame, a pyarrow table or a mapping of arrays. Raises BadInput for rows that lack an input, or
    hold impossible ones; UnknownModel, BadTrainingData for a recipe that cannot be read.
    """
    read = recipe_for(recipe, None) if isinstance(recipe, str) else recipe_for(None, recipe)
    names = [feature.name for feature in read.features]
    inputs = _inputs(read, rows, required_inputs(read, names))
    for row, text in sorted(range_defects(read, names, inputs).items()):
        raise BadInput(f"row {row}: {text}", "Correct or remove such rows.")
    return dict(zip(names, derive(read, names, inputs).T, strict=True))


def _inputs(recipe: Recipe, rows: Any, names: Sequence[str]) -> Mapping[str, Floats]:
    """Inputs (N,), 0 where the recipe says that an empty cell, or no column, means that nothing was seen."""
    columns, length = columns_of(rows, names)
    found: dict[str, Floats] = {}
    for name in names:
        values = input_numbers(name, columns[name]) if name in columns else np.full(length, np.nan)
        if recipe.input_by_name[name].missing == "zero":
            values = np.where(np.isnan(values), 0.0, values)
        if not np.isfinite(values).all():
            raise BadInput(
                f"{name} is empty or infinite on {int((~np.isfinite(values)).sum())} of {length} rows",
                f"Build rows with `qscore rows --model {recipe.name}`.",
            )
        found[name] = values
    return found
