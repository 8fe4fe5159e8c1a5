"""Plans as JSON: shapes and types are checked here, what the numbers mean in ``checks``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression
from scorer.circuits.limits import MAX_NODES, MAX_PARTS, MAX_STEPS
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step

KIND = "plan"
_KEYS = {"kind", "name", "qubits", "features", "bandwidth", "expressions", "steps"}


def fields_of(raw: object) -> dict[str, Any]:
    """Return the plan's object with exactly its keys, whose values are still anything; raises CircuitError."""
    if not isinstance(raw, dict) or raw.get("kind") != KIND:
        raise CircuitError(f"a circuit of the kind {KIND!r} was expected")
    if set(raw) != _KEYS:
        odd = sorted(str(key)[:40] for key in set(raw) ^ _KEYS)
        raise CircuitError(f"a plan with missing or unknown parts: {', '.join(odd)[:200]}")
    return raw


def expressions_from(raw: object) -> tuple[Expression, ...]:
    """Read formulas, whose tokens may still be anything; raises CircuitError where ``raw`` is no list of lists."""
    return tuple(Expression(tuple(_items("an angle", item, MAX_NODES))) for item in _items("angles", raw, MAX_NODES))


def steps_from(raw: object, nested: bool = False) -> tuple[Step, ...]:
    """Read steps, whose numbers may still be anything; raises CircuitError naming the part that is no step's."""
    return tuple(_step(item, nested) for item in _items("steps", raw, MAX_STEPS))


def steps_to_list(steps: tuple[Step, ...]) -> list[dict[str, Any]]:
    """Write steps as JSON-able parts, which ``steps_from`` reads."""
    return [_step_dict(step) for step in steps]


def _step_dict(step: Step) -> dict[str, Any]:
    if isinstance(step, Hadamards):
        return {"step": "hadamards", "qubits": step.qubits}
    if isinstance(step, Phases):
        return {"step": "phases", "terms": _lists(step.terms), "constants": _lists(step.constants)}
    if isinstance(step, Affine):
        return {"step": "affine", "rows": list(step.rows), "shift": step.shift}
    if isinstance(step, Local):
        return {"step": "local", "qubit": step.qubit, "gates": _lists(step.gates)}
    return {"step": "fixed", "steps": steps_to_list(step.steps)}


def _lists(pairs: tuple[tuple[Any, ...], ...]) -> list[list[Any]]:
    return [list(pair) for pair in pairs]


def _step(raw: object, nested: bool) -> Step:
    if not isinstance(raw, dict):
        raise CircuitError(f"a step is {str(raw)[:40]!r}, not an object")
    kind = raw.get("step")
    if kind == "fixed" and nested:
        raise CircuitError("a fixed run inside a fixed run")
    known = _READERS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise CircuitError(f"a step of the kind {str(kind)[:40]!r}; known are {', '.join(_READERS)}")
    keys, reader = known
    if set(raw) != {"step", *keys}:
        raise CircuitError(f"a step {kind} with the parts {str(sorted(map(str, raw)))[:200]}")
    return reader(*(raw[key] for key in keys))


def _phases(terms: object, constants: object) -> Phases:
    return Phases(_pairs("terms", terms), _pairs("constants", constants))


def _affine(rows: object, shift: Any) -> Affine:
    return Affine(tuple(_items("rows", rows, MAX_PARTS)), shift)


def _local(qubit: Any, gates: object) -> Local:
    pairs = _pairs("gates", gates)
    if not all(isinstance(name, str) for name, _ in pairs):
        raise CircuitError("a local step's gates must be named by texts")
    return Local(qubit, pairs)


def _fixed(steps: object) -> Fixed:
    return Fixed(steps_from(steps, nested=True))


_READERS: dict[str, tuple[tuple[str, ...], Callable[..., Step]]] = {
    "hadamards": (("qubits",), Hadamards),
    "phases": (("terms", "constants"), _phases),
    "affine": (("rows", "shift"), _affine),
    "local": (("qubit", "gates"), _local),
    "fixed": (("steps",), _fixed),
}


def _pairs(what: str, raw: object) -> tuple[tuple[Any, Any], ...]:
    pairs = []
    for item in _items(what, raw, MAX_PARTS):
        if not isinstance(item, list) or len(item) != 2:
            raise CircuitError(f"a step's {what} hold {str(item)[:40]}, not a pair")
        pairs.append((item[0], item[1]))
    return tuple(pairs)


def _items(what: str, raw: object, most: int) -> list[Any]:
    if not isinstance(raw, list) or len(raw) > most:
        raise CircuitError(f"a plan's {what} must be a list of at most {most} items")
    return raw
