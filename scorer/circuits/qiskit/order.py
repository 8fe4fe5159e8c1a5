"""Which parameter of a Qiskit circuit is which feature.

Qiskit orders parameters by the characters of their names, elements of a vector by their number: x0, x1, x10, x11, x2.
People count: x0, x1, x2. Where the two differ, nobody but the author knows which column of the rows is which, and a
wrong guess permutes features without an error: so the caller is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from scorer.circuits.errors import CircuitError

NATURAL, QISKIT = "natural", "qiskit"
_DIGITS = re.compile(r"(\d+)")
#: Names that a message lists.
_SHOWN = 6

_NameKey = tuple[tuple[str | int, ...], str]


def ordered(name: str, own: Sequence[Any], wanted: Sequence[Any] | str | None) -> list[Any]:
    """Put the parameters ``own`` of the circuit ``name`` (Qiskit's order) into the order of the features.

    ``wanted``: parameters or their names, NATURAL, QISKIT, or None where these two are the same. Raises CircuitError.
    """
    if not own:
        raise CircuitError(f"the circuit {name!r} has no parameters: every row would give the same state")
    natural = sorted(own, key=natural_key)
    if wanted is None:
        if natural != list(own):
            raise CircuitError(_question(own, natural))
        return natural
    if isinstance(wanted, str):
        return _named(wanted, own, natural)
    by_name = {parameter.name: parameter for parameter in own}
    order = [by_name.get(getattr(parameter, "name", str(parameter))) for parameter in wanted]
    if len(order) != len(own) or set(order) != set(own):
        raise CircuitError(f"the order must name each of the circuit's parameters once: {', '.join(by_name)}")
    return order


def natural_key(parameter: Any) -> _NameKey:
    """Make the key by which x2 stands before x10: text and numbers of the name in turn."""
    parts = _DIGITS.split(parameter.name)
    return tuple(int(part) if k % 2 else part for k, part in enumerate(parts)), parameter.name


def _named(wanted: str, own: Sequence[Any], natural: list[Any]) -> list[Any]:
    if wanted not in (NATURAL, QISKIT):
        raise CircuitError(
            f"parameters is {wanted!r}; it may be {NATURAL!r}, {QISKIT!r} or a list of the circuit's parameters"
        )
    return natural if wanted == NATURAL else list(own)


def _question(own: Sequence[Any], natural: Sequence[Any]) -> str:
    first = next(k for k, (a, b) in enumerate(zip(own, natural, strict=True)) if a is not b)
    return (
        f"which parameter is which feature? Qiskit's order is {_listed(own, first)}, the order of the numbers in the "
        f"names is {_listed(natural, first)}. Say parameters={QISKIT!r} (what assign_parameters and Qiskit's kernels "
        f"do with a row), parameters={NATURAL!r}, or list them"
    )


def _listed(parameters: Sequence[Any], first: int) -> str:
    start = max(0, min(first - 1, len(parameters) - _SHOWN))
    names = [parameter.name for parameter in parameters[start : start + _SHOWN]]
    before, after = "..., " * (start > 0), ", ..." * (start + _SHOWN < len(parameters))
    return f"{before}{', '.join(names)}{after}"
