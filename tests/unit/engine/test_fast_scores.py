"""The float32 path against the float64 reference, and its independence of batch and thread."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from scorer.circuits.zz import ZZMap
from scorer.engine.fast import BATCH_BOUND, FLOAT32_BOUND, GaussianScorer, ObservableScorer
from scorer.engine.reference import amplitudes, expectation


def case(qubits: int, reps: int, entanglement: str, rank: int) -> tuple[ObservableScorer, Any, Any, Any]:
    rng = np.random.default_rng(qubits)
    circuit = ZZMap(qubits, reps, entanglement, 2.0)
    vectors = amplitudes(circuit, rng.uniform(-0.5, 1.5, (rank, qubits)))
    values = rng.normal(size=rank)
    Z = rng.uniform(-0.5, 1.5, (700, qubits))
    return ObservableScorer(circuit, values, vectors), values, vectors, Z


@pytest.mark.parametrize("qubits", [1, 2, 3, 5, 6, 8, 10, 12])
@pytest.mark.parametrize("reps", [1, 2, 3])
@pytest.mark.parametrize("entanglement", ["full", "linear", "circular"])
def test_scores_are_the_references(qubits: int, reps: int, entanglement: str) -> None:
    scorer, values, vectors, Z = case(qubits, reps, entanglement, min(2**qubits, 7))
    rows = Z[:40] if qubits >= 10 else Z
    exact = expectation(values, vectors, amplitudes(scorer.circuit, rows))
    assert np.abs(scorer(rows) - exact).max() <= FLOAT32_BOUND * np.abs(values).sum()


def test_a_score_does_not_depend_on_the_batch_around_it() -> None:
    scorer, values, _, Z = case(6, 2, "full", 16)
    together = scorer(Z)
    shuffled = np.random.default_rng(1).permutation(len(Z))
    limit = BATCH_BOUND * np.abs(values).sum()
    assert np.abs(scorer(Z[shuffled]) - together[shuffled]).max() <= limit
    for row in (0, 1, 255, 511, 512, 699):
        assert abs(scorer(Z[row : row + 1])[0] - together[row]) <= limit


def test_no_rows_give_no_scores() -> None:
    scorer, _, _, Z = case(4, 2, "full", 3)
    assert scorer(Z[:0]).shape == (0,)


def test_threads_do_not_share_buffers() -> None:
    scorer, _, _, Z = case(6, 2, "full", 16)
    expected = scorer(Z)
    found: dict[int, list[bool]] = {}

    def work(number: int) -> None:
        found[number] = [np.array_equal(scorer(Z), expected) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [True] * 20 for number in range(4)}


@pytest.mark.parametrize("gamma", [0.01, 1.0, 50.0, 1000.0])
@pytest.mark.parametrize("support", [1, 300])
def test_gaussians_are_the_textbooks(gamma: float, support: int) -> None:
    rng = np.random.default_rng(3)
    S = rng.uniform(-0.5, 1.5, (support, 6)).astype(np.float32)
    a = rng.normal(size=support).astype(np.float32)
    Z = rng.uniform(-0.5, 1.5, (600, 6))
    Z[0] = S[0]  # a distance of zero, where rounding could push the exponent above it
    distances = np.square(Z[:, None, :] - S[None].astype(np.float64)).sum(-1)
    exact = np.exp(-gamma * distances) @ a.astype(np.float64)
    # The exponent is rounded to 2^-24 of its largest term, gamma * 6.
    assert np.abs(GaussianScorer(S, a, gamma)(Z) - exact).max() <= 1e-6 * (1.0 + gamma) * np.abs(a).sum()
