"""Support states collapsed in their own span, against the diagonalised matrix (2^n, 2^n) that they make."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import Statevector

from scorer.circuits.maps import hardware_efficient
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, expectation
from scorer.models.observable import Observable, collapse, collapse_states, observable_of
from scorer.training.families.density import fit_density
from scorer.training.families.leverage import fit_leverage
from scorer.training.families.svc import fit_svc

EXACT = 1e-12


def support(count: int, qubits: int, bandwidth: float = 1.0) -> tuple[Any, Any]:
    """States (count, 2^n) of a ZZ map and coefficients of both signs."""
    rng = np.random.default_rng(count)
    return amplitudes(ZZMap(qubits, 2, "full", bandwidth), rng.random((count, qubits))), rng.normal(size=count)


def dense(psi: Any, coefficients: Any) -> Observable:
    return observable_of((psi.T * coefficients) @ psi.conj(), 0.0)


def check(found: Observable, psi: Any, coefficients: Any) -> None:
    """The same operator: eigenvalues, those left out being 0, orthonormal vectors, and scores of any states."""
    whole, size = dense(psi, coefficients), float(np.abs(coefficients).sum())
    kept = whole.values[: found.rank]
    assert np.abs(np.sort(found.values) - np.sort(kept)).max() <= EXACT * size
    assert np.abs(whole.values[found.rank :]).max(initial=0.0) <= EXACT * size
    assert (np.diff(np.abs(found.values)) <= 0.0).all()
    assert np.abs(found.vectors.conj() @ found.vectors.T - np.eye(found.rank)).max() <= EXACT
    states: Any = np.random.default_rng(1).normal(size=(40, psi.shape[1])) + 1j
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    scores, wanted = (expectation(o.values, o.vectors.astype(np.complex128), states) for o in (found, whole))
    assert np.abs(scores - wanted).max() <= EXACT * size


@pytest.mark.parametrize("qubits", [1, 3, 6, 8])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.8, 0.81, 1.0, 2.5])
def test_any_number_of_support_states_is_the_dense_matrix_diagonalised(qubits: int, share: float) -> None:
    count = max(1, int(share * 2**qubits))
    psi, coefficients = support(count, qubits)
    found = collapse_states(psi, coefficients, 0.5)
    assert found.offset == 0.5
    assert found.rank == (count if count <= 0.8 * 2**qubits else 2**qubits)
    check(found, psi, coefficients)


def test_states_that_repeat_or_nearly_do_lose_no_digits() -> None:
    psi, coefficients = support(30, 7)
    twice, weights = np.concatenate([psi, psi]), np.concatenate([coefficients, -0.5 * coefficients])
    check(collapse_states(twice, weights, 0.0), twice, weights)
    alike, weights = support(60, 7, bandwidth=1e-7)
    check(collapse_states(alike, weights, 0.0), alike, weights)


def test_coefficients_of_very_different_size_keep_their_small_eigenvalues() -> None:
    psi, _ = support(20, 7)
    coefficients = np.geomspace(1e-6, 1e6, 20) * np.tile([1.0, -1.0], 10)
    check(collapse_states(psi, coefficients, 0.0), psi, coefficients)


def test_real_states_have_an_observable_of_real_scores() -> None:
    circuit = hardware_efficient(5, 1)
    psi = amplitudes(circuit, np.random.default_rng(0).random((9, 5)))
    check(collapse_states(psi, np.arange(9.0) - 4.0, 0.0), psi, np.arange(9.0) - 4.0)


@pytest.mark.parametrize("qubits", [2, 5, 8])
def test_scores_are_sums_of_fidelities_with_qiskits_states(qubits: int) -> None:
    rng = np.random.default_rng(qubits)
    Z, fresh, weights = rng.random((12, qubits)), rng.random((7, qubits)), rng.normal(size=12)
    circuit = zz_feature_map(qubits, reps=2, entanglement="full")
    states, others = ([Statevector(circuit.assign_parameters(z)) for z in rows] for rows in (Z, fresh))
    wanted = [sum(w * abs(s.inner(o)) ** 2 for w, s in zip(weights, states, strict=True)) for o in others]
    found = collapse(ZZMap(qubits, 2, "full", 1.0), Z, weights, 0.25).exact_scores(ZZMap(qubits, 2, "full", 1.0), fresh)
    assert np.abs(found - 0.25 - wanted).max() <= 1e-11


@pytest.mark.parametrize("family", ["svc", "density", "leverage"])
def test_twelve_qubits_are_fitted_without_a_matrix_of_all_basis_states(family: str) -> None:
    """One such matrix takes 256 MiB, and diagonalising it minutes."""
    rng = np.random.default_rng(3)
    Z, circuit = rng.random((60, 12)), ZZMap(12, 2, "full", 0.2)
    y = np.arange(60) % 2
    tracemalloc.start()
    try:
        if family == "svc":
            whole = fit_svc(Z, y, circuit, 1.0, rank=2**12)
        else:
            whole = fit_density(Z, circuit, rank=2**12) if family == "density" else fit_leverage(Z, circuit, 1e-3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole.rank <= 64
    assert peak < 2**26
