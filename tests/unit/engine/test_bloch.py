"""Bloch vectors against dense Pauli matrices, outcome probabilities against both, and the way back from slopes."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.circuit import Builder
from scorer.circuits.expressions import feature
from scorer.circuits.maps import zz
from scorer.circuits.plan import Plan
from scorer.engine.bloch import axis_probabilities, bloch_vectors, projected, pulled_back
from scorer.engine.gradient import CircuitGradient
from scorer.engine.reference import amplitudes

from .strategies import plans_with_rows

PAULIS = [np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])]
SOME = settings(max_examples=60, deadline=None)


def dense_pauli(axis: int, qubit: int, qubits: int) -> Any:
    """The Pauli matrix on one qubit, (2^n, 2^n); qubit 0 is the last factor."""
    return reduce(np.kron, [PAULIS[axis] if q == qubit else np.eye(2) for q in reversed(range(qubits))])


def states(count: int, qubits: int, seed: int = 0) -> Any:
    """Unit states as columns (2^n, count)."""
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=(2**qubits, count)) + 1j * rng.normal(size=(2**qubits, count))
    return psi / np.linalg.norm(psi, axis=0)


@pytest.mark.parametrize("qubits", [1, 2, 3, 5])
def test_bloch_vectors_are_pauli_expectations(qubits: int) -> None:
    psi = states(4, qubits)
    wanted = [
        np.einsum("ib,ij,jb->b", psi.conj(), dense_pauli(axis, q, qubits), psi).real
        for q in range(qubits)
        for axis in range(3)
    ]
    assert np.abs(bloch_vectors(psi) - wanted).max() <= 1e-12


@SOME
@given(plans_with_rows())
def test_no_bloch_vector_is_longer_than_one(case: tuple[Plan, Any]) -> None:
    plan, Z = case
    lengths = np.linalg.norm(projected(plan, Z).reshape(len(Z), plan.qubits, 3), axis=2)
    assert lengths.max() <= 1.0 + 1e-12


def test_qubits_that_share_nothing_have_vectors_of_length_one() -> None:
    builder = Builder("product", 4, 4)
    for qubit in range(4):
        builder.ry(feature(qubit), qubit).rz(2.0 * feature(qubit), qubit)
    Z = np.random.default_rng(1).random((9, 4))
    vectors = projected(builder.build().plan, Z).reshape(9, 4, 3)
    assert np.abs(np.linalg.norm(vectors, axis=2) - 1.0).max() <= 1e-12
    assert np.abs(vectors[:, :, 2] - np.cos(Z)).max() <= 1e-12
    assert np.abs(vectors[:, :, 0] - np.sin(Z) * np.cos(2.0 * Z)).max() <= 1e-12


def test_halves_of_a_bell_pair_point_nowhere() -> None:
    bell = Builder("bell", 2, 1).h(0).cx(0, 1).build()
    assert np.abs(projected(bell.plan, np.zeros((1, 1)))).max() <= 1e-12


@SOME
@given(plans_with_rows())
def test_outcomes_along_every_axis_have_the_bloch_vectors_as_means(case: tuple[Plan, Any]) -> None:
    plan, Z = case
    psi = amplitudes(plan, Z).T
    found = axis_probabilities(psi)
    assert found.min() >= 0.0
    assert np.abs(found.sum(1) - 1.0).max() <= 1e-12
    signs = 1 - 2 * ((np.arange(2**plan.qubits)[:, None] >> np.arange(plan.qubits)) & 1)
    means = np.einsum("asb,sq->qab", found, signs)
    assert np.abs(means.reshape(-1, len(Z)) - bloch_vectors(psi)).max() <= 1e-12


@SOME
@given(st.integers(1, 4), st.integers(0, 99))
def test_pulled_back_slopes_are_the_dense_operator_on_the_state(qubits: int, seed: int) -> None:
    psi = states(3, qubits, seed)
    slopes = np.random.default_rng(seed).normal(size=(3 * qubits, 3))
    wanted = sum(
        slopes[3 * q + axis] * (dense_pauli(axis, q, qubits) @ psi) for q in range(qubits) for axis in range(3)
    )
    assert np.abs(pulled_back(psi, slopes) - wanted).max() <= 1e-12


def test_slopes_of_bloch_vectors_pulled_back_are_derivatives() -> None:
    circuit, weights = zz(3, 2, "full", 0.5), np.random.default_rng(2).normal(size=9)

    def observe(psi: Any) -> tuple[Any, Any]:
        return weights @ bloch_vectors(psi), pulled_back(psi, np.repeat(weights[:, None], psi.shape[1], axis=1))

    score = CircuitGradient(circuit, observe)
    Z, step = np.random.default_rng(3).random((6, 3)), 1e-5
    gradient = score.value_and_gradient(Z)[1]
    for feature_index, shift in enumerate(step * np.eye(3)):
        wanted = (projected(circuit.plan, Z + shift) - projected(circuit.plan, Z - shift)) @ weights / (2.0 * step)
        assert np.abs(gradient[:, feature_index] - wanted).max() <= 1e-7


def test_projections_do_not_depend_on_where_a_chunk_ends() -> None:
    plan = zz(2).plan
    Z = np.random.default_rng(4).random((1100, 2))
    together = projected(plan, Z)
    assert together.shape == (1100, 6)
    assert np.abs(projected(plan, Z[500:530]) - together[500:530]).max() <= 1e-13
