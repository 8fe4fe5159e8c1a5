"""What every plan must fulfil. All numbers may come from a file that is not trusted."""

from __future__ import annotations

from typing import Any

from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import MAX_ANGLE, MAX_FEATURES, Expression, check_program
from scorer.circuits.limits import (
    MAX_BANDWIDTH,
    MAX_NAME,
    MAX_NODES,
    MAX_OPERATIONS,
    MAX_PARTS,
    MAX_PROJECTED_QUBITS,
    MAX_QUBITS,
    MAX_SIMULATED_OPERATIONS,
    MAX_STEPS,
)
from scorer.circuits.steps import bits
from scorer.circuits.steps.cost import operations
from scorer.circuits.steps.kinds import GATE_NAMES, Affine, Fixed, Hadamards, Local, Phases, Step, is_constant

#: Terms that a diagonal may have on any number of qubits.
_FEW_TERMS = 64


def check_shape(name: Any, qubits: Any, features: Any, bandwidth: Any, max_qubits: int = MAX_PROJECTED_QUBITS) -> None:
    """Raise CircuitError naming the value that is not possible."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise CircuitError(f"a circuit's name is {str(name)[:40]!r}; it must be 1 to {MAX_NAME} printable characters")
    for what, value, high in (("qubits", qubits, max_qubits), ("features", features, MAX_FEATURES)):
        if type(value) is not int or not 1 <= value <= high:
            raise CircuitError(f"{what} is {repr(value)[:40]}; a circuit takes a whole number from 1 to {high}")
    if type(bandwidth) is not float or not 0.0 < bandwidth <= MAX_BANDWIDTH:
        raise CircuitError(
            f"bandwidth is {repr(bandwidth)[:40]}; it must be a number above 0 and at most {MAX_BANDWIDTH:g}"
        )


def check_expressions(expressions: tuple[Expression, ...], features: int) -> None:
    """Raise CircuitError where a formula is none of so many features, or all of them are too long together."""
    nodes = 0
    for expression in expressions:
        nodes += len(expression.program)
        if nodes > MAX_NODES:
            raise CircuitError(f"the angles' formulas have more than {MAX_NODES} parts")
        check_program(expression.program, features)


def check_steps(steps: tuple[Step, ...], qubits: int, angles: int) -> None:
    """Raise CircuitError naming the first step that is none of so many qubits and angles."""
    flat = [inner for step in steps for inner in (step.steps if isinstance(step, Fixed) else (step,))]
    if len(steps) > MAX_STEPS or len(flat) > MAX_STEPS:
        raise CircuitError(f"the circuit has more than {MAX_STEPS} steps")
    if sum(map(_parts, flat)) > MAX_PARTS:
        raise CircuitError(f"the circuit's steps have more than {MAX_PARTS} parts")
    for step in steps:
        _check_step(step, qubits, angles)


def check_cost(steps: tuple[Step, ...], expressions: tuple[Expression, ...], qubits: int) -> None:
    """Raise CircuitError where a row would take too long; the message says how much too long."""
    most = MAX_OPERATIONS if qubits <= MAX_QUBITS else MAX_SIMULATED_OPERATIONS
    found = operations(steps, expressions, qubits)
    if found > most:
        raise CircuitError(
            f"a row takes about {found} operations in {len(steps)} steps on {qubits} qubits; {most} are possible. "
            "Use fewer repetitions or fewer qubits"
        )


def _parts(step: Step) -> int:
    if isinstance(step, Phases):
        return len(step.terms) + len(step.constants)
    return len(step.gates) if isinstance(step, Local) else 1


def _check_step(step: Step, qubits: int, angles: int) -> None:
    if isinstance(step, Hadamards):
        _check_mask("Hadamards", step.qubits, qubits, low=1)
    elif isinstance(step, Phases):
        _check_phases(step, qubits, angles)
    elif isinstance(step, Affine):
        _check_affine(step, qubits)
    elif isinstance(step, Local):
        _check_local(step, qubits, angles)
    else:
        _check_fixed(step, qubits)


def _check_mask(what: str, mask: Any, qubits: int, low: int = 0) -> None:
    if type(mask) is not int or not low <= mask < 1 << qubits:
        raise CircuitError(
            f"{what} on the qubits {str(mask)[:40]}, of which a circuit of {qubits} qubits has no such set"
        )


def _check_phases(step: Phases, qubits: int, angles: int) -> None:
    # A diagonal has no more different parities than basis states; its table is a product of the two.
    most = max(_FEW_TERMS, 1 << qubits)
    if max(len(step.terms), len(step.constants)) > most:
        raise CircuitError(
            f"a diagonal of {len(step.terms)} terms and {len(step.constants)} constants on {qubits} qubits; "
            f"{most} of each are possible, since terms on the same qubits can be added up"
        )
    for mask, index in step.terms:
        _check_mask("a phase", mask, qubits)
        _check_index(index, angles)
    for mask, value in step.constants:
        _check_mask("a phase", mask, qubits)
        _check_value(value)


def _check_index(index: Any, angles: int) -> None:
    if type(index) is not int or not 0 <= index < angles:
        raise CircuitError(f"a step uses angle {str(index)[:40]} of {angles}")


def _check_value(value: Any) -> None:
    if type(value) is not float or not abs(value) <= MAX_ANGLE:
        raise CircuitError(
            f"a step's constant angle is {str(value)[:40]}, not a finite floating-point number of at most "
            f"{MAX_ANGLE:g} radians"
        )


def _check_affine(step: Affine, qubits: int) -> None:
    if len(step.rows) != qubits:
        raise CircuitError(f"an affine step of {len(step.rows)} rows in a circuit of {qubits} qubits")
    for row in step.rows:
        _check_mask("an affine step", row, qubits)
    _check_mask("an affine step's shift", step.shift, qubits)
    if bits.rank(step.rows) != qubits:
        raise CircuitError(f"the affine step {step.rows} takes different basis states to the same one")


def _check_local(step: Local, qubits: int, angles: int) -> None:
    if type(step.qubit) is not int or not 0 <= step.qubit < qubits:
        raise CircuitError(f"a local step on qubit {str(step.qubit)[:40]} of {qubits}")
    if not step.gates:
        raise CircuitError(f"a local step without gates on qubit {step.qubit}")
    for name, parameter in step.gates:
        if name not in GATE_NAMES:
            raise CircuitError(f"a local step holds the gate {str(name)[:40]!r}; known are {', '.join(GATE_NAMES)}")
        if (parameter is not None) != GATE_NAMES[name]:
            raise CircuitError(f"the gate {name} with the angle {str(parameter)[:40]}")
        if type(parameter) is int:
            _check_index(parameter, angles)
        elif parameter is not None:
            _check_value(parameter)


def _check_fixed(step: Fixed, qubits: int) -> None:
    if not step.steps:
        raise CircuitError("a fixed run without steps")
    for inner in step.steps:
        if isinstance(inner, Fixed):
            raise CircuitError("a fixed run inside a fixed run")
        if not is_constant(inner):
            raise CircuitError("a fixed run holds a step with an angle of the row")
        _check_step(inner, qubits, 0)
