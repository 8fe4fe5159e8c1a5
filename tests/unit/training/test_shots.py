"""Estimates from shots: unbiased, with honest standard errors, and equal to what the circuit itself gives on Aer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scorer.circuits.maps import zz
from scorer.engine.backends.aer import observable_counts
from scorer.engine.bloch import projected
from scorer.models.machine import ObservableMachine
from scorer.models.observable import Observable
from scorer.models.projected import ProjectedMachine, Projection
from scorer.models.twins import RbfTwin
from scorer.training.shots.measure import METHODS, ShotError, from_counts, measured, probabilities, sampled
from scorer.training.shots.ranking import exact_sampler, shot_table

CIRCUIT = zz(3, 2, "linear", 0.7).plan


def observable(qubits: int, rank: int) -> Observable:
    rng = np.random.default_rng(0)
    size = 2**qubits
    vectors = np.linalg.qr(rng.normal(size=(size, rank)) + 1j * rng.normal(size=(size, rank)))[0].T
    return Observable(rng.normal(size=rank) * 5.0, np.ascontiguousarray(vectors, np.complex64), 0.3)


def rows(count: int, features: int = 3) -> Any:
    return np.random.default_rng(1).random((count, features))


def machine() -> ObservableMachine:
    return ObservableMachine(CIRCUIT, observable(3, 4))


def projected_machine() -> ProjectedMachine:
    vectors = projected(CIRCUIT.plan, rows(40))
    projection = Projection(CIRCUIT, vectors.mean(0), 2.0)
    support = projection.apply(rows(40)[:15]).astype(np.float32)
    return ProjectedMachine(
        projection, RbfTwin(support, np.random.default_rng(2).normal(size=15).astype(np.float32), 0.6, -0.1)
    )


@pytest.mark.parametrize("method", METHODS)
def test_estimates_are_unbiased_and_their_standard_errors_true(method: str) -> None:
    one = rows(1)
    exact = machine().exact_scores(one)[0]
    many = sampled(CIRCUIT, machine().observable, np.repeat(one, 4000, axis=0), 500, np.random.default_rng(3), method)
    spread = many.scores.std()
    assert abs(many.scores.mean() - exact) <= 4.0 * spread / np.sqrt(4000)
    assert many.standard_error.mean() == pytest.approx(spread, rel=0.05)


def test_the_standard_error_of_two_shots_by_hand() -> None:
    """One shot saw the eigenvalue 6, one saw none: mean 3, sample variance 18, of the mean 9."""
    parts = Observable(np.array([6.0]), np.eye(1, 2, dtype=np.complex64), 0.5)
    found = from_counts(parts, np.array([[1, 1]]))
    assert found.scores.tolist() == [3.5]
    assert found.standard_error.tolist() == pytest.approx([3.0])


def test_the_eigenbasis_has_the_variance_of_the_observable() -> None:
    """Var = (<A^2> - <A>^2) / S, which no measurement of single shots goes below."""
    one, parts = rows(1), machine().observable
    p = probabilities(CIRCUIT, parts, one)[0]
    values = np.append(parts.values, 0.0)
    wanted = np.sqrt((p @ values**2 - (p @ values) ** 2) / 200)
    found = sampled(CIRCUIT, parts, np.repeat(one, 3000, axis=0), 200, np.random.default_rng(4))
    assert found.scores.std() == pytest.approx(wanted, rel=0.06)
    overlaps = sampled(CIRCUIT, parts, np.repeat(one, 3000, axis=0), 200, np.random.default_rng(4), "overlaps")
    assert overlaps.standard_error.mean() > found.standard_error.mean()


def test_projected_estimates_have_true_standard_errors() -> None:
    one = rows(1)
    found = measured(projected_machine(), np.repeat(one, 3000, axis=0), 20_000, np.random.default_rng(5))
    spread = found.scores.std()
    assert found.standard_error.mean() == pytest.approx(spread, rel=0.06)
    # The score is no mean: its bias falls as 1 / S, twice as fast as its spread.
    assert abs(found.scores.mean() - projected_machine().exact_scores(one)[0]) <= 0.3 * spread


def test_the_circuit_itself_gives_the_same_on_aer() -> None:
    parts, Z = machine().observable, rows(5)
    counts = observable_counts(CIRCUIT, parts.vectors, Z, 40_000, seed=6)
    assert (counts.sum(1) == 40_000).all()
    p = probabilities(CIRCUIT, parts, Z)
    assert np.abs(counts / 40_000 - p).max() <= 5.0 * 0.5 / np.sqrt(40_000)
    found = from_counts(parts, counts)
    assert (np.abs(found.scores - machine().exact_scores(Z)) <= 5.0 * found.standard_error).all()


def test_equal_rows_have_shots_of_their_own_on_aer() -> None:
    """Rows go to Aer 64 at a time: the 65th must not get the first one's shots."""
    counts = observable_counts(CIRCUIT, machine().observable.vectors, np.repeat(rows(1), 70, axis=0), 500, seed=6)
    assert not np.array_equal(counts[:6], counts[64:])
    assert len(np.unique(counts, axis=0)) > 35


def test_noise_moves_scores_towards_those_of_no_information() -> None:
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    noise = NoiseModel(basis_gates=["cx", "rz", "sx", "x"])
    noise.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cx"])
    parts, Z = machine().observable, rows(4)
    flat = parts.values.sum() / 8.0 + parts.offset  # of the maximally mixed state
    noisy = from_counts(parts, observable_counts(CIRCUIT, parts.vectors, Z, 4000, 7, noise)).scores
    exact = machine().exact_scores(Z)
    assert np.abs(noisy - flat).mean() <= 0.5 * np.abs(exact - flat).mean()


def test_who_waits_for_a_table_hears_of_every_measurement() -> None:
    y = np.arange(20) % 2
    heard: list[tuple[str, int, int]] = []
    measure = exact_sampler(machine(), rows(20), 0, "eigenbasis")
    table = shot_table(machine(), rows(20), y, [10, 500], measure, 2, lambda *step: heard.append(step))
    assert [row.shots for row in table] == [None, 10, 500]
    assert heard == [
        ("measuring with 10 shots", 0, 4),
        ("measuring with 10 shots", 1, 4),
        ("measuring with 500 shots", 2, 4),
        ("measuring with 500 shots", 3, 4),
    ]


def test_impossible_numbers_of_shots_are_refused() -> None:
    rng = np.random.default_rng(0)
    for wrong in (0, 1, 10**8):
        with pytest.raises(ShotError, match=f"{wrong} shots"):
            measured(machine(), rows(2), wrong, rng)
    with pytest.raises(ShotError, match="method is 'guess'"):
        sampled(CIRCUIT, machine().observable, rows(2), 10, rng, "guess")
