"""The search of hyper-parameters: grids, bandwidths, what a pair is judged by."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from scorer.circuits.circuit import Builder
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression, apply, feature
from scorer.circuits.plan import Plan
from scorer.circuits.plugins import feature_map
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.families import Twin
from scorer.training.families.density import fit_density_twin
from scorer.training.families.family import FitRows
from scorer.training.families.leverage import fit_leverage_twin
from scorer.training.families.nystrom_logistic import fit_nystrom_twin
from scorer.training.families.svc import fit_twin
from scorer.training.families.table import FAMILY_TRAINING
from scorer.training.search import (
    BANDWIDTHS,
    COSTS,
    GAMMAS,
    Grid,
    GridPoint,
    Searched,
    SearchSpace,
    bandwidths,
    search,
    search_normal,
)
from tests.unit.training.made_rows import made


def searched(family: str) -> Searched:
    data = made(240, 60)
    Z = (data.X - data.X.min(0)) / np.ptp(data.X, axis=0)
    if FAMILY_TRAINING[family].one_class:
        Z, y = Z[data.y == 0], np.zeros(180, np.int64)
    else:
        y = data.y
    rows = FitRows(Z, y, ZZMap(3), 0)
    sides = FAMILY_TRAINING[family].space(rows), FAMILY_TRAINING[family].twin_space(rows)
    with threadpool_limits(limits=1):  # as ``fit`` does
        return search_normal(Z, None, 0, *sides) if not y.any() else search(Z, y, None, 0, *sides)


@pytest.mark.parametrize("family", sorted(FAMILY_TRAINING))
def test_search_gives_both_machines_the_same_budget_and_learns(family: str) -> None:
    found = searched(family)
    assert found.tried == 15
    assert min(found.quantum.pr_auc, found.twin.pr_auc) > 0.55


@pytest.mark.parametrize("family", sorted(FAMILY_TRAINING))
def test_the_twin_is_fitted_on_every_row_of_the_quantum_machine(family: str) -> None:
    data = made(240, 60)
    Z = (data.X - data.X.min(0)) / np.ptp(data.X, axis=0)
    rows = FitRows(Z, data.y, ZZMap(3), 0)
    found = GridPoint(2.0, 0.1, 0.0)
    if family == "density":
        expected: Twin = fit_density_twin(Z, 2.0)
    elif family == "leverage":
        expected = fit_leverage_twin(Z, 2.0, 0.1, rows.landmarks())
    elif family == "nystrom-logistic":
        expected = fit_nystrom_twin(Z, data.y, 2.0, 0.1, rows.landmarks())
    else:
        expected = fit_twin(Z, data.y, 2.0, found.second, class_weight="balanced")
    twin = FAMILY_TRAINING[family].fit_twin(rows, found)
    assert np.abs(twin.exact_scores(Z) - expected.exact_scores(Z)).max() <= 1e-4


def test_the_grid_of_the_svc_is_the_one_that_was_published() -> None:
    found = searched("svc")
    assert found == searched("svc")
    assert found.tried == len(BANDWIDTHS) * len(COSTS) == len(GAMMAS) * len(COSTS)
    assert found.quantum.width in BANDWIDTHS
    assert found.twin.width in GAMMAS


@pytest.mark.parametrize("name", ["zz", "qft", "reuploading"])
def test_bandwidths_reach_from_alike_to_apart_for_any_map(name: str) -> None:
    Z = np.random.default_rng(0).random((100, 4))
    made_map = feature_map(name, 4)
    circuit = made_map if isinstance(made_map, ZZMap) else made_map.plan
    found = bandwidths(circuit, 5)
    assert list(found) == sorted(set(found))
    assert len(found) == 5
    means = []
    for bandwidth in (found[0], found[-1]):
        psi = amplitudes(circuit.with_bandwidth(bandwidth), Z)
        means.append(fidelity_kernel(psi, psi).mean())
    assert means[0] > 0.9
    assert means[1] < 0.3


def turned_by(formula: Expression) -> Plan:
    builder = Builder("mine", 2, 2)
    for qubit in range(2):
        builder.ry(formula, qubit).rz(feature(qubit), qubit)
    return builder.cx(0, 1).ry(formula, 1).build().plan


def test_bandwidths_are_those_at_which_formulas_have_a_value() -> None:
    """acos(x) has one where the bandwidth is below 2/3: the search looked beyond, and no such map could be trained."""
    plan = turned_by(apply("acos", feature(0)))
    rows_of = np.random.default_rng(0).uniform(-0.5, 1.5, (500, 2))
    for width in bandwidths(plan, 5):
        assert plan.with_bandwidth(width).defined(rows_of).all()
    # log(x) has none below 0, where few rows are scaled to; whether there are any, the rows themselves say.
    assert len(bandwidths(turned_by(apply("log", feature(0))), 5)) == 5
    with pytest.raises(CircuitError, match="'mine' has formulas without a value on ordinary rows"):
        bandwidths(turned_by(apply("log", -1.0 * feature(0))), 5)


def test_a_search_judges_at_the_share_of_attacks_in_all_rows() -> None:
    """It looks at 800 rows with every attack among them. Where all scores are equal PR-AUC is the share of attacks."""
    data = made(4000, 80)
    blind = SearchSpace(Grid((1.0,)), lambda _Z, _y, _width: lambda _second, _fit, held: np.zeros(len(held)))
    found = search(data.X, data.y, None, 0, blind, blind)
    assert found.quantum.pr_auc == pytest.approx(0.02, rel=1e-6)
    with pytest.raises(ValueError, match="1 tries for the quantum machine, 2 for its twin"):
        search(data.X, data.y, None, 0, blind, SearchSpace(Grid((1.0, 2.0)), blind.prepare))
