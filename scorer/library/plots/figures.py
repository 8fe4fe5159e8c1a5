"""Plots by Matplotlib, each on axes of yours or of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scorer.circuits.circuit import FeatureMap
from scorer.library.lazy import missing
from scorer.library.plots.layout import DOT, Placed, drawing_of
from scorer.library.plots.spectrum import effective_rank, kernel_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Shares of a spectrum below this are rounding.
_FLOOR = 1e-16
_INCH = 0.6  # of a column or a qubit


def plot_kernel(kernel: ArrayLike, y: ArrayLike | None = None, *, ax: Axes | None = None) -> Axes:
    """Plot a kernel matrix (N, M) as an image from 0 to 1.

    ``y``: labels (N,) of a kernel of rows with themselves; rows of one class then stand together, and lines part the
    classes. ``ax``: None: new axes. Returns the axes. Raises ValueError for other shapes, ImportError where Matplotlib
    is not installed.
    """
    K = np.asarray(kernel, np.float64)
    if K.ndim != 2:
        raise ValueError(f"an array of shape {K.shape}; a kernel has two dimensions")
    order, borders = _by_class(K, y)
    axes = _axes(ax, "plot_kernel", (5.0, 4.2))
    image = axes.imshow(K if y is None else K[np.ix_(order, order)], vmin=0.0, vmax=1.0, interpolation="nearest")
    for border in borders:
        axes.axhline(border - 0.5, color="white", linewidth=0.8)
        axes.axvline(border - 0.5, color="white", linewidth=0.8)
    axes.set_xlabel("row")
    axes.set_ylabel("row")
    axes.figure.colorbar(image, ax=axes, label="fidelity")
    return axes


def _by_class(K: Any, y: ArrayLike | None) -> tuple[Any, Any]:
    """Positions of rows with the classes together, and where a new class begins."""
    if y is None:
        return np.arange(len(K)), []
    labels = np.asarray(y)
    if labels.shape != (len(K),) or K.shape[0] != K.shape[1]:
        raise ValueError(f"labels of shape {labels.shape} for a kernel of shape {K.shape}; one for each row is needed")
    _, codes = np.unique(labels, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    return order, np.flatnonzero(np.diff(codes[order])) + 1


def plot_spectrum(kernel: ArrayLike, *, ax: Axes | None = None, label: str | None = None) -> Axes:
    """Plot the eigenvalues of a kernel (N, N), falling, as shares of their sum, with the effective rank.

    ``ax``: None: new axes. ``label``: of the line. Returns the axes. Raises ValueError for what is no kernel of rows
    with themselves, ImportError where Matplotlib is not installed.
    """
    shares, rank = kernel_spectrum(kernel), effective_rank(kernel)
    axes = _axes(ax, "plot_spectrum", (5.0, 3.6))
    text = f"{'' if label is None else f'{label}: '}effective rank {rank:.1f} of {len(shares)}"
    axes.semilogy(np.arange(1, len(shares) + 1), np.maximum(shares, _FLOOR), marker=".", label=text)
    axes.set_xlabel("eigenvalue")
    axes.set_ylabel("share of the sum")
    axes.legend()
    return axes


def plot_circuit(circuit: FeatureMap, *, formulas: bool = True, ax: Axes | None = None) -> Axes:
    """Plot a feature map: a line for each qubit, gates as boxes, controls as dots, time to the right.

    ``formulas``: with the angles, as functions of the features x = bandwidth * z. ``ax``: None: new axes. Returns the
    axes. Raises ImportError where Matplotlib is not installed.
    """
    drawing = drawing_of(circuit, formulas)
    width = _INCH * (drawing.columns * (2.0 if formulas else 1.0) + 1.0)
    axes = _axes(ax, "plot_circuit", (min(width, 40.0), _INCH * (drawing.qubits + 1.0)))
    axes.hlines(np.arange(drawing.qubits), -0.5, drawing.columns - 0.5, color="0.3", linewidth=1.0, zorder=0)
    for gate in drawing.gates:
        _plot_gate(axes, gate)
    axes.set_yticks(np.arange(drawing.qubits), [f"q{qubit}" for qubit in range(drawing.qubits)])
    axes.set_xticks([])
    axes.set_xlim(-0.6, drawing.columns - 0.4)
    axes.set_ylim(drawing.qubits - 0.5, -0.5)
    axes.set_title(drawing.title)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _plot_gate(axes: Axes, gate: Placed) -> None:
    low, high = gate.span
    if high > low:
        axes.vlines(gate.column, low, high, color="0.3", linewidth=1.0, zorder=1)
    dots = [qubit for qubit, mark in gate.marks.items() if mark.startswith(DOT)]
    axes.scatter([gate.column] * len(dots), dots, s=25.0, color="0.1", zorder=2)
    for qubit, mark in gate.marks.items():
        text = mark.removeprefix(DOT)
        if text:
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "0.3"}
            axes.text(gate.column, qubit, text, ha="center", va="center", fontsize=8.0, bbox=box, zorder=3)


def _axes(ax: Axes | None, what: str, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise missing(f"qscore.{what}", error) from error
    made: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return made
