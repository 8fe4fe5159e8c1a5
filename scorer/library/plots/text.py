"""Circuits as text, for terminals, notebooks and tickets; needs nothing installed."""

from __future__ import annotations

from collections.abc import Iterator

from scorer.circuits.circuit import FeatureMap
from scorer.library.plots.layout import Drawing, Placed, drawing_of


def draw(circuit: FeatureMap, *, formulas: bool = True, width: int = 110) -> str:
    """Draw a feature map as text: a line for each qubit, time to the right.

    ``formulas``: with the angles, as functions of the features x = bandwidth * z. ``width``: characters of a line,
    after which the drawing goes on below. ``qscore.to_qiskit(circuit).draw()`` is Qiskit's own drawing.
    """
    drawing = drawing_of(circuit, formulas)
    labels = [f"q{qubit}: " for qubit in range(drawing.qubits)]
    margin = max(len(label) for label in labels)
    blocks = [
        "\n".join(text.rstrip() for text in _block(columns, [label.rjust(margin) for label in labels]))
        for columns in _folded([_column(drawing, column) for column in range(drawing.columns)], width - margin)
    ]
    return "\n\n".join([drawing.title, *blocks])


def _column(drawing: Drawing, column: int) -> list[str]:
    """The lines of one column, of one length: qubits, and between them what joins them."""
    gates = [gate for gate in drawing.gates if gate.column == column]
    cells = ["─" if line % 2 == 0 else " " for line in range(2 * drawing.qubits - 1)]
    for gate in gates:
        _join(cells, gate)
    length = max(len(cell) for cell in cells) + 2
    return [cell.center(length, " " if line % 2 else "─") for line, cell in enumerate(cells)]


def _join(cells: list[str], gate: Placed) -> None:
    low, high = gate.span
    for line in range(2 * low, 2 * high + 1):
        cells[line] = "│" if line % 2 else "┼"
    for qubit, mark in gate.marks.items():
        cells[2 * qubit] = mark


def _folded(columns: list[list[str]], width: int) -> Iterator[list[list[str]]]:
    """Columns in blocks, none wider than ``width`` unless a column alone is."""
    block: list[list[str]] = []
    used = 0
    for column in columns:
        if block and used + len(column[0]) > width:
            yield block
            block, used = [], 0
        block.append(column)
        used += len(column[0])
    if block:
        yield block


def _block(columns: list[list[str]], labels: list[str]) -> Iterator[str]:
    for line in range(len(columns[0])):
        start = labels[line // 2] if line % 2 == 0 else " " * len(labels[0])
        yield start + "".join(column[line] for column in columns)
