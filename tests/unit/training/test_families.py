"""Each family against the formula that it comes from: kernel form, closed form, scikit-learn, Qiskit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from scorer.circuits.plugins import feature_map
from scorer.circuits.zz import ZZMap
from scorer.engine.bloch import bloch_vectors
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.families import FAMILIES, UnknownFamily, family_named
from scorer.models.machine import ObservableMachine
from scorer.models.observable import FeatureMap, Observable
from scorer.models.twins import gaussian_kernel
from scorer.training.families.checks import FitError
from scorer.training.families.density import fit_density, fit_density_twin
from scorer.training.families.landmarks import choose_landmarks, whitening
from scorer.training.families.leverage import fit_leverage, fit_leverage_twin
from scorer.training.families.logistic import logistic
from scorer.training.families.nystrom_logistic import fit_nystrom_logistic, fit_nystrom_twin
from scorer.training.families.one_class import mean_state, sufficient_rank
from scorer.training.families.projected import fit_projected
from scorer.training.families.svc import fit_svc
from scorer.training.families.table import FAMILY_TRAINING
from scorer.training.families.vqc import Ansatz, CircuitLoss, fit_vqc
from tests.unit.engine.bounds import FLOAT32_BOUND

WHOLE = 1 << 12
ZZ = ZZMap(5, 2, "full", 0.15)


def rows(count: int, qubits: int = 5, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    Z = rng.random((count, qubits))
    y = (Z[:, 0] + Z[:, 1] ** 2 + rng.normal(0.0, 0.15, count) > 0.9).astype(np.int64)
    return Z, y


def compiled(name: str, features: int, bandwidth: float, **parameters: Any) -> FeatureMap:
    made = feature_map(name, features, bandwidth=bandwidth, **parameters)
    return made if isinstance(made, ZZMap) else made.plan


def whole_of(family: str, circuit: FeatureMap, Z: Any, y: Any) -> Observable:
    """The family's observable before anything is cut."""
    if family == "svc":
        return fit_svc(Z, y, circuit, 1.0, rank=WHOLE)
    if family == "nystrom-logistic":
        return fit_nystrom_logistic(Z, y, circuit, 1.0, Z[:40], rank=WHOLE)
    if family == "vqc":
        return fit_vqc(Z, y, circuit, 3.0, 1, seed=0, restarts=1, steps=15, rank=WHOLE)
    if family == "density":
        return fit_density(Z[y == 0], circuit, rank=WHOLE)
    return fit_leverage(Z[y == 0], circuit, 1e-3, rank=WHOLE)


OBSERVABLES = [name for name, family in FAMILIES.items() if family.machine is ObservableMachine]


def test_every_family_can_be_fitted_and_no_other() -> None:
    assert list(FAMILIES) == list(FAMILY_TRAINING)
    with pytest.raises(UnknownFamily, match="'forest' is not known; known are svc, nystrom-logistic, vqc"):
        family_named("forest")


@pytest.mark.parametrize("family", OBSERVABLES)
@pytest.mark.parametrize("map_name", ["zz", "qft"])
def test_truncation_moves_no_score_beyond_its_bound(family: str, map_name: str) -> None:
    circuit = compiled(map_name, 5, 0.15 if map_name == "zz" else 1.0)
    Z, y = rows(120)
    fresh, _ = rows(200, seed=1)
    whole = whole_of(family, circuit, Z, y)
    exact = whole.exact_scores(circuit, fresh)
    for rank in (1, 4, 16, 32):
        cut = whole.truncated(rank)
        moved = np.abs(cut.exact_scores(circuit, fresh) - exact).max()
        assert moved <= cut.tail + 1e-6 * np.abs(whole.values).sum()
        assert cut.tail == (0.0 if rank == 32 else abs(whole.values[rank]))
        deployed = ObservableMachine(circuit, cut)
        distance = np.abs(deployed.scores(fresh) - deployed.exact_scores(fresh)).max()
        assert distance <= FLOAT32_BOUND * np.abs(cut.values).sum()


def test_nystrom_logistic_is_logistic_regression_on_nystrom_features() -> None:
    Z, y = rows(600)
    fresh, _ = rows(100, seed=1)
    landmarks = Z[:40]
    psi = amplitudes(ZZ, landmarks)
    kernel = fidelity_kernel(amplitudes(ZZ, Z), psi)
    basis = whitening(fidelity_kernel(psi, psi))
    peer = LogisticRegression(C=2.0, class_weight="balanced", tol=1e-10, max_iter=5000).fit(kernel @ basis, y)
    expected = peer.decision_function(fidelity_kernel(amplitudes(ZZ, fresh), psi) @ basis)
    ours = fit_nystrom_logistic(Z, y, ZZ, 2.0, landmarks, rank=WHOLE)
    assert np.abs(ours.exact_scores(ZZ, fresh) - expected).max() <= 1e-4
    twin = fit_nystrom_twin(Z, y, 1.0, 2.0, landmarks)
    basis = whitening(gaussian_kernel(landmarks, landmarks, 1.0))
    peer = LogisticRegression(C=2.0, class_weight="balanced", tol=1e-10, max_iter=5000)
    peer.fit(gaussian_kernel(Z, landmarks, 1.0) @ basis, y)
    expected = peer.decision_function(gaussian_kernel(fresh, landmarks, 1.0) @ basis)
    assert np.abs(twin.scores(fresh) - expected).max() <= 1e-3


def test_nystrom_sums_do_not_depend_on_threads_or_on_where_newton_starts() -> None:
    Z, y = rows(45_000, 2)  # above the number of rows from which a part of them is solved first
    landmarks = choose_landmarks(Z, y, 12, np.random.default_rng(0))
    kernel_of = partial(gaussian_kernel, right=landmarks, gamma=1.0)
    heard: list[int] = []
    with threadpool_limits(limits=1):  # as ``fit`` does: threads of the BLAS add up in an order of their own
        one = logistic(Z, y, landmarks, kernel_of, 1.0, workers=1, watch=lambda step, _most: heard.append(step))
    two = logistic(Z, y, landmarks, kernel_of, 1.0, workers=2)
    assert np.array_equal(one[0], two[0])
    assert one[1] == two[1]
    assert len(heard) <= 5  # Newton on all rows starts where the part of them ended
    basis = whitening(kernel_of(landmarks))
    peer = LogisticRegression(class_weight="balanced", solver="newton-cholesky", tol=1e-8).fit(kernel_of(Z) @ basis, y)
    difference = kernel_of(Z[:500]) @ one[0] + one[1] - peer.decision_function(kernel_of(Z[:500]) @ basis)
    assert np.abs(difference).max() <= 1e-3


def test_landmarks_are_seeded_and_hold_rare_attacks() -> None:
    Z, _ = rows(5000)
    y = (np.arange(5000) < 20).astype(np.int64)
    chosen = choose_landmarks(Z, y, 100, np.random.default_rng(3))
    assert len(chosen) == 100
    attacks = {tuple(row) for row in Z[:20]}
    assert sum(tuple(row) in attacks for row in chosen) == 20
    assert np.array_equal(chosen, choose_landmarks(Z, y, 100, np.random.default_rng(3)))


def test_density_is_the_mean_fidelity_turned_round() -> None:
    Z, _ = rows(90)
    fresh, _ = rows(60, seed=1)
    expected = -fidelity_kernel(amplitudes(ZZ, fresh), amplitudes(ZZ, Z)).mean(axis=1)
    assert np.abs(fit_density(Z, ZZ, rank=WHOLE).exact_scores(ZZ, fresh) - expected).max() <= 1e-12
    twin = fit_density_twin(Z, 2.0)
    assert np.abs(twin.scores(fresh) + gaussian_kernel(fresh, Z, 2.0).mean(axis=1)).max() <= 1e-5


def test_leverage_is_the_ridge_inverse_of_the_mean_state() -> None:
    Z, _ = rows(90)
    fresh, _ = rows(60, seed=1)
    ridge = 1e-4
    psi = amplitudes(ZZ, fresh)
    inverse = np.linalg.inv(mean_state(ZZ, Z) + ridge * np.eye(32))
    expected = ridge * np.einsum("bi,ij,bj->b", psi.conj(), inverse, psi).real
    assert np.abs(fit_leverage(Z, ZZ, ridge, rank=WHOLE).exact_scores(ZZ, fresh) - expected).max() <= 1e-10
    scores = fit_leverage(Z, ZZ, ridge).exact_scores(ZZ, fresh)
    assert ((scores > -0.01) & (scores < 1.01)).all()


def test_the_leverage_twin_is_kernel_ridge_leverage() -> None:
    """On all rows as landmarks: 1 - k^T (K + N ridge)^-1 k, computed without Nystrom features."""
    Z, _ = rows(80)
    fresh, _ = rows(40, seed=1)
    ridge, gamma = 1e-2, 1.5
    across = gaussian_kernel(Z, fresh, gamma)
    inner = gaussian_kernel(Z, Z, gamma) + len(Z) * ridge * np.eye(len(Z))
    expected = 1.0 - np.einsum("ij,ij->j", across, np.linalg.solve(inner, across))
    twin = fit_leverage_twin(Z, gamma, ridge, Z)
    # What the cut of small eigenvalues may move: TAIL of the largest.
    assert np.abs(twin.exact_scores(fresh) - expected).max() <= 0.01
    assert np.abs(twin.scores(fresh) - twin.exact_scores(fresh)).max() <= 1e-4


def test_novelty_is_higher_far_from_normal_rows() -> None:
    rng = np.random.default_rng(0)
    normal, odd = 0.2 * rng.random((400, 5)), 0.6 + 0.4 * rng.random((100, 5))
    fresh = np.concatenate([0.2 * rng.random((100, 5)), odd])
    y = np.repeat([0, 1], 100)
    machines = [ObservableMachine(ZZ, fit_density(normal, ZZ)), ObservableMachine(ZZ, fit_leverage(normal, ZZ, 1e-3))]
    tried: list[Callable[[Any], Any]] = [machine.scores for machine in machines]
    tried += [fit_density_twin(normal, 2.0).scores, fit_leverage_twin(normal, 2.0, 1e-3, normal[:100]).scores]
    for scores in tried:
        assert roc_auc_score(y, scores(fresh)) > 0.95


def test_enough_eigenvalues_are_kept() -> None:
    assert sufficient_rank(np.array([1.0, *[0.5] * 40, *[0.001] * 23]), 6) == 41
    assert sufficient_rank(np.array([1.0, *[0.001] * 63]), 6) == 16


@pytest.mark.parametrize(("qubits", "layers"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_the_variational_circuit_is_qiskits(qubits: int, layers: int) -> None:
    ansatz = Ansatz(qubits, layers)
    theta = np.random.default_rng(0).normal(size=ansatz.angles)
    circuit = QuantumCircuit(qubits)
    angles = theta.reshape(layers + 1, 2, qubits)
    for layer in range(layers + 1):
        for qubit in range(qubits):
            circuit.ry(angles[layer, 0, qubit], qubit)
            circuit.rz(angles[layer, 1, qubit], qubit)
        if layer < layers:
            for control in range(qubits if qubits > 2 else qubits - 1):
                circuit.cx(control, (control + 1) % qubits)
    assert np.abs(ansatz.unitary(theta) - Operator(circuit).data).max() <= 1e-12


@pytest.mark.parametrize("qubits", [1, 2, 4])
def test_the_adjoint_gradient_is_the_slope_of_the_loss(qubits: int) -> None:
    Z, y = rows(40, max(qubits, 2))
    circuit = ZZMap(qubits, 2, "full", 0.4)
    problem = CircuitLoss(amplitudes(circuit, Z[:, :qubits]), y, Ansatz(qubits, 2), 1.0)
    x = problem.start(np.random.default_rng(1)) + 0.1
    slope = approx_fprime(x, lambda v: problem(v)[0], 1e-7)
    assert np.abs(problem(x)[1] - slope).max() <= 1e-5


def test_a_vqc_is_its_circuit_collapsed_and_learns() -> None:
    Z, y = rows(200, 3)
    circuit = ZZMap(3, 2, "full", 0.2)
    heard: list[tuple[int, int]] = []
    found = fit_vqc(Z, y, circuit, 3.0, 2, seed=0, restarts=2, steps=60, watch=lambda *step: heard.append(step))
    assert heard == [(0, 2), (1, 2)]
    assert roc_auc_score(y, found.exact_scores(circuit, Z)) > 0.85
    again = fit_vqc(Z, y, circuit, 3.0, 2, seed=0, restarts=2, steps=60)
    assert np.allclose(again.values, found.values, atol=1e-6)
    problem = CircuitLoss(amplitudes(circuit, Z), y, Ansatz(3, 2), 3.0)
    x = problem.start(np.random.default_rng(5))
    psi = amplitudes(circuit, Z) @ Ansatz(3, 2).unitary(x[:-4]).T
    signs = 1.0 - 2.0 * ((np.arange(8)[:, None] >> np.arange(3)) & 1)
    expected = np.abs(psi) ** 2 @ signs @ x[-4:-1] + x[-1]
    assert np.abs(problem.observable(x).exact_scores(circuit, Z) - expected).max() <= 1e-12


MAPS = st.sampled_from([("zz", 0.3), ("pauli", 0.3), ("qft", 1.0), ("reuploading", 1.0), ("hardware_efficient", 1.0)])


@settings(max_examples=25, deadline=None)
@given(MAPS, st.integers(2, 4), st.integers(0, 2**16), st.integers(2, 30))
def test_kernels_are_kernels(named: tuple[str, float], qubits: int, seed: int, count: int) -> None:
    """Symmetric, unit diagonal, positive semidefinite; the same in another order and in other batches."""
    rng = np.random.default_rng(seed)
    circuit, Z = compiled(named[0], qubits, named[1]), rng.uniform(-0.5, 1.5, (count, qubits))
    psi = amplitudes(circuit, Z)
    kernel = fidelity_kernel(psi, psi)
    assert np.abs(kernel - kernel.T).max() <= 1e-12
    assert np.abs(np.diag(kernel) - 1.0).max() <= 1e-12
    assert np.linalg.eigvalsh(kernel)[0] >= -1e-12 * count
    order = rng.permutation(count)
    moved = amplitudes(circuit, Z[order])
    assert np.abs(fidelity_kernel(moved, moved) - kernel[np.ix_(order, order)]).max() <= 1e-12
    cut = int(rng.integers(1, count))
    parts = np.concatenate([amplitudes(circuit, Z[:cut]), amplitudes(circuit, Z[cut:])])
    assert np.abs(parts - psi).max() <= 1e-14


def test_projected_scores_of_rows_far_from_all_others_are_right() -> None:
    """Rows alike but for a thousandth, and thirty elsewhere: in float32 scores of the thirty were off by half of the
    spread of all scores, and by 10^7 where rows are alike but for a ten-thousandth."""
    rng = np.random.default_rng(0)
    for width in (1e-2, 1e-4):
        Z = 0.3 + width * rng.random((300, 3))
        Z[:30] = rng.random((30, 3))
        y = (np.arange(300) % 10 < 3).astype(np.int64)
        machine = fit_projected(Z, y, ZZMap(3, 2, "full", 0.4), 1.5, 3.0, class_weight="balanced")
        states = amplitudes(machine.circuit, Z)
        u = machine.projection.scaled(bloch_vectors(states.T).T)
        far = np.square(u[:, None] - machine.gaussians.support[None].astype(np.float64)).sum(2)
        expected = np.exp(-1.5 * far) @ machine.gaussians.coefficients.astype(np.float64) + machine.gaussians.offset
        assert np.abs(machine.scores(Z) - expected).max() <= 1e-5 * expected.std()


@pytest.mark.parametrize(
    ("fit", "complaint"),
    [
        (lambda _Z, _y: fit_density(np.empty((0, 5)), ZZ), "no rows"),
        (lambda _Z, _y: fit_density_twin(np.zeros((20_001, 5)), 1.0), "at most 20000"),
        (lambda Z, _y: fit_leverage(Z, ZZ, 0.0), "ridge is 0"),
        (
            lambda _Z, _y: fit_leverage(np.full((3, 5), np.nan), ZZ, 0.1),
            "3 of 3 rows hold NaN or infinity, row 0 first, in column 0",
        ),
        (lambda Z, _y: fit_leverage_twin(Z, -1.0, 0.1, Z), "gamma is -1"),
        (lambda Z, _y: fit_leverage_twin(Z, 1.0, 0.1, np.zeros((1001, 5))), "1001 landmarks"),
        (lambda Z, y: choose_landmarks(Z, y, 1, np.random.default_rng(0)), "1 landmarks"),
        (lambda Z, y: fit_nystrom_logistic(Z, 0 * y, ZZ, 1.0, Z), "both must occur"),
        (lambda Z, y: fit_nystrom_logistic(Z, y, ZZ, -1.0, Z), "C is -1"),
        (lambda Z, y: fit_vqc(Z, y, ZZ, 1.0, 9, seed=0), "9 layers"),
    ],
)
def test_what_cannot_be_fitted_is_refused(fit: Any, complaint: str) -> None:
    with pytest.raises(FitError, match=complaint):
        fit(*rows(30))
