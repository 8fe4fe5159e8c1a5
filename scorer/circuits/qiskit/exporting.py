"""Our circuits as Qiskit's, and as OpenQASM 3. Needs the extra ``qiskit``; scoring never comes here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scorer.circuits.circuit import FeatureMap
from scorer.circuits.decompile import circuit_of
from scorer.circuits.expressions import ARITY, Expression, feature_number

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit

_METHODS = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}


def to_qiskit(circuit: FeatureMap, prefix: str = "x") -> QuantumCircuit:
    """Write the gates in Qiskit; parameter ``x[i]`` is the scaled feature i, the bandwidth is part of the angles.

    Features that no gate uses do not appear among the parameters.
    """
    from qiskit.circuit import ParameterVector, QuantumCircuit

    ours = circuit_of(circuit)
    x = [ours.bandwidth * element for element in ParameterVector(prefix, ours.features)]
    if ours.bandwidth == 1.0:
        x = list(ParameterVector(prefix, ours.features))
    made = QuantumCircuit(ours.qubits, name=ours.name)
    for gate in ours.gates:
        getattr(made, gate.name)(*(_angle(angle, x) for angle in gate.angles), *gate.qubits)
    made.global_phase = _angle(ours.global_phase, x)
    return made


def to_qasm3(circuit: FeatureMap, prefix: str = "x") -> str:
    """Write OpenQASM 3 text, with one ``input float`` for each feature that is used: ``_x_0_``, ``_x_1_``, ...

    From eleven features on numbers are written with zeros in front (``_x_00_``): who reads the text and orders names by
    their characters, as Qiskit does, then gets the features in their order. Qiskit leaves global phases out.
    """
    from qiskit import qasm3
    from qiskit.circuit import Parameter

    made = to_qiskit(circuit, prefix)
    digits = len(str(circuit.features - 1))
    # Elements of a vector are written as names of their own; the same names, with zeros.
    named = {element: Parameter(f"_{prefix}_{element.index:0{digits}d}_") for element in made.parameters}
    return str(qasm3.dumps(made.assign_parameters(named)))


def _angle(expression: Expression, x: list[Any]) -> Any:
    stack: list[Any] = []
    for token in expression.program:
        if not isinstance(token, str):
            stack.append(token)
        elif (index := feature_number(token)) is not None:
            stack.append(x[index])
        else:
            operands = stack[-ARITY[token] :]
            del stack[-ARITY[token] :]
            stack.append(_apply(token, operands))
    return stack.pop()


def _apply(operation: str, operands: list[Any]) -> Any:
    """Constants were folded when the expression was made, so that one operand at least is a Qiskit expression."""
    first, *rest = operands
    if operation == "neg":
        return -first
    if operation == "sqrt":
        return first**0.5
    if operation == "abs":
        return abs(first)
    if not rest:
        return getattr(first, _METHODS.get(operation, operation))()
    binary = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "pow": lambda a, b: a**b,
    }
    return binary[operation](first, rest[0])
