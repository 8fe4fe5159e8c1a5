"""Both forms of <psi|A|psi> against float64, whatever the rank, and which of them is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.zz import ZZMap
from scorer.engine.batched import BatchedStates
from scorer.engine.compiled.paths import CompiledStates
from scorer.engine.fast import ObservableScorer, float32_bound
from scorer.engine.forms import Overlaps, Quadratic, form_of
from scorer.engine.program import prepared
from scorer.engine.reference import amplitudes, expectation

from .plans import random_observable

PROGRAM = prepared(ZZMap(2).plan)
SUMS: dict[str, Any] = {"numpy": BatchedStates(PROGRAM), "compiled": CompiledStates(PROGRAM)}
FORMS = pytest.mark.parametrize("form", [Overlaps, Quadratic])


def planes_of(psi: Any, width: int) -> Any:
    """States (N, 2^n) as planes (N / width, 3, 2^n, width)."""
    blocks = psi.reshape(-1, width, psi.shape[1]).transpose(0, 2, 1)
    return np.stack([blocks.real, blocks.imag, blocks.real + blocks.imag], axis=1).astype(np.float32)


def states(rows: int, qubits: int) -> Any:
    rng = np.random.default_rng(rows)
    psi = rng.normal(size=(rows, 2**qubits)) + 1j * rng.normal(size=(rows, 2**qubits))
    return psi / np.linalg.norm(psi, axis=1, keepdims=True)


@FORMS
@pytest.mark.parametrize("sums", SUMS)
@settings(max_examples=25, deadline=None)
@given(qubits=st.integers(1, 7), blocks=st.integers(1, 3), width=st.sampled_from((16, 64, 128)), data=st.data())
def test_a_form_is_the_expectation(form: Any, sums: str, qubits: int, blocks: int, width: int, data: Any) -> None:
    values, vectors = random_observable(qubits, data.draw(st.integers(1, 2**qubits)), data.draw(st.integers(0, 99)))
    psi, made = states(blocks * width, qubits), form(values, vectors)
    planes = planes_of(psi, width)
    room = made.room(planes)
    exact, limit = expectation(values, vectors, psi), 1e-6 * np.abs(values).sum()
    for _ in range(2):  # memory is used again
        assert np.abs(made(planes, room, SUMS[sums]) - exact).max() <= limit


@FORMS
def test_a_form_takes_vectors_of_any_norm_and_angle(form: Any) -> None:
    values, vectors = random_observable(3, 5)
    scaled = vectors * np.array([0.1, 3.0, 1j, -2.0, 1.0])[:, None]
    psi = states(16, 3)
    planes, made = planes_of(psi, 16), form(values, scaled)
    exact = expectation(values, scaled, psi)
    assert np.abs(made(planes, made.room(planes), SUMS["numpy"]) - exact).max() <= 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("qubits", "rank", "form"),
    [
        (6, 16, Overlaps),
        (6, 64, Quadratic),
        (8, 32, Overlaps),
        (8, 128, Overlaps),
        (8, 256, Quadratic),
        (10, 64, Overlaps),
        (10, 1024, Quadratic),
        (1, 1, Overlaps),
        (1, 2, Quadratic),
    ],
)
def test_the_form_that_takes_less_is_taken(qubits: int, rank: int, form: Any) -> None:
    assert isinstance(form_of(np.ones(rank), np.eye(rank, 2**qubits, dtype=np.complex128)), form)


def test_no_matrix_is_made_of_more_than_ten_qubits() -> None:
    few = np.zeros((1300, 2**11), np.complex128)
    assert isinstance(form_of(np.ones(1300), few), Overlaps)


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("qubits", [1, 5, 6, 8])
def test_whole_observables_score_as_the_reference(qubits: int, compiled: bool) -> None:
    circuit = ZZMap(qubits, 2, "full", 1.0)
    values, vectors = random_observable(qubits, 2**qubits)
    Z = np.random.default_rng(3).random((700, qubits))
    found = ObservableScorer(circuit, values, vectors, compiled=compiled)(Z)
    exact = expectation(values, vectors, amplitudes(circuit, Z))
    assert np.abs(found - exact).max() <= float32_bound(circuit) * np.abs(values).sum()
