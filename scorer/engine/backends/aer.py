"""Circuits on Qiskit Aer: matrix-product states for 13 to 20 qubits, and shots with or without noise.

Only processes that need it import this module: the qpu lane's workers, training and evaluation. Everything is seeded
and runs on one thread, as the other workers do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Pauli
from qiskit_aer import AerSimulator

from scorer.circuits.circuit import FeatureMap
from scorer.circuits.decompile import circuit_of
from scorer.circuits.evaluate import Evaluator
from scorer.circuits.expressions import Expression
from scorer.circuits.plan import Plan

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

#: Singular values below this are cut from a matrix-product state: what that does to a Bloch vector is far below what
#: the Gaussian on it sees.
TRUNCATION = 1e-12
_ROWS = 64


class AerError(RuntimeError):
    """A simulation that did not finish; the message is Aer's."""


class Aer:
    """Qiskit Aer as a backend: matrix-product states."""

    name = "aer"

    def bloch_vectors(self, plan: Plan, Z: Array) -> Array:
        """Return Bloch vectors (N, 3 qubits), float64, of scaled, finite features Z (N, features). Raises AerError."""
        return mps_bloch_vectors(plan, Z)


@dataclass(frozen=True, eq=False)
class Parametrised:
    """A circuit with one parameter for each different angle, whose values the plan's own formulas give."""

    circuit: QuantumCircuit
    parameters: tuple[Parameter, ...]
    evaluator: Evaluator
    bandwidth: float

    @classmethod
    def of(cls, feature_map: FeatureMap) -> Parametrised:
        """Write the map's gates for Qiskit; equal angles share a parameter."""
        source = circuit_of(feature_map)
        angles: dict[Expression, Parameter] = {}
        circuit = QuantumCircuit(source.qubits)
        for gate in source.gates:
            given = [_angle(angle, angles) for angle in gate.angles]
            getattr(circuit, gate.name)(*given, *gate.qubits)
        evaluator = Evaluator(tuple(angles), source.features)
        return cls(circuit, tuple(angles.values()), evaluator, source.bandwidth)

    def binds(self, Z: Array) -> list[dict[Parameter, list[float]]]:
        """Return Aer's parameter_binds, N radians for each parameter, for scaled features Z (N, features).

        Raises AngleError where an angle is not finite.
        """
        values = self.evaluator.values(self.bandwidth * Z.T)
        return [{p: row.tolist() for p, row in zip(self.parameters, values, strict=True)}]


def _angle(angle: Expression, known: dict[Expression, Parameter]) -> Parameter | float:
    if angle.value is not None:
        return angle.value
    return known.setdefault(angle, Parameter(f"a{len(known)}"))


def mps_bloch_vectors(plan: Plan, Z: Array) -> Array:
    """Return Bloch vectors (N, 3 qubits), float64, of scaled, finite features Z (N, features) by matrix-product states.

    Raises AngleError where an angle is not finite, AerError where the simulation does not end well.
    """
    prepared, simulator = _mps(plan)
    out = np.empty((len(Z), 3 * plan.qubits))
    for start in range(0, len(Z), _ROWS):
        for row, data in enumerate(_run(simulator, prepared, Z[start : start + _ROWS])):
            out[start + row] = [data[f"{q}{axis}"] for q in range(plan.qubits) for axis in "xyz"]
    return out


@lru_cache(maxsize=4)
def _mps(plan: Plan) -> tuple[Parametrised, AerSimulator]:
    """Plans are compared by their contents, so that a model loaded again finds its circuit."""
    prepared = Parametrised.of(plan)
    for q in range(plan.qubits):
        for axis in "xyz":
            prepared.circuit.save_expectation_value(Pauli(axis.upper()), [q], label=f"{q}{axis}")
    simulator = AerSimulator(
        method="matrix_product_state",
        matrix_product_state_truncation_threshold=TRUNCATION,
        max_parallel_threads=1,
    )
    return prepared, simulator


def observable_counts(
    feature_map: FeatureMap,
    vectors: NDArray[np.complexfloating],
    Z: Array,
    shots: int,
    seed: int,
    noise: Any = None,
) -> Counts:
    """Count how often each eigenvector was seen, and last every other outcome: (N, r + 1), ``shots`` shots a row.

    The circuit turns the eigenbasis (``vectors``, (r, 2^n), orthonormal) into the computational one and measures every
    qubit. ``noise``: a qiskit_aer NoiseModel; the circuit is then transpiled to its gates. Raises AerError.
    """
    prepared = Parametrised.of(feature_map)
    prepared.circuit.append(UnitaryGate(_basis(vectors).conj().T), range(prepared.circuit.num_qubits))
    prepared.circuit.measure_all()
    rank = len(vectors)
    counts = np.zeros((len(Z), rank + 1), np.int64)
    for row, seen in enumerate(_shots(prepared, Z, shots, seed, noise)):
        for outcome, count in seen.items():
            counts[row, min(int(outcome, 16), rank)] += count
    return counts


def _basis(vectors: NDArray[np.complexfloating]) -> NDArray[np.complex128]:
    """A unitary (2^n, 2^n) whose first columns are the vectors, made orthonormal to float64."""
    given: NDArray[np.complex128] = vectors.astype(np.complex128).T
    left = np.linalg.svd(given, full_matrices=True)[0]
    basis, triangle = np.linalg.qr(np.concatenate([given, left[:, len(vectors) :]], axis=1))
    diagonal = np.diag(triangle)
    # QR leaves each column's phase open, and puts it onto the diagonal.
    return np.asarray(basis * (diagonal / np.abs(diagonal)), np.complex128)


def _shots(prepared: Parametrised, Z: Array, shots: int, seed: int, noise: Any) -> Iterator[dict[str, int]]:
    simulator = AerSimulator(noise_model=noise, max_parallel_threads=1)
    if noise is not None:
        from qiskit import transpile

        compiled = transpile(prepared.circuit, simulator, optimization_level=1, seed_transpiler=seed)
        prepared = Parametrised(compiled, prepared.parameters, prepared.evaluator, prepared.bandwidth)
    for start in range(0, len(Z), _ROWS):
        block = Z[start : start + _ROWS]
        for data in _run(simulator, prepared, block, shots=shots, seed_simulator=seed + start):
            yield data["counts"]


def _run(simulator: AerSimulator, prepared: Parametrised, Z: Array, **options: Any) -> list[dict[str, Any]]:
    """The data of each row's experiment, in order."""
    if prepared.parameters:
        job = simulator.run([prepared.circuit], parameter_binds=prepared.binds(Z), **options)
    else:  # one circuit for all rows; nothing to bind says nothing of how many there are
        job = simulator.run([prepared.circuit] * len(Z), **options)
    result = job.result()
    if not result.success:
        raise AerError(f"Aer did not finish: {result.status}")
    if len(result.results) != len(Z):
        raise AerError(f"Aer gave {len(result.results)} results for {len(Z)} rows")
    return [experiment.data.to_dict() for experiment in result.results]
