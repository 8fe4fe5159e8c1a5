"""The peers of ``bench/engine.py``, each at its best, and what they compute beside us: equal results before any timing.

Every peer is one function that returns microseconds a row (a fit: seconds) of the peer and of us. Loaded in the
benchmark's own environment (``make .venv-bench/.ready``), one thread.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.maps import reuploading
from scorer.circuits.zz import ZZMap
from scorer.engine.fast import GaussianScorer, ObservableScorer
from scorer.engine.reference import amplitudes
from scorer.models.observable import collapse, default_rank
from scorer.training.families.svc import fit_svc

Array = NDArray[np.float64]

#: Support vectors of the quantum machine, and of the classical one at each number of qubits.
SUPPORT = 300
TWIN_SUPPORT = {6: 444, 8: 516}
#: Training rows with labels by chance that give so many.
_TWIN_ROWS = {6: 460, 8: 558}
BOOSTING_ITERATIONS = 100
TWIN_GAMMA = 1.0


@dataclass(frozen=True)
class Result:
    """Time of the peer and of us, in the same unit."""

    peer: float
    ours: float
    note: str = ""


def best(work: Callable[[], Any], rows: int, repeats: int = 7) -> float:
    """Microseconds a row of the fastest of several runs, after one that is not counted.

    Of the processor's time: all sides run on one thread, and what other processes take does not count.
    """
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) / rows * 1e6


@dataclass(frozen=True, eq=False)
class Bench:
    """The same rows and machines for every peer: ``Z`` (rows, n), ``support`` (SUPPORT, n), ``weights``."""

    qubits: int
    Z: Array
    support: Array
    weights: Array
    repeats: int

    @classmethod
    def of(cls, qubits: int, rows: int, repeats: int) -> Bench:
        rng = np.random.default_rng(qubits)
        return cls(qubits, rng.random((rows, qubits)), rng.random((SUPPORT, qubits)), rng.normal(size=SUPPORT), repeats)

    @property
    def circuit(self) -> ZZMap:
        return ZZMap(self.qubits, 2, "full", 1.0)

    def scorer(self, rank: int | None = None, compiled: bool | None = None) -> ObservableScorer:
        """The machine as it is deployed, or cut to another rank."""
        whole = collapse(self.circuit, self.support, self.weights, 0.0)
        cut = whole.truncated(rank or default_rank(self.qubits))
        return ObservableScorer(self.circuit, cut.values, cut.vectors, compiled=compiled)

    def ours(self, rank: int | None = None, compiled: bool | None = None) -> float:
        scorer = self.scorer(rank, compiled)
        return best(lambda: scorer(self.Z), len(self.Z), self.repeats)

    def exact(self, rows: int) -> Array:
        return collapse(self.circuit, self.support, self.weights, 0.0).exact_scores(self.circuit, self.Z[:rows])


def statevector_kernel(bench: Bench, rows: int) -> Result:
    """qiskit-machine-learning, states of the support vectors kept (``auto_clear_cache=False``); the rows are new."""
    from qiskit.circuit.library import zz_feature_map
    from qiskit_machine_learning.kernels import FidelityStatevectorKernel

    kernel: Any = FidelityStatevectorKernel(
        feature_map=zz_feature_map(bench.qubits, reps=2, entanglement="full"), auto_clear_cache=False
    )
    few = bench.Z[:rows]
    _equal(kernel.evaluate(few, bench.support) @ bench.weights, bench.exact(rows), 1e-10)

    def once() -> float:
        kernel.clear_cache()
        kernel.evaluate(few[:1], bench.support)
        start = time.process_time()
        _ = kernel.evaluate(few, bench.support) @ bench.weights
        return (time.process_time() - start) / rows * 1e6

    return Result(min(once() for _ in range(3)), bench.ours())


def squlearn_kernel(bench: Bench, rows: int) -> Result:
    """sQUlearn's FidelityKernel by whichever of its simulators is fastest, the best of three runs on new rows each.

    It keeps every state that it has made: those of the support vectors are there before the clock starts.
    """
    from qiskit.circuit.library import zz_feature_map
    from squlearn import Executor
    from squlearn.encoding_circuit import QiskitEncodingCircuit
    from squlearn.kernel import FidelityKernel

    times = {}
    few = bench.Z[:rows]
    for name in ("qulacs", "pennylane", "statevector_simulator"):
        encoding = QiskitEncodingCircuit(zz_feature_map(bench.qubits, reps=2, entanglement="full"), mode="features")
        kernel: Any = FidelityKernel(encoding, executor=Executor(name))
        _equal(kernel.evaluate(few[:3], bench.support[:5]), _fidelities(bench, few[:3], bench.support[:5]), 1e-8)
        kernel.evaluate(few[:1], bench.support)
        times[name] = min(_timed_once(kernel, bench, bench.Z[k * rows : (k + 1) * rows]) for k in (1, 2, 3))
    fastest = min(times, key=lambda name: times[name])
    return Result(times[fastest], bench.ours(), f"simulator {fastest}")


def _timed_once(kernel: Any, bench: Bench, rows: Array) -> float:
    """Microseconds a row for rows that the kernel has not seen."""
    start = time.process_time()
    _ = kernel.evaluate(rows, bench.support) @ bench.weights
    return (time.process_time() - start) / len(rows) * 1e6


def pennylane_states(bench: Bench, rows: int) -> Result:
    """PennyLane's broadcast over a batch, states alone, with the fewest gates that prepare them."""
    import pennylane as qml

    n = bench.qubits
    few = bench.Z[:rows]
    device = qml.device("default.qubit", wires=n)

    @qml.qnode(device, interface=None)  # type: ignore[untyped-decorator]
    def states(x: Array) -> Any:
        for _ in range(2):
            for i in range(n):
                qml.Hadamard(i)
                qml.PhaseShift(2.0 * x[:, i], i)
            for i in range(n):
                for j in range(i + 1, n):
                    # exp(i a p) with p the parity of both: IsingZZ up to a phase that all states share.
                    qml.IsingZZ(2.0 * (np.pi - x[:, i]) * (np.pi - x[:, j]), (i, j))
        return qml.state()

    found = np.asarray(states(few))
    # PennyLane's first wire is the highest bit.
    flipped = found.reshape(rows, *[2] * n).transpose(0, *range(n, 0, -1)).reshape(rows, -1)
    exact = amplitudes(bench.circuit, few)
    _equal(np.abs((flipped.conj() * exact).sum(1)), np.ones(rows), 1e-8)
    return Result(best(lambda: states(few), rows, 5), bench.ours())


def _machine(qubits: int) -> Any:
    """A scikit-learn machine with about TWIN_SUPPORT support vectors."""
    from sklearn.svm import SVC

    rng = np.random.default_rng(qubits)
    rows = _TWIN_ROWS[qubits]
    X, y = rng.random((rows, qubits)), np.arange(rows) % 2
    return SVC(kernel="rbf", gamma=TWIN_GAMMA, C=1.0).fit(X, rng.permutation(y))


def _twin(machine: Any, compiled: bool) -> GaussianScorer:
    support, weights = machine.support_vectors_, machine.dual_coef_[0]
    return GaussianScorer(support.astype(np.float32), weights.astype(np.float32), TWIN_GAMMA, compiled=compiled)


def libsvm(bench: Bench, rows: int) -> Result:
    """scikit-learn's ``decision_function`` of the RBF twin, which is libsvm's."""
    machine = _machine(bench.qubits)
    few = bench.Z[:rows]
    peer = best(lambda: machine.decision_function(few), rows, bench.repeats)
    return Result(peer, bench.ours(), f"{len(machine.support_)} support vectors")


def batched_twin(bench: Bench, compiled: bool) -> Result:
    """The same machine in float32: NumPy alone, or compiled, which is what a worker runs beside every model."""
    machine = _machine(bench.qubits)
    twin = _twin(machine, compiled)
    few = bench.Z[:500]
    limit = 1e-5 * float(np.abs(machine.dual_coef_).sum())
    _equal(twin(few) + machine.intercept_[0], machine.decision_function(few), limit)
    peer = best(lambda: twin(bench.Z), len(bench.Z), bench.repeats)
    return Result(peer, bench.ours(), f"{len(machine.support_)} support vectors")


def boosting(bench: Bench, rows: int) -> Result:
    """scikit-learn's gradient boosting on as many features, trained on 5,000 rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(0)
    X = rng.random((5_000, bench.qubits))
    y = (np.sin(7.0 * X).sum(1) + rng.normal(size=len(X)) > np.median(np.sin(7.0 * X).sum(1))).astype(int)
    model = HistGradientBoostingClassifier(max_iter=BOOSTING_ITERATIONS, early_stopping=False).fit(X, y)
    few = bench.Z[:rows]
    peer = best(lambda: model.predict_proba(few), rows, bench.repeats)
    return Result(peer, bench.ours(), f"{model.n_iter_} iterations")


def aer(bench: Bench, rows: int) -> Result:
    """Aer's batched parameter binds, states alone, single precision, on three layers of data re-uploading."""
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    from scorer.circuits.qiskit.exporting import to_qiskit

    circuit = reuploading(bench.qubits, layers=3)
    rank = default_rank(bench.qubits)
    values, vectors = np.linspace(-1.0, 1.0, rank), amplitudes(circuit, bench.Z[:rank])
    scorer = ObservableScorer(circuit, values, vectors)
    ours = best(lambda: scorer(bench.Z), len(bench.Z), bench.repeats)
    few = bench.Z[:rows]
    exported = to_qiskit(circuit)
    times = {}
    for runtime in (False, True):
        simulator = AerSimulator(
            method="statevector", precision="single", max_parallel_threads=1, runtime_parameter_bind_enable=runtime
        )
        prepared = transpile(exported, simulator, optimization_level=3)
        prepared.save_statevector()
        binds = [{p: few[:, k].tolist() for k, p in enumerate(exported.parameters)}]
        result = simulator.run(prepared, parameter_binds=binds, shots=1).result()
        found = np.array([np.asarray(result.get_statevector(i)) for i in range(min(rows, 5))])
        _equal(np.abs((found.conj() * amplitudes(circuit, few[:5])).sum(1)), np.ones(len(found)), 1e-4)
        times[runtime] = best(
            lambda simulator=simulator, prepared=prepared, binds=binds: simulator.run(  # type: ignore[misc]
                prepared, parameter_binds=binds, shots=1
            ).result(),
            rows,
            3,
        )
    fastest = min(times, key=lambda runtime: times[runtime])
    return Result(times[fastest], ours, f"re-uploading; runtime binds {'on' if fastest else 'off'}")


def qsvc_fit(repeats: int, rows: int = 500, qubits: int = 6) -> tuple[Result, Result]:
    """Seconds to fit qiskit-machine-learning's QSVC and our machine on the same rows; both give the same decisions.

    Each side makes its feature map anew every time. The first result: our first fit in this process, before the peer's,
    so that what scikit-learn does once a process counts for us alone. The second: the best of several runs of each.
    """
    from qiskit.circuit.library import zz_feature_map
    from qiskit_machine_learning.algorithms import QSVC
    from qiskit_machine_learning.kernels import FidelityStatevectorKernel

    rng = np.random.default_rng(3)
    X = rng.random((rows, qubits))
    y = (X[:, 0] + X[:, 1] * X[:, 2] + 0.2 * rng.normal(size=rows) > 0.75).astype(int)

    def ours(rank: int | None = None) -> Any:
        return fit_svc(X, y, ZZMap(qubits, 2, "full", 1.0), 1.0, rank=rank)

    def theirs() -> Any:
        kernel = FidelityStatevectorKernel(feature_map=zz_feature_map(qubits, reps=2), auto_clear_cache=False)
        return QSVC(quantum_kernel=kernel, C=1.0).fit(X, y)

    start = time.process_time()
    ours()
    between = time.process_time()
    machine = theirs()
    peer = time.process_time() - between
    whole = ours(rank=2**qubits)
    circuit = ZZMap(qubits, 2, "full", 1.0)
    _equal(whole.exact_scores(circuit, X[:50]), machine.decision_function(X[:50]), 1e-6)
    first = Result(peer, between - start)
    return first, Result(min(peer, best(theirs, 1, 2) / 1e6), best(ours, 1, repeats) / 1e6)


def peak_gflops() -> float:
    """The machine's best float32 matrix product on one thread."""
    A = np.random.default_rng(0).random((1024, 1024)).astype(np.float32)
    out = np.empty_like(A)
    return float(2 * 1024**3 / best(lambda: np.matmul(A, A, out=out), 1, 15) / 1e3)


def least_flops(qubits: int, rank: int) -> int:
    """What a row needs at least with the algorithm that runs: ZZ, two repetitions.

    Three transforms of n 2^n additions (one for the phases, two planes), 12 multiplications and additions each for
    sine and cosine, one complex product, and three real products of (rank, 2^n) for the overlaps.
    """
    states = 2**qubits
    # int(): mypy takes the sum of powers for Any.
    return int(3 * qubits * states + 24 * states + 6 * states + 6 * rank * states)


def _fidelities(bench: Bench, left: Array, right: Array) -> Array:
    overlap = amplitudes(bench.circuit, left).conj() @ amplitudes(bench.circuit, right).T
    squared: Array = np.abs(overlap) ** 2
    return squared


def _equal(found: Any, expected: Array, limit: float) -> None:
    """A peer that computes something else is no peer."""
    distance = float(np.abs(np.asarray(found) - expected).max())
    assert distance <= limit, f"peer and engine differ by {distance:.1e}"


def quiet() -> None:
    """Peers warn about their own dependencies."""
    warnings.simplefilter("ignore")
