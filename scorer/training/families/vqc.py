"""The ``vqc`` family: a trainable circuit behind the feature map, collapsed to an observable once trained.

Take it for labelled rows, to compare a trained circuit with the kernel machines; seldom the best of them. Its twin is
that of ``svc``.

The row is encoded first, |psi(z)>; a circuit U(theta) of R_Y and R_Z rotations on every qubit and a ring of CX follows,
and every qubit is measured: f(z) = <psi|U^+ M U|psi> + b with M = sum_i w_i Z_i. So A = U^+ M U, and no row is ever run
through U: scores need A alone, and the gradient of the loss by theta needs the rows only through

    G = sum_i dL/df_i |psi_i><psi_i|.

The gradient is exact, by the adjoint method on matrices of size 2^n (Jones and Gacon, arXiv:2009.02823): with Lambda =
M U G, d L / d theta_k = Im tr(Lambda_k^+ P_k F_k), where both matrices are undone gate by gate from the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from scorer.engine.reference import amplitudes, expectation
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import FeatureMap, Observable, deployed, observable_of
from scorer.models.twins import MAX_SUPPORT
from scorer.training.families import svc
from scorer.training.families.checks import Array, FitError, Labels, labelled, positive
from scorer.training.families.family import FIXED_COST, FamilyTraining, FitRows, Floats, Ints
from scorer.training.options import FIT_ROWS
from scorer.training.search import GAMMAS, Grid, GridPoint, SearchSpace, Trial, grid_widths

Matrix = NDArray[np.complex128]
#: Hears of every start: (number, of).
Watch = Callable[[int, int], None]

MAX_QUBITS = 10
MAX_LAYERS = 8
STEPS = 120
RESTARTS = 2
#: Layers that are tried.
LAYERS = (1.0, 2.0, 3.0)
#: Steps of each trial: what is compared is how well a setting begins.
_TRIAL_STEPS = 15
#: All eigenvalues of a sum of Z are of one size, so that nothing is cut up to eight qubits.
_MOST_RANK = 256


@dataclass(frozen=True)
class Ansatz:
    """A circuit of ``layers`` times R_Y and R_Z on every qubit and a ring of CX, and R_Y and R_Z once more."""

    qubits: int
    layers: int

    def __post_init__(self) -> None:
        if not 1 <= self.qubits <= MAX_QUBITS or not 1 <= self.layers <= MAX_LAYERS:
            raise FitError(
                f"a variational circuit of {self.qubits} qubits and {self.layers} layers; possible are 1 to "
                f"{MAX_QUBITS} qubits and 1 to {MAX_LAYERS} layers"
            )

    @property
    def angles(self) -> int:
        """The number of angles, a."""
        return 2 * self.qubits * (self.layers + 1)

    def unitary(self, theta: Array) -> Matrix:
        """Compute U(theta), (2^n, 2^n), for angles (a,) in radians, layer by layer, R_Y before R_Z of each qubit."""
        states = np.eye(2**self.qubits, dtype=np.complex128)
        for layer, angles in enumerate(self._by_layer(theta)):
            for qubit in range(self.qubits):
                _rotate(states, qubit, *angles[:, qubit])
            if layer < self.layers:
                states = states[self.ring]
        return states

    def gradient(self, theta: Array, unitary: Matrix, adjoint: Matrix) -> Array:
        """Compute Im tr(Lambda_k^+ P_k F_k) of every angle (a,); ``unitary``: F at the end, ``adjoint``: Lambda."""
        states, other = unitary.copy(), adjoint.copy()
        back = np.argsort(self.ring)
        slopes = np.empty((self.layers + 1, 2, self.qubits))
        for layer in reversed(range(self.layers + 1)):
            if layer < self.layers:
                states, other = states[back], other[back]
            angles = self._by_layer(theta)[layer]
            for qubit in reversed(range(self.qubits)):
                y, z = angles[:, qubit]
                slopes[layer, 1, qubit] = _slope_z(states, other, qubit)
                for matrix in (states, other):
                    _rotate(matrix, qubit, 0.0, -z)
                slopes[layer, 0, qubit] = _slope_y(states, other, qubit)
                for matrix in (states, other):
                    _rotate(matrix, qubit, -y, 0.0)
        return slopes.ravel()

    @property
    def ring(self) -> NDArray[np.intp]:
        """Row of the state before the CX ring that each row after it comes from, (2^n,)."""
        index = np.arange(2**self.qubits)
        if self.qubits == 1:
            return index
        for control in reversed(range(self.qubits if self.qubits > 2 else 1)):
            target = (control + 1) % self.qubits
            index = index ^ (((index >> control) & 1) << target)
        return index

    def _by_layer(self, theta: Array) -> Array:
        return theta.reshape(self.layers + 1, 2, self.qubits)


def fit_vqc(
    Z: Array,
    y: Labels,
    circuit: FeatureMap,
    C: float,
    layers: int,
    *,
    seed: int,
    restarts: int = RESTARTS,
    steps: int = STEPS,
    rank: int | None = None,
    watch: Watch | None = None,
) -> Observable:
    """Fit on scaled features Z (N, n) with labels y (N,), classes weighing the same; the best of ``restarts``.

    Minimises the mean logistic loss + |w|^2 / (2 C N) by L-BFGS, ``steps`` at most from each start. ``rank``: None:
    all, 256 at most; 2^n or more: whole, in float64. ``watch(done, of)`` hears of every start. Raises FitError.
    """
    Z, y = labelled(Z, y)
    psi = amplitudes(circuit, Z)
    whole = trained(psi, y, Ansatz(circuit.qubits, layers), C, seed=seed, restarts=restarts, steps=steps, watch=watch)
    return deployed(whole, rank, min(whole.rank, _MOST_RANK))


def trained(
    psi: Matrix,
    y: Labels,
    ansatz: Ansatz,
    C: float,
    *,
    seed: int,
    restarts: int,
    steps: int,
    watch: Watch | None = None,
) -> Observable:
    """Train the best circuit for encoded rows psi (N, 2^n) with labels y (N,); return its whole observable, float64.

    Options as for ``fit_vqc``. Raises FitError.
    """
    problem = CircuitLoss(psi, y, ansatz, positive("C", C))
    found = []
    for start in range(restarts):
        if watch is not None:
            watch(start, restarts)
        first = problem.start(np.random.default_rng([seed, start]))
        found.append(minimize(problem, first, jac=True, method="L-BFGS-B", options={"maxiter": steps}))
    best = min(found, key=lambda result: float(result.fun))
    return problem.observable(best.x)


class CircuitLoss:
    """Loss of encoded rows psi (N, 2^n) with labels y (N,), and its gradient, by (theta, w, b) as one vector (p,).

    The mean logistic loss, classes weighing the same, + |w|^2 / (2 C N).
    """

    def __init__(self, psi: Matrix, y: Labels, ansatz: Ansatz, C: float) -> None:
        positives = int(np.count_nonzero(y))
        self._weights = np.where(y == 1, 0.5 / positives, 0.5 / (len(y) - positives))
        self._psi, self._y, self._ansatz = psi, y.astype(np.float64), ansatz
        self._ridge = 1.0 / (C * len(y))
        bits = (np.arange(2**ansatz.qubits)[:, None] >> np.arange(ansatz.qubits)) & 1
        self._signs = 1.0 - 2.0 * bits  # (2^n, n): the eigenvalue of Z_i on each basis state

    def start(self, rng: np.random.Generator) -> Array:
        """Draw a start (p,): angles all round, every qubit of weight 1."""
        theta = rng.uniform(-np.pi, np.pi, self._ansatz.angles)
        return np.concatenate([theta, np.ones(self._ansatz.qubits), [0.0]])

    def __call__(self, x: Array) -> tuple[float, Array]:
        """Compute the loss at x (p,) and its gradient (p,)."""
        theta, w, b = self._parts(x)
        unitary = self._ansatz.unitary(theta)
        states = self._psi @ unitary.T
        each = (states.real**2 + states.imag**2) @ self._signs  # <Z_i> of every row (N, n)
        logit = each @ w + b
        loss = float(self._weights @ (np.logaddexp(0.0, logit) - self._y * logit)) + 0.5 * self._ridge * float(w @ w)
        residual = self._weights * (0.5 * (1.0 + np.tanh(0.5 * logit)) - self._y)
        inner = (self._psi.T * residual) @ self._psi.conj()
        adjoint = (self._signs @ w)[:, None] * (unitary @ inner)
        slopes = self._ansatz.gradient(theta, unitary, adjoint)
        return loss, np.concatenate([slopes, residual @ each + self._ridge * w, [residual.sum()]])

    def observable(self, x: Array) -> Observable:
        """Collapse the circuit at x (p,) to its whole observable, float64."""
        theta, w, b = self._parts(x)
        unitary = self._ansatz.unitary(theta)
        return observable_of((unitary.conj().T * (self._signs @ w)) @ unitary, b)

    def _parts(self, x: Array) -> tuple[Array, Array, float]:
        a = self._ansatz.angles
        return x[:a], x[a:-1], float(x[-1])


def _pair(states: Matrix, qubit: int) -> tuple[Matrix, Matrix]:
    """Views of the rows whose bit ``qubit`` is 0, and of those where it is 1: (high, low, columns) each."""
    block = states.reshape(-1, 2, 2**qubit, states.shape[1])
    return block[:, 0], block[:, 1]


def _rotate(states: Matrix, qubit: int, y: float, z: float) -> None:
    """R_Z(z) R_Y(y) on one qubit of every column, in place."""
    zero, one = _pair(states, qubit)
    c, s = np.cos(y / 2), np.sin(y / 2)
    turn = np.exp(-0.5j * z)
    low, high = turn * (c * zero - s * one), np.conj(turn) * (s * zero + c * one)
    zero[...], one[...] = low, high


def _slope_z(states: Matrix, other: Matrix, qubit: int) -> float:
    """Im tr(other^+ Z states) for Z on one qubit."""
    zero, one = _pair(states, qubit)
    left, right = _pair(other, qubit)
    return float((np.vdot(left, zero) - np.vdot(right, one)).imag)


def _slope_y(states: Matrix, other: Matrix, qubit: int) -> float:
    """Im tr(other^+ Y states) for Y on one qubit."""
    zero, one = _pair(states, qubit)
    left, right = _pair(other, qubit)
    return float((-1j * np.vdot(left, one) + 1j * np.vdot(right, zero)).imag)


def vqc_trial(circuit: FeatureMap, seed: int, Z: Floats, y: Ints, width: float) -> Trial:
    """Prepare a trial on rows Z (N, n) with labels y (N,) at one bandwidth; its second parameter is the layers.

    One short start each. Raises FitError for a circuit of too many qubits when it is run.
    """
    psi = amplitudes(circuit.with_bandwidth(width), Z)
    return partial(_scores, psi, y, circuit.qubits, seed)


def _scores(psi: Matrix, y: Ints, qubits: int, seed: int, layers: float, fit: Ints, held: Ints) -> Floats:
    ansatz = Ansatz(qubits, int(layers))
    found = trained(psi[fit], y[fit], ansatz, FIXED_COST, seed=seed, restarts=1, steps=_TRIAL_STEPS)
    return expectation(found.values, found.vectors.astype(np.complex128), psi[held])


def _space(rows: FitRows) -> SearchSpace:
    widths = grid_widths(rows.circuit, len(GAMMAS))
    return SearchSpace(Grid(widths, "layers", LAYERS), partial(vqc_trial, rows.circuit, rows.seed))


def _fit_at(rows: FitRows, point: GridPoint) -> Machine:
    circuit = rows.at(point)
    observable = fit_vqc(rows.Z, rows.y, circuit, FIXED_COST, int(point.second), seed=rows.seed)
    return ObservableMachine(circuit, observable.truncated(observable.rank))


TRAINING = FamilyTraining(
    title="variational circuit after the feature map, measured on every qubit",
    twin_title=svc.TRAINING.twin_title,
    fit_rows=FIT_ROWS,
    most_rows=MAX_SUPPORT,
    space=_space,
    twin_space=svc.twin_space,
    fit=_fit_at,
    fit_twin=svc.fit_twin_at,
)
