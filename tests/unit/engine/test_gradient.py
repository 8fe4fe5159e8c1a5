"""Derivatives of any plan: equal to finite differences, and to the parameter-shift rule where that is exact."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.circuit import Builder
from scorer.circuits.expressions import feature
from scorer.circuits.maps import hardware_efficient, reuploading, zz
from scorer.circuits.plan import Plan
from scorer.engine.gradient import SINGLE, CircuitGradient, of_observable
from scorer.engine.reference import amplitudes, expectation

from .plans import random_observable
from .strategies import constant_steps, observables, plans_with_rows

SOME = settings(max_examples=60, deadline=None)
FEW = settings(max_examples=25, deadline=None)


def differences(function: Any, Z: Any, step: float = 1e-4) -> Any:
    """Central differences of fourth order (N, n) of a function of rows."""

    def along(shift: Any) -> Any:
        near, far = (function(Z + k * shift) - function(Z - k * shift) for k in (1, 2))
        return (8.0 * near - far) / (12.0 * step)

    return np.stack([along(shift) for shift in step * np.eye(Z.shape[1])], axis=1)


@SOME
@given(st.data())
def test_any_plans_derivatives_are_finite_differences(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows(most_qubits=4, most_rows=3))
    values, vectors = data.draw(observables(plan.qubits))
    score = CircuitGradient(plan, of_observable(values, vectors))
    found, gradient = score.value_and_gradient(Z)
    size = np.abs(values).sum()
    assert np.abs(found - expectation(values, vectors, amplitudes(plan, Z))).max() <= 1e-11 * size
    assert np.abs(score.values(Z) - found).max() <= 1e-11 * size
    wanted = differences(score.values, Z)
    # What differences leave out grows with the fifth derivative: formulas reach 7.5 radians for a feature's 1.
    assert np.abs(gradient - wanted).max() <= 1e-5 * size


@SOME
@given(st.data())
def test_single_precision_loses_the_fifth_digit_and_no_more(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows(most_qubits=4, most_rows=3))
    values, vectors = data.draw(observables(plan.qubits))
    exact, slopes = CircuitGradient(plan, of_observable(values, vectors)).value_and_gradient(Z)
    quick = CircuitGradient(plan, of_observable(values, vectors, SINGLE), SINGLE)
    found, gradient = quick.value_and_gradient(Z)
    size = np.abs(values).sum()
    assert found.dtype == gradient.dtype == np.float64
    assert np.abs(found - exact).max() <= 1e-4 * size
    assert np.abs(gradient - slopes).max() <= 1e-4 * max(size, np.abs(slopes).max())


@pytest.mark.parametrize("turns", [30.0, 3000.0])
def test_angles_of_many_turns_are_no_less_exact_in_single_precision(turns: float) -> None:
    gates = Builder("fast", 3, 2).h(0).h(1).h(2)
    gates = gates.p(turns * feature(0), 0).ry(turns * feature(1), 1).cx(0, 1).rx(turns * feature(0), 2).cx(1, 2)
    circuit = gates.build()
    values, vectors = random_observable(3, 3)
    Z = np.random.default_rng(1).random((20, 2))
    exact, slopes = CircuitGradient(circuit, of_observable(values, vectors)).value_and_gradient(Z)
    found, gradient = CircuitGradient(circuit, of_observable(values, vectors, SINGLE), SINGLE).value_and_gradient(Z)
    assert np.abs(found - exact).max() <= 1e-5 * np.abs(values).sum()
    assert np.abs(gradient - slopes).max() <= 1e-4 * np.abs(slopes).max()


@FEW
@given(st.data())
def test_derivatives_are_linear_in_the_observable(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows(most_qubits=4))
    values, vectors = data.draw(observables(plan.qubits))

    def gradient(weights: Any) -> Any:
        return CircuitGradient(plan, of_observable(weights, vectors)).value_and_gradient(Z)[1]

    other = np.linspace(-1.0, 1.0, len(values))
    both = gradient(values) - 2.0 * gradient(other)
    assert np.abs(gradient(values - 2.0 * other) - both).max() <= 1e-10


@FEW
@given(plans_with_rows(most_qubits=4))
def test_what_never_changes_has_no_derivative(case: tuple[Plan, Any]) -> None:
    """The identity's score is 1 on every row."""
    plan, Z = case
    size = 2**plan.qubits
    identity = of_observable(np.ones(size), np.eye(size, dtype=np.complex128))
    values, gradient = CircuitGradient(plan, identity).value_and_gradient(Z)
    assert np.abs(values - 1.0).max() <= 1e-12
    assert np.abs(gradient).max() <= 1e-11


@FEW
@given(st.data())
def test_constant_steps_before_the_data_keep_derivatives_true(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows(most_qubits=3, most_rows=2))
    head = data.draw(st.lists(constant_steps(plan.qubits), min_size=1, max_size=3))
    longer = dataclasses.replace(plan, steps=(*head, *plan.steps))
    values, vectors = data.draw(observables(plan.qubits))
    score = CircuitGradient(longer, of_observable(values, vectors))
    wanted = differences(score.values, Z)
    assert np.abs(score.value_and_gradient(Z)[1] - wanted).max() <= 1e-5 * np.abs(values).sum()


@pytest.mark.parametrize("gate", ["rx", "ry", "rz"])
@pytest.mark.parametrize("factor", [1.0, -0.5, 3.0])
def test_rotations_obey_the_parameter_shift_rule(gate: str, factor: float) -> None:
    """f' = factor (f(x + pi/2) - f(x - pi/2)) / 2 for a rotation by factor z: exact, not an approximation.

    Mitarai et al., Phys. Rev. A 98 (2018) 032309.
    """
    builder = Builder("shift", 2, 2).h(0).ry(0.4, 1).cx(0, 1)
    builder.add(gate, (1,), (factor * feature(0),)).cx(1, 0).ry(feature(1), 0)
    circuit = builder.build()
    score = CircuitGradient(circuit, of_observable(*random_observable(2, 3)))
    Z = np.random.default_rng(3).uniform(-1.0, 1.0, (20, 2))
    shift = np.array([np.pi / 2.0 / factor, 0.0])
    wanted = factor * (score.values(Z + shift) - score.values(Z - shift)) / 2.0
    assert np.abs(wanted).max() > 0.01
    assert np.abs(score.value_and_gradient(Z)[1][:, 0] - wanted).max() <= 1e-12


def test_a_phase_gate_obeys_the_rule_too() -> None:
    circuit = Builder("phase", 1, 1).h(0).p(feature(0), 0).h(0).build()
    zero = of_observable(np.ones(1), np.eye(1, 2, dtype=np.complex128))
    Z = np.linspace(-3.0, 3.0, 13)[:, None]
    values, gradient = CircuitGradient(circuit, zero).value_and_gradient(Z)
    assert np.abs(values - np.cos(Z[:, 0] / 2.0) ** 2).max() <= 1e-12
    assert np.abs(gradient[:, 0] + np.sin(Z[:, 0]) / 2.0).max() <= 1e-12


@pytest.mark.parametrize("circuit", [zz(5, 2), reuploading(5, layers=2), hardware_efficient(5)], ids=lambda c: c.name)
def test_rows_do_not_mix_within_or_across_chunks(circuit: Any) -> None:
    values, vectors = random_observable(5, 4)
    score = CircuitGradient(circuit, of_observable(values, vectors))
    Z = np.random.default_rng(4).random((score.chunk + 5, 5))
    found, gradient = score.value_and_gradient(Z)
    for row in (0, 1, score.chunk - 1, score.chunk, len(Z) - 1):
        alone, slope = score.value_and_gradient(Z[row : row + 1])
        assert abs(alone[0] - found[row]) <= 1e-12
        assert np.abs(slope[0] - gradient[row]).max() <= 1e-10


def test_no_rows_have_no_derivatives() -> None:
    score = CircuitGradient(zz(3), of_observable(*random_observable(3, 2)))
    values, gradient = score.value_and_gradient(np.empty((0, 3)))
    assert values.shape == (0,)
    assert gradient.shape == (0, 3)
