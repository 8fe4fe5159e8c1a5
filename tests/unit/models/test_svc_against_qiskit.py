"""The collapsed observable against qiskit-machine-learning's kernel and classifier on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.algorithms import QSVC
from qiskit_machine_learning.kernels import FidelityStatevectorKernel
from sklearn.svm import SVC

from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.observable import Observable, collapse, default_rank
from scorer.training.families.checks import FitError
from scorer.training.families.svc import fit_svc, fit_twin

BANDWIDTH = 0.9


def rows(count: int, qubits: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    Z = rng.random((count, qubits))
    y = (Z[:, 0] + Z[:, 1] ** 2 + rng.normal(0.0, 0.15, count) > 0.9).astype(np.int64)
    return Z, y


@pytest.mark.parametrize(("qubits", "entanglement"), [(3, "linear"), (4, "circular"), (6, "full")])
def test_kernel_and_decision_function_are_qmls(qubits: int, entanglement: str) -> None:
    Z, y = rows(80, qubits)
    fresh, _ = rows(30, qubits, seed=1)
    circuit = ZZMap(qubits, 2, entanglement, BANDWIDTH)
    peer = FidelityStatevectorKernel(feature_map=zz_feature_map(qubits, reps=2, entanglement=entanglement))
    psi = amplitudes(circuit, Z)
    ours = fidelity_kernel(psi, psi)
    assert np.abs(ours - peer.evaluate(BANDWIDTH * Z)).max() <= 1e-10
    machine = QSVC(quantum_kernel=peer, C=1.0).fit(BANDWIDTH * Z, y)
    expected = machine.decision_function(BANDWIDTH * fresh)
    whole = collapse(circuit, Z[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
    assert np.abs(whole.exact_scores(circuit, fresh) - expected).max() <= 1e-10
    # libsvm stops at a tolerance, so machines fitted on kernels that differ by 1e-16 agree only about so far.
    fitted = fit_svc(Z, y, circuit, 1.0, rank=2**qubits)
    assert np.abs(fitted.exact_scores(circuit, fresh) - expected).max() <= 1e-3


def test_fit_is_scikit_learns_machine_on_the_same_kernel() -> None:
    Z, y = rows(120, 5)
    fresh, _ = rows(50, 5, seed=2)
    circuit = ZZMap(5, 2, "full", BANDWIDTH)
    psi, other = amplitudes(circuit, Z), amplitudes(circuit, fresh)
    machine = SVC(kernel="precomputed", C=2.0).fit(fidelity_kernel(psi, psi), y)
    expected = machine.decision_function(fidelity_kernel(other, psi))
    fitted = fit_svc(Z, y, circuit, 2.0, rank=32)
    assert np.abs(fitted.exact_scores(circuit, fresh) - expected).max() <= 1e-10


def test_the_whole_observable_has_real_falling_eigenvalues_and_orthonormal_vectors() -> None:
    Z, y = rows(100, 4)
    whole = fit_svc(Z, y, ZZMap(4), 1.0, rank=16)
    assert whole.rank == 16
    assert (np.diff(np.abs(whole.values)) <= 0).all()
    assert np.abs(whole.vectors.conj() @ whole.vectors.T - np.eye(16)).max() <= 1e-12


@pytest.mark.parametrize("rank", [1, 4, 16, 40])
def test_truncation_moves_no_score_beyond_its_bound(rank: int) -> None:
    Z, y = rows(150, 6)
    fresh, _ = rows(300, 6, seed=3)
    circuit = ZZMap(6, 2, "full", BANDWIDTH)
    whole = fit_svc(Z, y, circuit, 1.0, rank=64)
    cut = whole.truncated(rank)
    moved = np.abs(cut.exact_scores(circuit, fresh) - whole.exact_scores(circuit, fresh)).max()
    assert moved <= whole.spectral_tail(rank) + 1e-5 * np.abs(whole.values).sum()
    assert cut.vectors.dtype == np.complex64
    assert whole.spectral_tail(64) == 0.0
    # Cut twice, the bound is that of the deeper cut.
    assert cut.tail == whole.spectral_tail(rank) > 0.0
    assert cut.truncated(rank).tail == cut.tail
    assert whole.truncated(50).truncated(rank).tail >= cut.tail


def test_deployed_scores_are_the_exact_ones_in_single_precision() -> None:
    Z, y = rows(150, 6)
    circuit = ZZMap(6, 2, "full", BANDWIDTH)
    fitted = fit_svc(Z, y, circuit, 1.0)
    assert fitted.rank == default_rank(6) == 16
    distance = np.abs(fitted.scores(circuit, Z) - fitted.exact_scores(circuit, Z)).max()
    assert distance <= 2e-5 * np.abs(fitted.values).sum()


def test_the_twin_is_scikit_learns_machine() -> None:
    Z, y = rows(200, 6)
    fresh, _ = rows(700, 6, seed=4)
    machine = SVC(kernel="rbf", gamma=1.5, C=3.0).fit(Z, y)
    twin = fit_twin(Z, y, 1.5, 3.0)
    assert np.abs(twin.scores(fresh) - machine.decision_function(fresh)).max() <= 1e-4


@pytest.mark.parametrize(
    ("Z", "y", "complaint"),
    [
        (np.zeros((4, 2)), np.array([0, 1, 0]), "4 rows and 3 labels; one label for each"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "2 of 2 rows hold NaN or infinity, row 0 first, in column 0"),
        (np.zeros((2, 2)), np.array([1, 1]), "both must occur"),
        (np.zeros((3, 2)), np.array([0, 1, 2]), "0 and 1"),
        (np.zeros((20_001, 2)), np.zeros(20_001, np.int64), "at most 20000"),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(Z: Any, y: Any, complaint: str) -> None:
    with pytest.raises(FitError, match=complaint):
        fit_svc(Z, y, ZZMap(2), 1.0)


def test_impossible_hyper_parameters_are_refused() -> None:
    Z, y = rows(20, 2)
    with pytest.raises(FitError, match="C is 0"):
        fit_svc(Z, y, ZZMap(2), 0.0)
    with pytest.raises(FitError, match="gamma is -1"):
        fit_twin(Z, y, -1.0, 1.0)


def test_an_observable_keeps_its_offset() -> None:
    zero = Observable(np.zeros(1), np.array([[1.0 + 0j, 0.0]]), 0.25)
    assert zero.exact_scores(ZZMap(1), np.zeros((3, 1))).tolist() == [0.25] * 3
