"""Both float32 paths against the float64 reference, and their independence of batch and thread."""

from __future__ import annotations

import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorer.circuits.circuit import Circuit
from scorer.circuits.expressions import apply, feature
from scorer.circuits.maps import hardware_efficient, pauli, qft, reuploading
from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Hadamards, Local, Phases
from scorer.circuits.zz import ZZMap
from scorer.engine.fast import GaussianScorer, ObservableScorer, float32_bound
from scorer.engine.reference import amplitudes, expectation
from scorer.engine.rows import EngineError, RowsError
from scorer.models.twins import RbfTwin
from tests.unit.engine.bounds import BATCH_BOUND, FLOAT32_BOUND

from .plans import random_observable, random_plan

PATHS = pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
ENTANGLEMENTS = pytest.mark.parametrize("entanglement", ["full", "linear", "circular"])
MAPS: dict[str, Callable[[int, str], Circuit]] = {
    "pauli": lambda n, entanglement: pauli(n, paulis=("Z", "YY"), entanglement=entanglement),
    "qft": lambda n, _entanglement: qft(n, reps=2),
    "reuploading": lambda n, entanglement: reuploading(n, entanglement=entanglement),
    "hardware_efficient": lambda n, entanglement: hardware_efficient(n, entanglement=entanglement),
}


def rows(count: int, features: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).uniform(-0.5, 1.5, (count, features))


def distance(circuit: Any, Z: Any, compiled: bool, rank: int = 7) -> float:
    """Largest distance from the float64 score, in units of sum |eigenvalue|."""
    values, vectors = random_observable(circuit.plan.qubits, min(rank, 2**circuit.plan.qubits))
    scorer = ObservableScorer(circuit, values, vectors, compiled=compiled)
    exact = expectation(values, vectors, amplitudes(circuit, Z))
    return float(np.abs(scorer(Z) - exact).max() / np.abs(values).sum())


@PATHS
@pytest.mark.parametrize("qubits", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("reps", [1, 2, 3])
@ENTANGLEMENTS
def test_zz_scores_are_the_references(qubits: int, reps: int, entanglement: str, compiled: bool) -> None:
    circuit = ZZMap(qubits, reps, entanglement, 2.0)
    assert distance(circuit, rows(300, qubits), compiled) <= FLOAT32_BOUND


@PATHS
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("qubits", [2, 3, 4, 5, 6, 7, 8])
@ENTANGLEMENTS
def test_every_maps_scores_are_the_references(name: str, qubits: int, entanglement: str, compiled: bool) -> None:
    circuit = MAPS[name](qubits, entanglement)
    assert distance(circuit, rows(40, circuit.plan.features), compiled) <= FLOAT32_BOUND


@PATHS
@pytest.mark.parametrize("qubits", [10, 12])
@pytest.mark.parametrize("name", ["zz", *MAPS])
def test_large_maps_scores_are_the_references(name: str, qubits: int, compiled: bool) -> None:
    circuit = ZZMap(qubits) if name == "zz" else MAPS[name](qubits, "linear")
    assert distance(circuit, rows(20, circuit.plan.features), compiled) <= FLOAT32_BOUND


@PATHS
@pytest.mark.parametrize("qubits", range(1, 9))
def test_plans_of_any_steps_score_as_the_reference(qubits: int, compiled: bool) -> None:
    worst = {seed: distance(random_plan(qubits, seed), rows(20, qubits), compiled, 3) for seed in range(12)}
    assert max(worst.values()) <= FLOAT32_BOUND, worst


@PATHS
def test_turns_are_taken_off_before_digits_are_lost(compiled: bool) -> None:
    """Float32 has no digits left for an angle of thousands of radians: without the turns taken off, 5e-4 is lost."""
    angles = (5e3 * feature(0), 7e3 * feature(1))
    plan = Plan("turns", 2, 2, 1.0, angles, (Hadamards(3), Phases(((1, 0), (3, 1))), Hadamards(3)))
    assert distance(plan, rows(300, 2), compiled) <= FLOAT32_BOUND


DEEP = {
    "hadamards": lambda: pauli(9, reps=32, bandwidth=3.0),
    "rotations": lambda: hardware_efficient(6, reps=32, bandwidth=3.0),
    "diagonals": lambda: pauli(5, ("Z", "ZZ", "ZZZ"), reps=32, bandwidth=3.0),
    "both": lambda: reuploading(6, layers=32, bandwidth=3.0),
}


@PATHS
@pytest.mark.parametrize("name", DEEP)
def test_deep_circuits_neither_overflow_nor_leave_the_bound(name: str, compiled: bool) -> None:
    """Hadamards are run without their 2^(-1/2): on 9 qubits float32 overflowed at the 28th layer, and scores were NaN.

    Eigenvectors are rows' own states, where a score shows all of an error; the norm of the others shows its drift.
    """
    circuit = DEEP[name]()
    Z = rows(30, circuit.features)
    psi = amplitudes(circuit, Z)
    vectors = np.concatenate([psi[:4], np.eye(2**circuit.qubits)])
    values = np.array([1.0, -1.0, 1.0, 1.0, *[1.0] * 2**circuit.qubits])
    scores = ObservableScorer(circuit, values, vectors, compiled=compiled)(Z)
    assert np.abs(scores - expectation(values, vectors, psi)).max() <= 5.0 * float32_bound(circuit)


@PATHS
@pytest.mark.parametrize("axis", ["rx", "ry", "rz"])
def test_rotations_by_thousands_of_radians_keep_their_digits(axis: str, compiled: bool) -> None:
    """Half an angle has to lose its turns too."""
    run = (("h", None), (axis, 0), ("rx", 0.3), (axis, 1))
    plan = Plan("spins", 2, 2, 1.0, (5e4 * feature(0), 7e4 * feature(1)), (Local(0, run), Local(1, run)))
    assert distance(plan, rows(300, 2), compiled) <= FLOAT32_BOUND


@PATHS
def test_more_diagonals_than_are_kept_at_a_time(compiled: bool) -> None:
    diagonals = [Phases(((1 << k % 3 | 1 << (k + 1) % 3, k),)) for k in range(6)]
    order = [0, 1, 2, 3, 4, 5, 5, 4, 1, 0, 2, 5, 3]
    steps = [step for k in order for step in (Hadamards(7), diagonals[k])]
    plan = Plan("many", 3, 3, 1.0, tuple(float(k + 1) * feature(k % 3) for k in range(6)), tuple(steps))
    assert distance(plan, rows(30, 3), compiled) <= FLOAT32_BOUND


@PATHS
def test_a_partial_chunk_is_filled_with_rows_that_the_circuit_takes(compiled: bool) -> None:
    logarithm = Plan("log", 1, 1, 1.0, (apply("log", feature(0)),), (Hadamards(1), Phases(((1, 0),)), Hadamards(1)))
    assert distance(logarithm, np.array([[0.5], [2.0], [3.0]]), compiled) <= FLOAT32_BOUND


@PATHS
def test_a_score_does_not_depend_on_the_batch_around_it(compiled: bool) -> None:
    values, vectors = random_observable(6, 16)
    scorer = ObservableScorer(ZZMap(6, 2, "full", 2.0), values, vectors, compiled=compiled)
    Z = rows(2 * scorer.chunk * 8 + 5, 6)
    together = scorer(Z)
    shuffled = np.random.default_rng(1).permutation(len(Z))
    limit = BATCH_BOUND * np.abs(values).sum()
    assert np.abs(scorer(Z[shuffled]) - together[shuffled]).max() <= limit
    for row in (0, 1, scorer.chunk - 1, scorer.chunk, len(Z) - 6, len(Z) - 1):
        assert abs(scorer(Z[row : row + 1])[0] - together[row]) <= limit


@PATHS
def test_both_scorers_take_no_rows(compiled: bool) -> None:
    scorer = ObservableScorer(ZZMap(4), *random_observable(4, 3), compiled=compiled)
    assert scorer(np.empty((0, 4))).shape == (0,)
    assert GaussianScorer(np.ones((2, 4)), np.ones(2), 1.0, compiled=compiled)(np.empty((0, 4))).shape == (0,)


@PATHS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(value: float, compiled: bool) -> None:
    Z = rows(50, 4)
    Z[7, 2] = Z[9, 0] = value
    for scorer in (
        ObservableScorer(ZZMap(4), *random_observable(4, 3), compiled=compiled),
        GaussianScorer(np.ones((2, 4)), np.ones(2), 1.0, compiled=compiled),
        lambda bad: amplitudes(ZZMap(4), bad),
    ):
        with pytest.raises(RowsError, match="2 of 50 rows hold NaN or infinity, row 7 first"):
            scorer(Z)


def test_large_finite_values_are_not_taken_for_infinite() -> None:
    scorer = GaussianScorer(np.ones((2, 2)), np.ones(2), 1.0)
    assert 0.0 <= scorer(np.full((2, 2), 1e18)).max() <= 1e-30


def test_rows_of_another_width_are_refused() -> None:
    scorer = ObservableScorer(ZZMap(4), *random_observable(4, 3))
    with pytest.raises(RowsError, match=r"shape \(5, 3\).* takes 4 scaled features"):
        scorer(rows(5, 3))


def test_more_qubits_than_the_exact_engine_has_are_refused() -> None:
    plan = Plan("wide", 13, 1, 1.0, (), (Hadamards(1), Phases((), ((1, 1.0),))))
    with pytest.raises(EngineError, match="13 qubits; the exact engine takes 12"):
        ObservableScorer(plan, np.ones(1), np.ones((1, 2**13), np.complex128))


@PATHS
def test_memory_does_not_grow_with_the_batch(compiled: bool) -> None:
    scorer = ObservableScorer(ZZMap(8), *random_observable(8, 32), compiled=compiled)

    def peak(count: int) -> int:
        Z = rows(count, 8)
        tracemalloc.start()
        try:
            scorer(Z)
            return tracemalloc.get_traced_memory()[1] - 8 * count  # the scores themselves
        finally:
            tracemalloc.stop()

    scorer(rows(1, 8))
    assert peak(20_000) <= peak(2_000) + 2**17


@PATHS
def test_threads_do_not_share_buffers(compiled: bool) -> None:
    scorer = ObservableScorer(ZZMap(6, 2, "full", 2.0), *random_observable(6, 16), compiled=compiled)
    gaussians = GaussianScorer(rows(100, 6), np.linspace(-1.0, 1.0, 100), 2.0, compiled=compiled)
    batches = [rows(700, 6, seed) for seed in range(4)]
    expected = [(scorer(Z), gaussians(Z)) for Z in batches]
    found: dict[int, list[bool]] = {}

    def work(number: int) -> None:
        mine = expected[number]
        # To rounding, as where a thread's memory lies is its own; another thread's rows would be off by far more.
        found[number] = [
            bool(np.abs(scorer(batches[number]) - mine[0]).max() < 1e-3)
            and bool(np.abs(gaussians(batches[number]) - mine[1]).max() < 1e-3)
            for _ in range(20)
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [True] * 20 for number in range(4)}


@PATHS
@pytest.mark.parametrize("gamma", [0.01, 1.0, 50.0, 1000.0])
@pytest.mark.parametrize("support", [1, 300, 301])
def test_gaussians_are_the_textbooks(gamma: float, support: int, compiled: bool) -> None:
    rng = np.random.default_rng(3)
    S = rng.uniform(-0.5, 1.5, (support, 6)).astype(np.float32)
    a = rng.normal(size=support).astype(np.float32)
    Z = rng.uniform(-0.5, 1.5, (600, 6))
    Z[0] = S[0]  # a distance of zero, where rounding could push the exponent above it
    distances = np.square(Z[:, None, :] - S[None].astype(np.float64)).sum(-1)
    exact = np.exp(-gamma * distances) @ a.astype(np.float64)
    # The exponent is rounded to 2^-24 of its largest term, gamma * 6.
    found = GaussianScorer(S, a, gamma, compiled=compiled)(Z)
    assert np.abs(found - exact).max() <= 1e-6 * (1.0 + gamma) * np.abs(a).sum()


@PATHS
@pytest.mark.parametrize("gamma", [0.1, 1.0, 32.0, 1000.0])
@pytest.mark.parametrize("support", [1, 20, 1000])
def test_a_twins_scores_lie_within_its_rounding(gamma: float, support: int, compiled: bool) -> None:
    rng = np.random.default_rng(5)
    S = rng.random((support, 6)).astype(np.float32)
    a = rng.choice([-1.0, 1.0], support) * rng.uniform(0.5, 1.0, support)
    twin = RbfTwin(S, a.astype(np.float32), gamma, 0.0)
    Z = np.concatenate([S[:100].astype(np.float64), rng.random((400, 6))])
    found = GaussianScorer(twin.support, twin.coefficients, gamma, compiled=compiled)(Z)
    assert np.abs(found - twin.exact_scores(Z)).max() <= twin.rounding


def python(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return result.stdout


def test_without_numba_numpy_does_the_work() -> None:
    program = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from scorer.circuits.zz import ZZMap\n"
        "from scorer.engine.fast import ObservableScorer, compiled_enabled, enable_compiled\n"
        "print(enable_compiled(), compiled_enabled())\n"
        "print(ObservableScorer(ZZMap(2), np.ones(1), np.eye(1, 4))(np.zeros((3, 2))).shape)\n"
    )
    assert python(program).split("\n") == ["False False", "(3,)", ""]


def test_scorers_turn_to_compiled_code_once_it_is_there_and_it_starts_no_threads() -> None:
    program = (
        "import os; os.environ.update(OPENBLAS_NUM_THREADS='1')\n"
        "import numpy as np\n"
        "from scorer.circuits.zz import ZZMap\n"
        "from scorer.engine import fast\n"
        "scorer = fast.ObservableScorer(ZZMap(6), np.ones(1), np.eye(1, 64))\n"
        "gaussians = fast.GaussianScorer(np.zeros((3, 6)), np.ones(3), 1.0)\n"
        "Z = np.random.default_rng(0).random((3000, 6))\n"
        "before = scorer(Z), gaussians(Z)\n"
        "print(scorer.compiled, gaussians.compiled, fast.enable_compiled())\n"
        "after = scorer(Z), gaussians(Z)\n"
        "print(scorer.compiled, gaussians.compiled)\n"
        "print(max(np.abs(a - b).max() for a, b in zip(before, after)) <= 1e-5, len(os.listdir('/proc/self/task')))\n"
    )
    assert python(program).split("\n") == ["False False True", "True True", "True 1", ""]
