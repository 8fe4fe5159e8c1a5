"""Gates in terms of four kinds of operations: a one-qubit gate, a phase on a parity, an affine map, a global phase.

Every diagonal gate is a sum of phases on parities: b0 b1 = (b0 + b1 - (b0 xor b1)) / 2, and so on. All identities are
exact, global phase included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from scorer.circuits.expressions import Expression, constant
from scorer.circuits.gates import Gate
from scorer.circuits.steps import bits

_PI = math.pi


@dataclass(frozen=True)
class OneQubit:
    """h, x (no angle), rx, ry or p on one qubit."""

    name: str
    qubit: int
    angle: Expression | None = None


@dataclass(frozen=True)
class Phase:
    """exp(i angle parity(b & mask)); mask 0: a global phase."""

    mask: int
    angle: Expression


@dataclass(frozen=True)
class Linear:
    """|b> -> |M b xor shift>, ``rows`` as in ``bits``."""

    rows: tuple[int, ...]
    shift: int = 0


Operation = OneQubit | Phase | Linear


def lower(gate: Gate, qubits: int) -> Iterator[Operation]:
    """The gate's operations, the first applied first."""
    name, q = gate.name, gate.qubits
    if name in ("h", "rx", "ry"):
        yield OneQubit(name, q[0], gate.angles[0] if gate.angles else None)
    elif name == "x":
        yield Linear(bits.identity(qubits), 1 << q[0])
    elif name in ("cx", "swap"):
        yield _linear(name, q, qubits)
    elif name in _DIAGONAL:
        yield from _DIAGONAL[name](q, *gate.angles)
    else:
        for part in _COMPOSED[name](q, *gate.angles):
            yield from (part,) if isinstance(part, Phase) else lower(part, qubits)


def _linear(name: str, q: Sequence[int], qubits: int) -> Linear:
    rows = list(bits.identity(qubits))
    if name == "cx":
        rows[q[1]] |= 1 << q[0]
    else:
        rows[q[0]], rows[q[1]] = rows[q[1]], rows[q[0]]
    return Linear(tuple(rows))


def _all_ones(q: Sequence[int], angle: Expression) -> Iterator[Phase]:
    """The phase where every one of the qubits is 1, as phases on the parities of their subsets."""
    share = 0.5 ** (len(q) - 1) * angle
    for subset in range(1, 2 ** len(q)):
        sign = 1.0 if subset.bit_count() % 2 else -1.0
        yield Phase(bits.mask_of(q[i] for i in bits.members(subset)), sign * share)


def _rz(q: Sequence[int], angle: Expression) -> Iterator[Phase]:
    """exp(-i angle/2 Z...Z): rz on one qubit, rzz on two."""
    yield Phase(0, -0.5 * angle)
    yield Phase(bits.mask_of(q), angle)


def _crz(q: Sequence[int], angle: Expression) -> Iterator[Phase]:
    yield Phase(1 << q[1], 0.5 * angle)
    yield Phase(bits.mask_of(q), -0.5 * angle)


_Diagonal = Callable[..., Iterable[Phase]]


def _constant_phase(angle: float) -> _Diagonal:
    return lambda q: _all_ones(q, constant(angle))


_DIAGONAL: dict[str, _Diagonal] = {
    "z": _constant_phase(_PI),
    "s": _constant_phase(_PI / 2),
    "sdg": _constant_phase(-_PI / 2),
    "t": _constant_phase(_PI / 4),
    "tdg": _constant_phase(-_PI / 4),
    "cz": _constant_phase(_PI),
    "ccz": _constant_phase(_PI),
    "p": _all_ones,
    "cp": _all_ones,
    "rz": _rz,
    "rzz": _rz,
    "crz": _crz,
}


def _around(outer: Sequence[Gate], inner: Gate, undo: Sequence[Gate]) -> list[Gate]:
    return [*outer, inner, *undo]


def _gate(name: str, qubits: Iterable[int], *angles: Expression | float) -> Gate:
    return Gate(name, tuple(qubits), tuple(a if isinstance(a, Expression) else constant(a) for a in angles))


def _turned(q: Sequence[int], sign: float) -> list[Gate]:
    """The rotations between which Z is Y: RX(-pi/2) Z RX(pi/2) = Y."""
    return [_gate("rx", (qubit,), sign * _PI / 2) for qubit in q]


def _hadamards(q: Sequence[int]) -> list[Gate]:
    return [_gate("h", (qubit,)) for qubit in q]


_COMPOSED: dict[str, Callable[..., Iterable[Gate | Phase]]] = {
    # Y = i X Z
    "y": lambda q: [Phase(0, constant(_PI / 2)), _gate("z", q), _gate("x", q)],
    "sx": lambda q: [Phase(0, constant(_PI / 4)), _gate("rx", q, _PI / 2)],
    "sxdg": lambda q: [Phase(0, constant(-_PI / 4)), _gate("rx", q, -_PI / 2)],
    "u": lambda q, theta, phi, lam: [_gate("p", q, lam), _gate("ry", q, theta), _gate("p", q, phi)],
    "cy": lambda q: _around([_gate("sdg", q[1:])], _gate("cx", q), [_gate("s", q[1:])]),
    "ch": lambda q: _around([_gate("ry", q[1:], -_PI / 4)], _gate("cz", q), [_gate("ry", q[1:], _PI / 4)]),
    "crx": lambda q, a: _around(_hadamards(q[1:]), _gate("crz", q, a), _hadamards(q[1:])),
    "cry": lambda q, a: _around(_turned(q[1:], 1.0), _gate("crz", q, a), _turned(q[1:], -1.0)),
    "rxx": lambda q, a: _around(_hadamards(q), _gate("rzz", q, a), _hadamards(q)),
    "ryy": lambda q, a: _around(_turned(q, 1.0), _gate("rzz", q, a), _turned(q, -1.0)),
    "rzx": lambda q, a: _around(_hadamards(q[1:]), _gate("rzz", q, a), _hadamards(q[1:])),
    "ccx": lambda q: _around(_hadamards(q[2:]), _gate("ccz", q), _hadamards(q[2:])),
}
