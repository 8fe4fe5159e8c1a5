"""Properties that every fidelity kernel has."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.entanglement import ENTANGLEMENTS
from scorer.circuits.expressions import feature
from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Hadamards, Phases
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import CHUNK, amplitudes, expectation, fidelity_kernel, hadamard

MAPS = st.builds(
    ZZMap,
    qubits=st.integers(1, 6),
    reps=st.integers(1, 3),
    entanglement=st.sampled_from(ENTANGLEMENTS),
    bandwidth=st.floats(0.01, 6.0),
)


@st.composite
def maps_with_rows(draw: Any) -> tuple[ZZMap, Any]:
    circuit = draw(MAPS)
    values = st.floats(-0.5, 1.5, allow_nan=False, width=32)
    rows = draw(st.lists(st.lists(values, min_size=circuit.qubits, max_size=circuit.qubits), min_size=1, max_size=12))
    return circuit, np.array(rows, dtype=np.float64)


@settings(max_examples=60, deadline=None)
@given(maps_with_rows())
def test_kernel_is_symmetric_with_unit_diagonal_and_positive(case: tuple[ZZMap, Any]) -> None:
    circuit, Z = case
    psi = amplitudes(circuit, Z)
    kernel = fidelity_kernel(psi, psi)
    assert np.abs(kernel - kernel.T).max() <= 1e-12
    assert np.abs(np.diag(kernel) - 1.0).max() <= 1e-12
    assert np.linalg.eigvalsh(kernel).min() >= -1e-10


@pytest.mark.parametrize("rows", [1, 2, 127, 128, 129, 300])
def test_a_kernel_of_states_with_themselves_is_that_of_equal_states(rows: int) -> None:
    """One triangle is computed, by blocks of 128 rows; two equal arrays go the general way."""
    psi = amplitudes(ZZMap(4, bandwidth=2.0), np.random.default_rng(rows).random((rows, 4)))
    kernel = fidelity_kernel(psi, psi)
    assert np.abs(kernel - np.abs(psi.conj() @ psi.T) ** 2).max() <= 1e-13
    assert np.abs(kernel - fidelity_kernel(psi, psi.copy())).max() <= 1e-13
    assert np.array_equal(kernel, kernel.T)


@settings(max_examples=30, deadline=None)
@given(maps_with_rows())
def test_expectation_is_the_sum_of_its_parts(case: tuple[ZZMap, Any]) -> None:
    circuit, Z = case
    psi = amplitudes(circuit, Z)
    weights = np.linspace(-1.0, 1.0, len(psi))
    matrix = sum(w * np.outer(v, v.conj()) for w, v in zip(weights, psi, strict=True))
    brute = [float((p.conj() @ matrix @ p).real) for p in psi]
    assert np.abs(expectation(weights, psi, psi) - brute).max() <= 1e-10


def test_chunks_make_no_difference() -> None:
    Z = np.random.default_rng(0).random((CHUNK + 3, 4))
    circuit = ZZMap(4)
    assert np.abs(amplitudes(circuit, Z)[-1] - amplitudes(circuit, Z[-1:])[0]).max() <= 1e-14


def test_memory_does_not_grow_with_the_number_of_different_diagonals() -> None:
    """A diagonal of a chunk of rows is a MiB; only those that come again are kept, until their last use."""

    def peak(layers: int) -> int:
        steps = [s for k in range(layers) for s in (Hadamards(1), Phases(((k + 1, 0),)))]
        plan = Plan("deep", 10, 1, 1.0, (feature(0),), (*steps, Phases(((1, 0),))))
        amplitudes(plan, Z)
        tracemalloc.start()
        try:
            amplitudes(plan, Z)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    Z = np.random.default_rng(0).random((64, 1))
    assert peak(60) <= peak(6) + 2**21


def test_hadamard_is_orthogonal() -> None:
    H = hadamard(5)
    assert np.array_equal(H @ H.T, 32 * np.eye(32))
