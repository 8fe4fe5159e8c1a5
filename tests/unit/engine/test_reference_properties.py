"""What holds for the reference on any plan: it is the definition of every step, and its kernels are kernels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Hadamards, Phases, Step
from scorer.engine.reference import (
    amplitudes,
    evolve,
    evolve_back,
    expectation,
    fidelity_kernel,
    hadamard,
    hadamard_transform,
)
from tests.unit.circuits.dense import plan_states

from .strategies import constant_steps, masks, observables, plans_with_rows, rows

EXACT = 1e-12
SOME = settings(max_examples=60, deadline=None)
FEW = settings(max_examples=30, deadline=None)


def brute_kernel(left: Any, right: Any) -> Any:
    """|<left_i|right_j>|^2 one pair at a time."""
    return np.array([[abs(np.vdot(a, b)) ** 2 for b in right] for a in left])


def operator(values: Any, vectors: Any) -> Any:
    """The dense matrix sum_k values_k |v_k><v_k|, (2^n, 2^n)."""
    return sum(value * np.outer(v, v.conj()) for value, v in zip(values, vectors, strict=True))


@SOME
@given(plans_with_rows())
def test_states_are_those_of_the_steps_definitions(case: tuple[Plan, Any]) -> None:
    plan, Z = case
    assert np.abs(amplitudes(plan, Z) - plan_states(plan, Z)).max() <= EXACT


@SOME
@given(plans_with_rows())
def test_states_have_unit_norm(case: tuple[Plan, Any]) -> None:
    plan, Z = case
    assert np.abs(np.linalg.norm(amplitudes(plan, Z), axis=1) - 1.0).max() <= EXACT


@SOME
@given(plans_with_rows(most_rows=10))
def test_every_plans_kernel_is_a_kernel(case: tuple[Plan, Any]) -> None:
    """Symmetric, ones on its diagonal, nowhere outside 0 to 1, no negative eigenvalue, equal to brute force."""
    plan, Z = case
    psi = amplitudes(plan, Z)
    kernel = fidelity_kernel(psi, psi)
    assert np.array_equal(kernel, kernel.T)
    assert np.abs(np.diag(kernel) - 1.0).max() <= EXACT
    assert kernel.min() >= 0.0
    assert kernel.max() <= 1.0 + EXACT
    assert np.linalg.eigvalsh(kernel).min() >= -1e-10
    assert np.abs(kernel - brute_kernel(psi, psi)).max() <= EXACT


@SOME
@given(st.data())
def test_a_kernel_between_two_sets_of_rows_is_brute_force(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows())
    left, right = amplitudes(plan, Z), amplitudes(plan, data.draw(rows(plan.features)))
    assert np.abs(fidelity_kernel(left, right) - brute_kernel(left, right)).max() <= EXACT
    assert np.abs(fidelity_kernel(left, right) - fidelity_kernel(right, left).T).max() <= EXACT


@FEW
@given(plans_with_rows(), st.floats(-3.0, 3.0))
def test_a_global_phase_changes_no_kernel(case: tuple[Plan, Any], angle: float) -> None:
    plan, Z = case
    turned = dataclasses.replace(plan, steps=(*plan.steps, Phases((), ((0, angle),))))
    psi, phi = amplitudes(plan, Z), amplitudes(turned, Z)
    assert np.abs(phi - np.exp(1j * angle) * psi).max() <= EXACT
    assert np.abs(fidelity_kernel(psi, psi) - fidelity_kernel(phi, phi)).max() <= EXACT
    assert np.abs(amplitudes(turned.without_global_phase, Z) - amplitudes(plan.without_global_phase, Z)).max() <= EXACT


@FEW
@given(st.data())
def test_constant_steps_at_the_end_change_no_kernel(data: st.DataObject) -> None:
    """U on both sides of an overlap cancels: what lets the engine move such steps into the observable."""
    plan, Z = data.draw(plans_with_rows())
    tail = data.draw(st.lists(constant_steps(plan.qubits), min_size=1, max_size=3))
    longer = dataclasses.replace(plan, steps=(*plan.steps, *tail))
    psi, phi = amplitudes(plan, Z), amplitudes(longer, Z)
    assert np.abs(fidelity_kernel(psi, psi) - fidelity_kernel(phi, phi)).max() <= EXACT


@FEW
@given(plans_with_rows(), st.sampled_from((0.1, 0.5, 2.0)))
def test_a_bandwidth_is_a_factor_of_the_rows(case: tuple[Plan, Any], factor: float) -> None:
    plan, Z = case
    narrow = plan.with_bandwidth(plan.bandwidth * factor)
    assert np.abs(amplitudes(narrow, Z) - amplitudes(plan, factor * Z)).max() <= 1e-11


@SOME
@given(st.data())
def test_scores_are_those_of_the_dense_operator(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows())
    values, vectors = data.draw(observables(plan.qubits))
    psi, A = amplitudes(plan, Z), operator(values, vectors)
    brute = [float(np.vdot(row, A @ row).real) for row in psi]
    scores = expectation(values, vectors, psi)
    assert np.abs(scores - brute).max() <= EXACT * max(1.0, np.abs(values).sum())
    assert scores.max() <= max(0.0, values.max()) + EXACT
    assert scores.min() >= min(0.0, values.min()) - EXACT


@FEW
@given(st.data())
def test_scores_are_linear_in_the_eigenvalues(data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows())
    values, vectors = data.draw(observables(plan.qubits))
    psi, other = amplitudes(plan, Z), values[::-1].copy()
    both = expectation(values, vectors, psi) + 2.0 * expectation(other, vectors, psi)
    assert np.abs(expectation(values + 2.0 * other, vectors, psi) - both).max() <= 1e-11


@SOME
@given(st.data())
def test_constant_steps_are_undone(data: st.DataObject) -> None:
    qubits = data.draw(st.integers(1, 4))
    run: list[Step] = data.draw(st.lists(constant_steps(qubits), min_size=1, max_size=5))
    psi: Any = np.random.default_rng(qubits).normal(size=(2**qubits, 3)) + 0.5j
    there = evolve(run, np.empty((0, 1)), psi)
    assert np.abs(evolve_back(run, there) - psi).max() <= 1e-11


@SOME
@given(st.data())
def test_the_hadamard_transform_is_its_matrix_and_its_own_inverse(data: st.DataObject) -> None:
    qubits = data.draw(st.integers(1, 6))
    mask = data.draw(masks(qubits))
    psi: Any = np.random.default_rng(mask).normal(size=(2**qubits, 2)) * (1.0 + 0.3j)
    dense = np.eye(1)
    for qubit in range(qubits):
        dense = np.kron(hadamard(1) / np.sqrt(2.0) if mask >> qubit & 1 else np.eye(2), dense)
    turned = hadamard_transform(psi, mask)
    assert np.abs(turned - dense @ psi).max() <= EXACT
    assert np.abs(hadamard_transform(turned, mask) - psi).max() <= EXACT


@FEW
@given(plans_with_rows(most_rows=5))
def test_a_row_has_its_state_whatever_stands_beside_it(case: tuple[Plan, Any]) -> None:
    plan, Z = case
    together = amplitudes(plan, Z)
    alone = np.concatenate([amplitudes(plan, Z[k : k + 1]) for k in range(len(Z))])
    assert np.abs(together - alone).max() <= EXACT
    assert np.abs(amplitudes(plan, Z[::-1]) - together[::-1]).max() <= EXACT


def test_a_plan_without_steps_leaves_every_row_at_zero() -> None:
    plan = Plan("nothing", 2, 1, 1.0, (), ())
    assert amplitudes(plan, np.zeros((3, 1))).tolist() == [[1, 0, 0, 0]] * 3
    assert amplitudes(Plan("even", 1, 1, 1.0, (), (Hadamards(1),)), np.zeros((1, 1))).real.round(12).tolist() == [
        [round(0.5**0.5, 12)] * 2
    ]
