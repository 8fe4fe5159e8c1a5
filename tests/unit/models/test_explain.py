"""Attributions: gradients against finite differences for every map and machine; what integrated gradients promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorer.circuits.circuit import Builder
from scorer.circuits.expressions import Expression, apply, feature
from scorer.circuits.maps import hardware_efficient, pauli, qft, reuploading, zz
from scorer.engine.bloch import projected
from scorer.engine.gradient import CircuitGradient, of_observable
from scorer.engine.reference import amplitudes, expectation
from scorer.models.explain import TOLERANCE, attributions, integrated_gradients, occlusion
from scorer.models.machine import ObservableMachine
from scorer.models.observable import Observable
from scorer.models.projected import ProjectedMachine, Projection
from scorer.models.twins import LeverageTwin, RbfTwin

MAPS: dict[str, Any] = {
    **{f"zz-{e}": zz(4, 2, e, 0.6) for e in ("full", "linear", "circular")},
    "pauli": pauli(4, ("Z", "YY", "ZXZ"), 2, "linear", bandwidth=0.6),
    "qft": qft(4, 2, bandwidth=0.8),
    "reuploading": reuploading(6, bandwidth=0.7),
    "hardware-efficient": hardware_efficient(4, bandwidth=0.9),
}


def observable(qubits: int, rank: int, seed: int = 0) -> Observable:
    rng = np.random.default_rng(seed)
    size = 2**qubits
    vectors = np.linalg.qr(rng.normal(size=(size, rank)) + 1j * rng.normal(size=(size, rank)))[0].T
    return Observable(rng.normal(size=rank) * 5.0, np.ascontiguousarray(vectors, np.complex64), 0.3)


def differences(function: Any, Z: Any, step: float = 1e-4) -> Any:
    """Central differences of fourth order (N, n) of a function of rows."""

    def along(shift: Any) -> Any:
        near, far = (function(Z + k * shift) - function(Z - k * shift) for k in (1, 2))
        return (8.0 * near - far) / (12.0 * step)

    return np.stack([along(shift) for shift in step * np.eye(Z.shape[1])], axis=1)


def projected_machine(circuit: Any, rows: Any) -> ProjectedMachine:
    vectors = projected(circuit.plan, rows)
    projection = Projection(circuit, vectors.mean(0), 4.0)
    support = projection.apply(rows[:20]).astype(np.float32)
    weights = np.random.default_rng(2).normal(size=20).astype(np.float32)
    return ProjectedMachine(projection, RbfTwin(support, weights, 0.8, -0.2))


@pytest.mark.parametrize("name", MAPS)
def test_the_gradient_is_that_of_finite_differences_for_every_map(name: str) -> None:
    circuit = MAPS[name]
    machine = ObservableMachine(circuit, observable(circuit.qubits, 5))
    Z = np.random.default_rng(1).uniform(-0.4, 1.4, (40, circuit.features))
    values, gradient = machine.value_and_gradient(Z)
    assert np.abs(values - machine.exact_scores(Z)).max() <= 1e-12 * np.abs(machine.observable.values).sum()
    assert np.abs(gradient).max() > 0.1
    assert np.abs(gradient - differences(machine.exact_scores, Z)).max() <= 1e-7


@pytest.mark.parametrize("name", ["zz-full", "pauli", "hardware-efficient"])
def test_the_projected_gradient_is_that_of_finite_differences(name: str) -> None:
    circuit = MAPS[name]
    Z = np.random.default_rng(1).uniform(-0.4, 1.4, (40, circuit.features))
    machine = projected_machine(circuit, Z)
    values, gradient = machine.value_and_gradient(Z)
    assert np.abs(values - machine.exact_scores(Z)).max() <= 1e-12
    assert np.abs(gradient).max() > 0.1
    assert np.abs(gradient - differences(machine.exact_scores, Z)).max() <= 1e-6


def test_the_twins_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(3)
    support, Z = rng.random((30, 5)).astype(np.float32), rng.random((40, 5))
    rbf = RbfTwin(support, rng.normal(size=30).astype(np.float32), 1.3, 0.1)
    leverage = LeverageTwin(support, rng.normal(size=(4, 30)).astype(np.float32), rng.random(4), 1.3, 0.1)
    for twin in (rbf, leverage):
        values, gradient = twin.value_and_gradient(Z)
        assert np.abs(values - twin.exact_scores(Z)).max() <= 1e-9
        assert np.abs(gradient - differences(twin.exact_scores, Z)).max() <= 1e-6


def test_gradients_at_ten_qubits_and_across_chunks() -> None:
    circuit = zz(10, 2, "linear", 0.3)
    parts = observable(10, 3)
    vectors = parts.vectors.astype(np.complex128)
    score = CircuitGradient(circuit, of_observable(parts.values, vectors))
    Z = np.random.default_rng(4).random((score.chunk + 3, 10))
    values, gradient = score.value_and_gradient(Z)
    ends = Z[[0, score.chunk - 1, score.chunk, -1]]
    assert np.abs(values - expectation(parts.values, vectors, amplitudes(circuit, Z))).max() <= 1e-11
    wanted = differences(lambda rows: expectation(parts.values, vectors, amplitudes(circuit, rows)), ends)
    assert np.abs(gradient[[0, score.chunk - 1, score.chunk, -1]] - wanted).max() <= 1e-7


@pytest.mark.parametrize("bandwidth", [0.05, 0.3, 1.0])
def test_attributions_sum_to_the_difference_in_score_within_the_bound(bandwidth: float) -> None:
    circuit = zz(6, 2, "full", bandwidth).plan
    machine = ObservableMachine(circuit, observable(6, 8))
    Z = np.random.default_rng(5).random((300, 6))
    usual = np.full(6, 0.2)
    found = integrated_gradients(machine, Z, usual)
    wanted = machine.exact_scores(Z) - machine.exact_scores(usual[None])
    assert np.abs(found.values.sum(1) - wanted) == pytest.approx(found.residual, abs=1e-9)
    assert (found.residual <= 0.01 * np.abs(found.values).sum(1)).all()  # what docs/decisions/0013 promises
    assert np.abs(found.values).max() > 1e-3


@pytest.mark.parametrize("bandwidth", [0.05, 0.3, 1.0, 6.0])
def test_quick_slopes_attribute_what_exact_ones_do(bandwidth: float) -> None:
    machine = ObservableMachine(zz(6, 2, "full", bandwidth).plan, observable(6, 8))
    Z = np.random.default_rng(6).random((200, 6))
    Z[:3] = 0.2 + np.array([[0.0], [1e-7], [1e-3]])  # as usual as can be: there single precision sees noise alone
    usual = np.full(6, 0.2)
    found, exact = attributions(machine, Z, usual), integrated_gradients(machine, Z, usual).values
    magnitude = np.abs(exact).sum(1)
    assert (np.abs(found - exact).sum(1) <= 2.0 * TOLERANCE * magnitude + 1e-12).all()
    wanted = machine.exact_scores(Z) - machine.exact_scores(usual[None])
    assert (np.abs(found.sum(1) - wanted) <= 1.1 * TOLERANCE * magnitude + 1e-12).all()


def test_a_usual_feature_gets_nothing_and_an_idle_one_neither() -> None:
    circuit = zz(4, 2, "linear", 0.5).plan
    machine = ObservableMachine(circuit, observable(4, 4))
    usual = np.array([0.1, 0.2, 0.3, 0.4])
    Z = np.random.default_rng(6).random((20, 4))
    Z[:, 2] = usual[2]
    found = attributions(machine, Z, usual)
    assert (found[:, 2] == 0.0).all()
    assert (attributions(machine, usual[None], usual) == 0.0).all()
    assert attributions(machine, np.empty((0, 4)), usual).shape == (0, 4)


SINGULAR: dict[str, Callable[[Expression], Expression]] = {
    "sqrt": lambda z: apply("sqrt", apply("abs", z)),
    "asin-sqrt": lambda z: 2.0 * apply("asin", apply("sqrt", z)),
    "acos": lambda z: apply("acos", z),
    "power": lambda z: z**0.5,
}


@pytest.mark.parametrize("name", SINGULAR)
@pytest.mark.parametrize("usual", [(0.0, 0.3, 1.0), (0.2, 0.2, 0.2)])
def test_paths_that_begin_or_end_where_a_formula_has_no_slope_are_integrated(
    name: str, usual: tuple[float, ...]
) -> None:
    """Counts that are usually 0 are where sqrt has no slope: no row with such a count was explained."""
    builder = Builder("singular", 3, 3)
    for turn in (builder.ry, builder.rz, builder.ry):
        for qubit in range(3):
            turn(SINGULAR[name](feature(qubit)), qubit)
        builder.cx(0, 1).cx(1, 2)
    machine = ObservableMachine(builder.build().plan, observable(3, 4))
    Z = np.random.default_rng(8).uniform(0.05, 0.95, (12, 3))
    Z[:4, 0], Z[2:6, 2], Z[6] = 0.0, 1.0, usual
    found = integrated_gradients(machine, Z, np.array(usual))
    wanted = machine.exact_scores(Z) - machine.exact_scores(np.array([usual]))
    assert np.isfinite(found.values).all()
    assert (np.abs(found.values.sum(1) - wanted) <= TOLERANCE * np.abs(found.values).sum(1) + 1e-12).all()
    assert (found.values[np.array(usual) == Z] == 0.0).all()


def test_a_path_along_which_a_changing_feature_has_no_slope_says_nothing() -> None:
    builder = Builder("together", 2, 2).ry(feature(1), 1)
    machine = ObservableMachine(
        builder.ry(apply("sqrt", feature(0) * feature(1)), 0).cx(0, 1).build().plan, observable(2, 2)
    )
    # d sqrt(x y) / dy at x = 0 is computed as infinity times 0.
    found = integrated_gradients(machine, np.array([[0.0, 0.7], [0.5, 0.7]]), np.array([0.0, 0.2]))
    assert np.isnan(found.values[0]).all()
    assert np.isfinite(found.values[1]).all()


def test_features_that_act_only_together_share_what_they_do_and_occlusion_gives_both_all_of_it() -> None:
    # f = (z_0 z_1)-like: a Gaussian bump that only both features together reach.
    bump = RbfTwin(np.ones((1, 2), np.float32), np.ones(1, np.float32), 6.0, 0.0)
    row, usual = np.ones((1, 2)), np.zeros(2)
    shared = integrated_gradients(bump, row, usual).values[0]
    assert shared[0] == pytest.approx(shared[1])
    assert shared.sum() == pytest.approx(1.0 - np.exp(-12.0), abs=TOLERANCE)
    whole = occlusion(bump, row, usual)[0]  # type: ignore[arg-type]  # scores are all that it asks for
    assert whole == pytest.approx([1.0 - np.exp(-6.0)] * 2, abs=1e-5)


def test_a_row_is_explained_alike_in_any_batch() -> None:
    circuit = zz(5, 2, "full", 0.4).plan
    machine = ObservableMachine(circuit, observable(5, 6))
    Z, usual = np.random.default_rng(7).random((700, 5)), np.full(5, 0.1)
    whole = attributions(machine, Z, usual)
    least = 1e-4 * np.abs(whole).sum(1).min()
    assert np.abs(whole[300:301] - attributions(machine, Z[300:301], usual)).max() <= least
    assert np.abs(whole[::-1] - attributions(machine, Z[::-1], usual)).max() <= least
    exact = integrated_gradients(machine, Z, usual).values
    assert np.abs(exact[::-1] - integrated_gradients(machine, Z[::-1], usual).values).max() <= 1e-10
