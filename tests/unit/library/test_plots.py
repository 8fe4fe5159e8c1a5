"""Plots and drawings, by what is drawn: images, lines, texts and where they stand."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.typing import NDArray

import qscore
from scorer.circuits.circuit import Builder, Circuit
from scorer.circuits.expressions import BINARY, UNARY, Expression, apply, constant, feature
from scorer.library.plots.formulas import formula, number
from scorer.library.plots.layout import DOT, drawing_of

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def kernel(bandwidth: float, rows: int = 40) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    X = np.random.default_rng(0).normal(size=(rows, 3))
    return qscore.FidelityKernel(bandwidth=bandwidth).fit(X).pairwise(X), (X[:, 0] > 0).astype(np.int64)


def test_a_kernel_is_shown_as_it_is() -> None:
    K, _ = kernel(1.0)
    axes = qscore.plot_kernel(K)
    (image,) = axes.get_images()
    assert np.array_equal(np.asarray(image.get_array()), K)
    assert image.get_clim() == (0.0, 1.0)
    assert len(axes.figure.axes) == 2  # with its scale


def test_rows_of_one_class_stand_together() -> None:
    K, y = kernel(1.0)
    names = np.array(["b", "a"])[y]
    axes = qscore.plot_kernel(K, names)
    shown = np.asarray(axes.get_images()[0].get_array())
    order = np.concatenate([np.flatnonzero(names == "a"), np.flatnonzero(names == "b")])
    assert np.array_equal(shown, K[np.ix_(order, order)])
    border = np.count_nonzero(names == "a") - 0.5
    ends: list[Any] = [line.get_xdata() for line in axes.lines]
    assert [first for first, last in ends if first == last] == [border]


def test_a_kernel_with_other_rows_need_not_be_square() -> None:
    K, y = kernel(1.0)
    axes = plt.subplots()[1]
    assert qscore.plot_kernel(K[:, :7], ax=axes) is axes
    with pytest.raises(ValueError, match="one for each row is needed"):
        qscore.plot_kernel(K[:, :7], y)
    with pytest.raises(ValueError, match="two dimensions"):
        qscore.plot_kernel(K[0])


def test_a_spectrum_is_that_of_the_kernel() -> None:
    K, _ = kernel(0.5)
    axes = qscore.plot_spectrum(K, label="ours")
    (line,) = axes.lines
    values = np.linalg.eigvalsh(K)[::-1] / len(K)
    assert np.abs(np.asarray(line.get_ydata()) - np.maximum(values, 0.0)).max() < 1e-12
    assert axes.get_yscale() == "log"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        f"ours: effective rank {qscore.effective_rank(K):.1f} of 40"
    ]


@pytest.mark.parametrize(
    ("K", "rank"), [(np.ones((5, 5)), 1.0), (np.eye(5), 5.0), (np.diag([1.0, 1.0, 0.0]), 2.0), (np.array([[3.0]]), 1.0)]
)
def test_the_effective_rank_of_known_kernels(K: NDArray[np.float64], rank: float) -> None:
    assert qscore.effective_rank(K) == pytest.approx(rank)
    assert qscore.kernel_spectrum(K).sum() == pytest.approx(1.0)


def test_the_effective_rank_grows_with_the_bandwidth() -> None:
    ranks = [qscore.effective_rank(kernel(width)[0]) for width in (0.05, 0.5, 3.0)]
    assert ranks == sorted(ranks)
    assert ranks[0] < 2.0 < 20.0 < ranks[2]


@pytest.mark.parametrize(
    "K", [np.ones((2, 3)), np.ones(3), np.array([[1.0, 2.0], [0.0, 1.0]]), np.full((2, 2), np.nan)]
)
def test_what_is_no_kernel_has_no_spectrum(K: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"kernel"):
        qscore.effective_rank(K)


def test_a_circuit_is_plotted_gate_by_gate() -> None:
    axes = qscore.plot_circuit(qscore.zz(3, reps=1, entanglement="linear", bandwidth=math.pi))
    assert axes.get_title() == "zz: x = π z"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["q0", "q1", "q2"]
    texts = sorted((text.get_position(), text.get_text()) for text in axes.texts)
    assert [(place, text) for place, text in texts if place[0] <= 2] == [
        ((0, 0), "H"),
        ((0, 1), "H"),
        ((0, 2), "H"),
        ((1, 0), "P(2 x0)"),
        ((1, 1), "P(2 x1)"),
        ((1, 2), "P(2 x2)"),
        ((2, 1), "X"),
    ]
    dots = np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])
    assert {(2.0, 0.0), (4.0, 0.0), (5.0, 1.0), (7.0, 1.0)} <= {(float(column), float(qubit)) for column, qubit in dots}


def test_a_circuit_without_formulas_has_short_texts() -> None:
    axes = qscore.plot_circuit(qscore.pauli(2), formulas=False)
    assert {text.get_text() for text in axes.texts} == {"H", "P", "X"}


def test_a_drawing_in_text_is_as_people_draw_it() -> None:
    assert qscore.draw(qscore.zz(2, reps=1, bandwidth=0.2)).splitlines() == [
        "zz: x = 0.2 z",
        "",
        "q0: ─H──P(2 x0)──●──────────────────────────●─",
        "                 │                          │",
        "q1: ─H──P(2 x1)──X──P(2 (π - x0) (π - x1))──X─",
    ]


def test_a_line_crosses_the_qubits_between() -> None:
    circuit = Builder("far", 4, 1).ccx(0, 3, 1).swap(0, 2).rzz(feature(0), 1, 2).cz(0, 3).build()
    assert qscore.draw(circuit).splitlines()[2:] == [
        "q0: ─●──SWAP───────────●─",
        "     │   │             │",
        "q1: ─X───┼────RZZ(x0)──┼─",
        "     │   │       │     │",
        "q2: ─┼──SWAP──RZZ(x0)──┼─",
        "     │                 │",
        "q3: ─●─────────────────●─",
    ]


def test_a_long_drawing_goes_on_below() -> None:
    drawn = qscore.draw(qscore.reuploading(4, layers=4), width=60)
    blocks = drawn.split("\n\nq0")
    assert len(blocks) > 3
    assert max(len(line) for line in drawn.splitlines()) <= 60


def test_the_marks_of_a_drawing_are_the_gates_of_the_circuit() -> None:
    """Every gate once, none over another, each behind those that it shares a qubit with."""
    circuit = random_circuit(np.random.default_rng(5))
    drawing = drawing_of(circuit, formulas=False)
    assert len(drawing.gates) == len(circuit.gates)
    last = [-1] * circuit.qubits
    for placed, gate in zip(drawing.gates, circuit.gates, strict=True):
        assert set(placed.marks) == set(gate.qubits)
        low, high = placed.span
        assert all(last[qubit] < placed.column for qubit in range(low, high + 1))
        last[low : high + 1] = [placed.column] * (high - low + 1)
        controls = [qubit for qubit, mark in placed.marks.items() if mark == DOT]
        assert set(controls) <= set(gate.qubits)


def random_circuit(rng: np.random.Generator) -> Circuit:
    from scorer.circuits.gates import SIGNATURES

    builder = Builder("random", 5, 3)
    for _ in range(60):
        name = str(rng.choice(list(SIGNATURES)))
        qubits, angles = SIGNATURES[name]
        chosen = [int(qubit) for qubit in rng.permutation(5)[:qubits]]
        builder.add(name, chosen, [random_formula(rng, 2) for _ in range(angles)])
    return builder.build()


def random_formula(rng: np.random.Generator, depth: int) -> Expression:
    """A formula in which no two constants meet: what would be folded has more digits than are written."""
    if depth == 0 or rng.random() < 0.2:
        return feature(int(rng.integers(3)))
    name = str(rng.choice([*UNARY, *BINARY, *BINARY, *BINARY]))
    operands = [random_formula(rng, depth - 1) for _ in range(1 if name in UNARY else 2)]
    if len(operands) == 2 and rng.random() < 0.5:
        operands[int(rng.integers(2))] = constant(float(rng.integers(-6, 7)) / 2)
    return apply(name, *operands)


def computed(expression: Expression, x: list[float]) -> float:
    stack: list[float] = []
    for part in expression.program:
        if isinstance(part, float):
            stack.append(part)
        elif part in UNARY:
            stack.append(UNARY[part](stack.pop()))
        elif part in BINARY:
            right = stack.pop()
            stack.append(BINARY[part](stack.pop(), right))
        else:
            stack.append(x[int(part[1:])])
    return stack[0]


def value_of(text: str, x: list[float]) -> Any:
    """What a formula says, read as people read it: products are written side by side, powers bind first."""
    spaced = re.sub(r" ([-+/]) ", r"\1", text).replace(" ", "*").replace("^", "**").replace("π", "pi")
    names = {name: getattr(math, name, abs) for name in UNARY} | {f"x{k}": value for k, value in enumerate(x)}
    return eval(spaced, {"pi": math.pi, **names})  # noqa: S307 - a text that we wrote


def test_formulas_say_what_the_angles_are() -> None:
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(600):
        expression, x = random_formula(rng, 3), rng.uniform(0.1, 1.5, 3).tolist()
        try:
            wanted = computed(expression, x)
        except (ValueError, ArithmeticError):  # no value there
            continue
        if math.isfinite(wanted) and abs(wanted) < 1e6:
            compared += 1
            assert value_of(formula(expression), x) == pytest.approx(wanted, rel=1e-9, abs=1e-9), formula(expression)
    assert compared > 300


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.pi, "π"), (-math.pi / 2, "-π/2"), (3 * math.pi / 4, "3π/4"), (2.0, "2"), (0.123456, "0.1235"), (0.0, "0")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_without_matplotlib_a_plot_says_what_to_install_and_drawing_goes_on() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import qscore, numpy\n"
        "print(qscore.draw(qscore.zz(1)))\n"
        "print(qscore.effective_rank(numpy.eye(3)))\n"
        "qscore.plot_circuit(qscore.zz(2))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert "q0: ─H──P(2 x0)" in said.stdout
    last = "ImportError: qscore.plot_circuit needs matplotlib, which is not installed: pip install 'qscore[plot]'"
    assert said.stderr.splitlines()[-1] == last
