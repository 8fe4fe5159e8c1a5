"""Rows and labels as people have them: taken where they are numbers, and otherwise refused by what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes
from scorer.engine.rows import RowsError, checked
from scorer.training.families.checks import FitError
from scorer.training.families.density import fit_density, fit_density_twin
from scorer.training.families.leverage import fit_leverage
from scorer.training.families.nystrom_logistic import fit_nystrom_logistic
from scorer.training.families.projected import fit_projected
from scorer.training.families.svc import fit_svc, fit_twin
from scorer.training.families.vqc import fit_vqc

MAP = ZZMap(2, 1, "full", 0.5)
RNG = np.random.default_rng(0)
ROWS = RNG.uniform(0, 1, (24, 2))
LABELS = (ROWS.sum(1) + RNG.normal(0, 0.2, 24) > 1.0).astype(np.int64)

SUPERVISED: dict[str, Callable[[Any, Any], Any]] = {
    "svc": lambda Z, y: fit_svc(Z, y, MAP, 1.0),
    "rbf": lambda Z, y: fit_twin(Z, y, 1.0, 1.0),
    "nystrom": lambda Z, y: fit_nystrom_logistic(Z, y, MAP, 1.0, ROWS[:5]),
    "projected": lambda Z, y: fit_projected(Z, y, MAP, 1.0, 1.0),
    "vqc": lambda Z, y: fit_vqc(Z, y, MAP, 1.0, 1, seed=0, restarts=1, steps=2),
}
ONE_CLASS: dict[str, Callable[[Any], Any]] = {
    "density": lambda Z: fit_density(Z, MAP),
    "leverage": lambda Z: fit_leverage(Z, MAP, 0.1),
    "density twin": lambda Z: fit_density_twin(Z, 1.0),
}


def gap(row: int, column: int, value: float) -> Any:
    rows = ROWS.copy()
    rows[row:, column] = value
    return rows


BAD_ROWS = [
    (sparse.csr_matrix(ROWS), "rows in a sparse csr_matrix.*toarray"),
    (sparse.coo_array(ROWS), "rows in a sparse coo_array"),
    (ROWS[0], r"one row of 2 numbers.*reshape\(1, -1\)"),
    (ROWS[None], r"rows of shape \(1, 24, 2\)"),
    (ROWS.astype(complex), "not a table of real numbers: complex"),
    ([["a", "b"]] * 24, "not a table of real numbers: could not convert string"),
    ([[1.0, 2.0], [1.0]], "not a table of real numbers"),
    (None, "rows of shape"),
    (gap(7, 1, np.nan), "17 of 24 rows hold NaN or infinity, row 7 first, in column 1"),
    (gap(23, 0, -np.inf), "1 of 24 rows hold NaN or infinity, row 23 first, in column 0"),
    ([[None, 1.0]] * 24, "24 of 24 rows hold NaN or infinity, row 0 first, in column 0"),
]
BAD_LABELS = [
    (LABELS[:, None], r"labels of shape \(24, 1\)"),
    (LABELS[:20], "24 rows and 20 labels"),
    (np.where(LABELS == 1, "bad", "good"), "labels must be 0 and 1, and both must occur; here they are '"),
    (LABELS + 1, "here they are [12], [12]"),
    (2 * LABELS - 1, "here they are -?1, -?1"),
    (np.zeros(24), r"here they are 0\.0"),
    (np.where(LABELS == 1, np.nan, 0.0), "here they are"),
    (sparse.csr_matrix(LABELS), "labels in a sparse csr_matrix"),
    (None, r"labels of shape \(\)"),
    (list("01" * 12), "here they are '0', '1'"),
]


@pytest.mark.parametrize("name", SUPERVISED)
@pytest.mark.parametrize(("rows", "said"), BAD_ROWS)
def test_rows_that_are_none_say_what_they_are(name: str, rows: Any, said: str) -> None:
    with pytest.raises(FitError, match=said):
        SUPERVISED[name](rows, LABELS)


@pytest.mark.parametrize("name", ONE_CLASS)
@pytest.mark.parametrize(("rows", "said"), [*BAD_ROWS, (np.empty((0, 2)), "no rows")])
def test_normal_rows_that_are_none_say_what_they_are(name: str, rows: Any, said: str) -> None:
    with pytest.raises(FitError, match=said):
        ONE_CLASS[name](rows)


@pytest.mark.parametrize("name", SUPERVISED)
@pytest.mark.parametrize(("labels", "said"), BAD_LABELS)
def test_labels_that_are_none_say_what_they_are(name: str, labels: Any, said: str) -> None:
    with pytest.raises(FitError, match=said):
        SUPERVISED[name](ROWS, labels)


@pytest.mark.parametrize("name", SUPERVISED)
def test_lists_booleans_and_floats_are_taken(name: str) -> None:
    fit = SUPERVISED[name]
    expected = fit(ROWS, LABELS)
    for rows, labels in (
        (ROWS.tolist(), LABELS.tolist()),
        (tuple(map(tuple, ROWS)), LABELS == 1),
        (np.asfortranarray(ROWS), LABELS.astype(np.float32)),
        (ROWS.astype(object), LABELS.astype(np.uint8)),
    ):
        found = fit(rows, labels)
        for part in ("values", "offset", "coefficients"):
            if hasattr(expected, part):
                assert np.array_equal(getattr(found, part), getattr(expected, part))


def test_one_row_is_told_how_to_become_a_table() -> None:
    with pytest.raises(RowsError, match=r"one row of 2 numbers.*X\.reshape\(1, -1\)"):
        amplitudes(MAP, ROWS[0])
    with pytest.raises(RowsError, match=r"rows of shape \(3,\)"):
        amplitudes(MAP, np.zeros(3))
    with pytest.raises(RowsError, match=r"rows of shape \(24, 2\); this model takes 5"):
        checked(ROWS, 5)
