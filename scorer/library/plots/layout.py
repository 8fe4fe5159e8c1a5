"""Gates in columns: where each stands in a drawing, whichever way it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scorer.circuits.circuit import Circuit, FeatureMap
from scorer.circuits.decompile import circuit_of
from scorer.circuits.gates import Gate
from scorer.circuits.zz import ZZMap
from scorer.library.plots.formulas import formula, number

#: Gate -> (qubits that control it, what stands on its target, "" for a dot).
_CONTROLLED = {
    "cx": (1, "X"),
    "cy": (1, "Y"),
    "cz": (1, ""),
    "ch": (1, "H"),
    "cp": (1, "P"),
    "crx": (1, "RX"),
    "cry": (1, "RY"),
    "crz": (1, "RZ"),
    "ccx": (2, "X"),
    "ccz": (2, ""),
}
DOT = "●"


@dataclass(frozen=True)
class Placed:
    """A gate in a drawing.

    ``column``: from 0, left to right. ``marks``: qubit -> text, a DOT for controls. Between the lowest and the highest
    of its qubits a line joins them.
    """

    column: int
    marks: dict[int, str]

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest qubit."""
        return min(self.marks), max(self.marks)


@dataclass(frozen=True)
class Drawing:
    """A circuit as it is drawn: ``title``, number of ``qubits`` and of ``columns``, ``gates`` in order."""

    title: str
    qubits: int
    columns: int
    gates: tuple[Placed, ...]


def drawing_of(circuit: FeatureMap, formulas: bool = True) -> Drawing:
    """Place the gates of a circuit, each as far left as the gates before it let it; ``formulas``: with their angles."""
    ours = circuit.to_circuit() if isinstance(circuit, ZZMap) else circuit_of(circuit)
    gates = tuple(_placed(ours, formulas))
    columns = 1 + max((gate.column for gate in gates), default=-1)
    return Drawing(f"{ours.name}: x = {number(ours.bandwidth)} z", ours.qubits, columns, gates)


def _placed(circuit: Circuit, formulas: bool) -> Iterator[Placed]:
    free = [0] * circuit.qubits
    for gate in circuit.gates:
        low, high = min(gate.qubits), max(gate.qubits)
        column = max(free[low : high + 1])
        free[low : high + 1] = [column + 1] * (high + 1 - low)
        yield Placed(column, _marks(gate, formulas))


def _marks(gate: Gate, formulas: bool) -> dict[int, str]:
    angles = f"({', '.join(formula(angle) for angle in gate.angles)})" if gate.angles and formulas else ""
    controls, target = _CONTROLLED.get(gate.name, (0, gate.name.upper()))
    marks = dict.fromkeys(gate.qubits[:controls], DOT)
    return marks | dict.fromkeys(gate.qubits[controls:], (target or DOT) + angles)
