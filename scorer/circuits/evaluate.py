"""Values and slopes of many expressions for a whole batch of rows.

Programs become one graph in which equal parts exist once. Its nodes are evaluated by depth; all nodes of one depth and
operation are one NumPy call on a (nodes, rows) block. The angles of a full ZZ map are four calls, whatever its qubits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.errors import AngleError
from scorer.circuits.expressions import ARITY, MAX_ANGLE, Expression, apply, constant, feature_number

Array = NDArray[np.float64]

_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "neg": np.negative,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "exp": np.exp,
    "log": np.log,
    "abs": np.abs,
    "sqrt": np.sqrt,
}

# Slope of an operation's value v with respect to each operand.
_SLOPES: dict[str, tuple[Callable[..., Any], ...]] = {
    "add": (lambda _a, _b, _v: 1.0, lambda _a, _b, _v: 1.0),
    "sub": (lambda _a, _b, _v: 1.0, lambda _a, _b, _v: -1.0),
    "mul": (lambda _a, b, _v: b, lambda a, _b, _v: a),
    "div": (lambda _a, b, _v: 1.0 / b, lambda _a, b, v: -v / b),
    "pow": (lambda a, b, _v: b * np.power(a, b - 1.0), lambda a, _b, v: v * np.log(a)),
    "neg": (lambda _a, _v: -1.0,),
    "sin": (lambda a, _v: np.cos(a),),
    "cos": (lambda a, _v: -np.sin(a),),
    "tan": (lambda _a, v: 1.0 + v * v,),
    "asin": (lambda a, _v: 1.0 / np.sqrt(1.0 - a * a),),
    "acos": (lambda a, _v: -1.0 / np.sqrt(1.0 - a * a),),
    "atan": (lambda a, _v: 1.0 / (1.0 + a * a),),
    "exp": (lambda _a, v: v,),
    "log": (lambda a, _v: 1.0 / a,),
    "abs": (lambda a, _v: np.sign(a),),
    "sqrt": (lambda _a, v: 0.5 / v,),
}

_Rows = slice | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Group:
    """Nodes of one depth and operation. Operands are rows of the value block, or constants (k, 1)."""

    operation: str
    start: int
    stop: int
    operands: tuple[_Rows | Array, ...]


_Key = tuple[Any, ...]


class Evaluator:
    """The expressions' values, slots of one block: first the features, then the groups in order."""

    def __init__(self, expressions: Sequence[Expression], features: int) -> None:
        self.features = features
        nodes: dict[_Key, int] = {}
        depths: list[int] = []
        outputs = [_add_nodes(expression, nodes, depths) for expression in expressions]
        keys = list(nodes)
        self._groups, slots = _grouped(keys, depths, features)
        self._size = self._groups[-1].stop if self._groups else features
        self._outputs = [slots.get(node) for node in outputs]
        self._constants = {k: keys[node][1] for k, node in enumerate(outputs) if node not in slots}
        self._places = np.array([0 if slot is None else slot for slot in self._outputs], np.intp)

    def values(self, X: Array) -> Array:
        """Return values (expressions, N), radians, for features X (features, N); raises AngleError where one has none.

        A value beyond MAX_ANGLE counts as none.
        """
        out: Array = self._block(X)[self._places]
        for k, value in self._constants.items():
            out[k] = value
        _require(out)
        return out

    def defined(self, X: Array) -> NDArray[np.bool_]:
        """Tell on which rows of X (features, N) every value is one that ``values`` takes: (N,)."""
        inside = np.abs(self._block(X)[self._places]) <= MAX_ANGLE
        found: NDArray[np.bool_] = np.logical_and.reduce(inside, axis=0)
        return found

    def pullback(self, X: Array, slopes: Array) -> Array:
        """Return slopes by the features X (features, N), of a sum whose slopes by the values are (expressions, N).

        Not finite where a formula has no slope, as sqrt(x) has none at 0.
        """
        block = self._block(X)
        adjoint = np.zeros_like(block)
        for slot, slope in zip(self._outputs, slopes, strict=True):
            if slot is not None:
                adjoint[slot] += slope
        with np.errstate(all="ignore"):
            for group in reversed(self._groups):
                _pull(group, block, adjoint)
        return adjoint[: self.features]

    def _block(self, X: Array) -> Array:
        block = np.empty((self._size, X.shape[1]))
        block[: self.features] = X
        with np.errstate(all="ignore"):
            for group in self._groups:
                _UFUNCS[group.operation](*_operands(group, block), out=block[group.start : group.stop])
        return block


def _operands(group: _Group, block: Array) -> list[Array]:
    return [operand if _is_constant(operand) else block[operand] for operand in group.operands]  # type: ignore[misc]


def _pull(group: _Group, block: Array, adjoint: Array) -> None:
    values, arriving = block[group.start : group.stop], adjoint[group.start : group.stop]
    operands = _operands(group, block)
    for operand, slope in zip(group.operands, _SLOPES[group.operation], strict=True):
        if _is_constant(operand):
            continue
        pulled = arriving * slope(*operands, values)
        if isinstance(operand, slice):
            adjoint[operand] += pulled
            continue
        # One node may be the operand of many: row by row, so that every share is added.
        for row, share in zip(operand.tolist(), pulled, strict=True):
            adjoint[row] += share


def _is_constant(operand: _Rows | Array) -> bool:
    return isinstance(operand, np.ndarray) and operand.dtype == np.float64


def _add_nodes(expression: Expression, nodes: dict[_Key, int], depths: list[int]) -> int:
    """The node of the expression's value; nodes that are new are added. Keys: ("x", i), ("c", value), (op, *nodes)."""
    keys: dict[int, _Key] = {}
    stack: list[int] = []
    for token in expression.program:
        if isinstance(token, str) and (arity := ARITY.get(token)):
            operands = tuple(stack[-arity:])
            del stack[-arity:]
            key: _Key = (token, *operands)
            values = [keys[operand] for operand in operands]
            if all(value[0] == "c" for value in values):
                key = ("c", apply(token, *(constant(value[1]) for value in values)).value)
        else:
            operands = ()
            key = ("x", feature_number(token)) if isinstance(token, str) else ("c", token)
        if key not in nodes:
            nodes[key] = len(nodes)
            depths.append(1 + max(depths[operand] for operand in operands) if len(key) > 1 and operands else 0)
        keys[nodes[key]] = key
        stack.append(nodes[key])
    return stack[0]


def _grouped(keys: list[_Key], depths: list[int], features: int) -> tuple[list[_Group], dict[int, int]]:
    """Groups in the order of their evaluation, and the slot of every node that is not a constant."""
    slots = {node: key[1] for node, key in enumerate(keys) if key[0] == "x"}
    members: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for node, key in enumerate(keys):
        if key[0] not in ("x", "c"):
            pattern = tuple(keys[operand][0] == "c" for operand in key[1:])
            members[(depths[node], key[0], pattern)].append(node)
    groups: list[_Group] = []
    start = features
    for depth, operation, pattern in sorted(members):
        nodes = members[(depth, operation, pattern)]
        for k, node in enumerate(nodes):
            slots[node] = start + k
        operands = tuple(
            _constants([keys[keys[node][1 + k]][1] for node in nodes])
            if fixed
            else _rows([slots[keys[node][1 + k]] for node in nodes])
            for k, fixed in enumerate(pattern)
        )
        groups.append(_Group(operation, start, start + len(nodes), operands))
        start += len(nodes)
    return groups, slots


def _constants(values: list[float]) -> Array:
    return np.array([values[:1] if len(set(values)) == 1 else values], np.float64).T


def _rows(slots: list[int]) -> _Rows:
    """A slice where the slots follow one another: a view instead of a copy."""
    if slots == list(range(slots[0], slots[0] + len(slots))):
        return slice(slots[0], slots[0] + len(slots))
    return np.array(slots, np.intp)


def _require(angles: Array) -> None:
    # The sum of squares is small only where every value is; where it is not, look closely.
    flat = angles.ravel()
    with np.errstate(all="ignore"):
        if float(flat @ flat) < MAX_ANGLE * MAX_ANGLE:
            return
    bad = ~(np.abs(angles) <= MAX_ANGLE)
    if bad.any():
        which = np.flatnonzero(bad.any(1))[0]
        raise AngleError(
            f"angle {which} has no finite value, or one beyond {MAX_ANGLE:.0e}, on {int(bad[which].sum())} of "
            f"{angles.shape[1]} rows: the circuit's formula is undefined there; change it, or keep such rows from the "
            "model"
        )
