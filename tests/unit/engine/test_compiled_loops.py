"""The compiled loops one by one, each against NumPy or a closed form, and where their machine code is kept."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.steps import bits
from scorer.engine.batched import BatchedStates
from scorer.engine.compiled.butterflies import FEW, MANY, one_pass, transform
from scorer.engine.compiled.paths import CompiledGaussians, CompiledStates
from scorer.engine.compiled.series import COSINE, EXP2, SINE
from scorer.engine.compiled.sums import ABREAST, weighted_powers
from scorer.engine.program import prepared
from scorer.engine.reference import hadamard

from .strategies import plans

SINGLE = float(np.finfo(np.float32).eps)


def singles(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 7, FEW, MANY, *(FEW << k for k in (3, 6, 9, 12))])
@pytest.mark.parametrize("qubits", [1, 2, 3])
def test_a_pass_is_the_hadamard_matrix_on_its_qubits(stride: int, qubits: int) -> None:
    numbers = singles(2, 2**qubits, stride)
    wanted = np.einsum("ij,ajb->aib", hadamard(qubits), numbers.astype(np.float64))
    one_pass(numbers.reshape(-1), stride, qubits)
    assert np.abs(numbers - wanted).max() <= 8.0 * SINGLE * np.abs(wanted).max()


@pytest.mark.parametrize("lanes", [FEW, MANY])
@pytest.mark.parametrize("qubits", range(1, 15))
def test_passes_over_all_qubits_are_the_whole_transform(qubits: int, lanes: int) -> None:
    """Low qubits are transformed block by block, high ones across all of them; in place, or from another array."""
    passes = np.array([(low, min(3, qubits - low)) for low in range(0, qubits, 3)])
    column = singles(2**qubits).astype(np.float64)
    wanted = transformed(column)
    numbers = np.outer(column, np.linspace(-1.0, 1.0, lanes)).astype(np.float32)
    limit = 4.0 * qubits * SINGLE * np.linalg.norm(column)
    sources = [np.empty((0, lanes), np.float32), *([numbers.copy()] if qubits >= 3 else [])]
    for source in sources:
        flat = np.full_like(numbers, np.nan) if len(source) else numbers.copy()
        transform(source.reshape(-1), flat.reshape(-1), passes, lanes)
        assert np.abs(flat - np.outer(wanted, np.linspace(-1.0, 1.0, lanes))).max() <= limit


def transformed(column: Any) -> Any:
    """H^n, without its norm, on numbers (2^n,): one qubit at a time."""
    for qubit in range(len(column).bit_length() - 1):
        pairs = column.reshape(-1, 2, 1 << qubit)
        column = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
    return column


@pytest.mark.parametrize(
    ("name", "series", "function"),
    [
        ("sine", lambda t: t * np.polyval(SINE[::-1], t * t), lambda t: np.sin(np.pi * t)),
        ("cosine", lambda t: np.polyval(COSINE[::-1], t * t), lambda t: np.cos(np.pi * t)),
        ("power", lambda t: np.polyval(EXP2[::-1], t), np.exp2),
    ],
)
def test_series_are_good_to_a_float32s_last_place(name: str, series: Any, function: Any) -> None:
    t = np.linspace(-0.5, 0.5, 10_001)
    assert np.abs(series(t) - function(t)).max() <= SINGLE, name


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.sampled_from((1, 16, 100)), st.floats(0.1, 60.0), st.integers(0, 99))
def test_weighted_powers_are_numpys(groups: int, count: int, size: float, seed: int) -> None:
    exponents = np.float32(size) * singles(groups * ABREAST, count, seed=seed)
    exponents = np.minimum(exponents, np.float32(0.0))  # as those of Gaussians are
    weights, out = singles(groups * ABREAST, seed=seed + 1), np.empty(count, np.float32)
    weighted_powers(exponents, weights, out)
    wanted = weights.astype(np.float64) @ np.exp2(exponents.astype(np.float64))
    assert np.abs(out - wanted).max() <= 8.0 * SINGLE * np.abs(weights).sum()


@pytest.mark.parametrize("exponent", [-115.0, -116.0, -200.0, -1e30, -np.inf])
def test_small_powers_neither_vanish_into_denormal_numbers_nor_overflow(exponent: float) -> None:
    out = np.empty(3, np.float32)
    weighted_powers(np.full((ABREAST, 3), exponent, np.float32), np.ones(ABREAST, np.float32), out)
    assert (out == np.float32(ABREAST * 2.0**-115)).all()


@settings(max_examples=40, deadline=None)
@given(plans(most_qubits=7))
def test_amplitudes_are_those_of_the_numpy_path_up_to_a_rows_phase(plan: Any) -> None:
    program = prepared(plan)
    Z = np.random.default_rng(5).uniform(-0.5, 1.5, (512, plan.features))
    found = []
    paths: list[Any] = [BatchedStates(program), CompiledStates(program)]
    for path in paths:
        out = np.full((path.chunk // path.width, 3, 2**plan.qubits, path.width), np.nan, np.float32)
        path(path.reduced(program.plan.angles(Z)), 0, path.workspace(), out)
        assert np.abs(out[:, 2] - (out[:, 0] + out[:, 1])).max() <= 4.0 * SINGLE * np.abs(out).max()
        found.append(program.norm * np.concatenate(list(out[:, 0] + 1j * out[:, 1]), axis=1)[:, :128])
    overlap = np.abs((found[0].conj() * found[1]).sum(0))
    assert np.abs(np.linalg.norm(found[0], axis=0) - 1.0).max() <= 1e-5
    assert np.abs(overlap - 1.0).max() <= 1e-5


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("rank", [1, 5, 64])
def test_overlaps_are_weighed_alike_by_both_paths(blocks: int, rank: int) -> None:
    overlaps, values = singles(blocks, 3, rank, 64), singles(rank, seed=1)
    exact = overlaps.astype(np.float64)
    squares = (exact[:, 2] - exact[:, 1]) ** 2 + (exact[:, 2] - exact[:, 0]) ** 2
    wanted = (values.astype(np.float64) @ squares).reshape(-1)
    program = prepared(_small_plan())
    for path in (CompiledStates(program), BatchedStates(program)):
        scores = path.weighed(overlaps.copy(), values)
        assert scores.shape == (64 * blocks,)
        assert np.abs(scores - wanted).max() <= 1e-5 * np.abs(values).sum() * squares.max()


@pytest.mark.parametrize(("states", "columns"), [(2, 16), (2, 128), (64, 128), (256, 512)])
def test_products_are_paired_alike_by_both_paths(states: int, columns: int) -> None:
    planes, products = singles(3, states, columns), singles(2, states, columns, seed=1)
    x, _, s = planes.astype(np.float64)
    p, q = products.astype(np.float64)
    program = prepared(_small_plan())
    for path in (CompiledStates(program), BatchedStates(program)):
        scores = np.full(columns, np.nan, np.float32)
        path.paired(planes, products.copy(), scores)
        assert np.abs(scores - (s * p - x * q).sum(0)).max() <= 1e-5 * (np.abs(s * p) + np.abs(x * q)).sum(0).max()


def _small_plan() -> Any:
    from scorer.circuits.zz import ZZMap

    return ZZMap(2).plan


@pytest.mark.parametrize("support", [1, 3, 4, 5, 700, 3000])
def test_sums_of_gaussians_take_any_number_of_supports(support: int) -> None:
    table, weights = -np.abs(singles(support, 3)).astype(np.float64), singles(support, seed=1).astype(np.float64)
    sums = CompiledGaussians(table, weights)
    assert sums.chunk % 16 == 0
    columns = np.abs(singles(3, sums.chunk, seed=2))
    wanted = weights @ np.exp(table @ columns.astype(np.float64))
    assert np.abs(sums(columns, sums.workspace()) - wanted).max() <= 1e-5 * np.abs(weights).sum()


def test_a_second_process_loads_what_the_first_compiled() -> None:
    program = (
        "from scorer.engine.fast import enable_compiled\n"
        "from scorer.engine.compiled.loops import run\n"
        "from scorer.engine.compiled.sums import weighted_powers\n"
        "print(enable_compiled())\n"
        "print([sum(f.stats.cache_hits.values()) for f in (run, weighted_powers)])\n"
        "print([sum(f.stats.cache_misses.values()) for f in (run, weighted_powers)])\n"
    )
    for _ in range(2):
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.splitlines() == ["True", "[1, 1]", "[0, 0]"]


def test_warming_up_compiles_for_everything_that_scorers_will_call() -> None:
    """A second signature would be compiled while a batch waits."""
    program = (
        "import numpy as np\n"
        "from scorer.circuits.maps import reuploading, zz\n"
        "from scorer.engine.compiled.loops import run\n"
        "from scorer.engine.compiled.diagonals import reduced\n"
        "from scorer.engine.compiled.sums import paired, weighed, weighted_powers\n"
        "from scorer.engine.fast import GaussianScorer, ObservableScorer, enable_compiled\n"
        "enable_compiled()\n"
        "for circuit in (zz(6), reuploading(4, layers=3)):\n"
        "    for rank in (2, 2**circuit.qubits):\n"
        "        scorer = ObservableScorer(circuit, np.ones(rank), np.eye(rank, 2**circuit.qubits, dtype=complex))\n"
        "        assert scorer.compiled and scorer(np.ones((3, circuit.features))).shape == (3,)\n"
        "GaussianScorer(np.ones((5, 3)), np.ones(5), 1.0)(np.ones((3, 3)))\n"
        "print([len(loop.signatures) for loop in (run, reduced, weighed, paired, weighted_powers)])\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.splitlines() == ["[1, 1, 1, 1, 1]"]


@pytest.mark.parametrize("mask", [0b1, 0b1011, 0b111111111])
def test_runs_of_neighbours_are_what_passes_are_cut_from(mask: int) -> None:
    covered = [qubit for low, count in bits.runs(mask) for qubit in range(low, low + count)]
    assert bits.mask_of(covered) == mask
