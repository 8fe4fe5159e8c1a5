"""Trained circuits of qiskit-machine-learning, VQC and NeuralNetworkClassifier, as one measured observable.

A network with its weights bound is a circuit of the inputs alone. What it gives back is an expectation value: of the
observable of an EstimatorQNN, or, for a SamplerQNN that tells two classes apart, of the probability of class 1 less
that of class 0, which is diagonal. A network that was trained with shots is given its expectation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.qiskit.importing import import_circuit
from scorer.training.qsvc.kernels import is_kind
from scorer.training.qsvc.machines import ImportRefused, MeasuredCircuit

Array = NDArray[np.float64]

_QML = "qiskit_machine_learning"
_IMAGINARY = 1e-9


def network_machine(classifier: Any) -> MeasuredCircuit:
    """Read a fitted NeuralNetworkClassifier, VQC among them, of two classes. Raises ImportRefused, CircuitError."""
    called, network = type(classifier).__name__, classifier.neural_network
    weights = _weights(classifier, called)
    outputs = tuple(network.output_shape)
    if outputs not in ((1,), (2,)):
        raise ImportRefused(
            f"the {called} has outputs of shape {outputs}; one observable gives one number, so that one output, or two "
            "for two classes, can be imported"
        )
    if is_kind(network, _QML, "SamplerQNN"):
        circuit, values = _sampled(classifier, network, outputs)
        paulis: tuple[tuple[str, float], ...] = ()
    elif is_kind(network, _QML, "EstimatorQNN"):
        circuit = network.circuit
        _require_untranspiled(circuit, called)
        values, paulis = _observed(network, outputs)
    else:
        raise ImportRefused(
            f"the network is a {type(network).__name__}; SamplerQNN and EstimatorQNN have a circuit and an observable "
            "that are known here"
        )
    inputs, trained = list(network.input_params), list(network.weight_params)
    bound = circuit.assign_parameters(dict(zip(trained, weights, strict=True)))
    if bound.num_qubits > MAX_QUBITS:
        raise ImportRefused(f"the {called} has {bound.num_qubits} qubits; observables are exact up to {MAX_QUBITS}")
    plan = import_circuit(bound, inputs).plan
    return MeasuredCircuit(plan, values, paulis, 0.0, _labels(classifier, outputs))


def _weights(classifier: Any, called: str) -> Array:
    try:
        return np.asarray(classifier.weights, np.float64)
    except Exception:
        # The library's own exception class would have to be loaded to be named.
        raise ImportRefused(f"the {called} has not been fitted: call fit(X, y) before importing it") from None


def _labels(classifier: Any, outputs: tuple[int, ...]) -> tuple[Any, Any]:
    """Find what ``predict`` gives for low and high scores: the sign of one output, or the larger of two."""
    if outputs == (1,):
        return (-1, 1)
    encoder = getattr(classifier, "_target_encoder", None)
    categories = getattr(encoder, "categories_", None)
    classes = getattr(encoder, "classes_", None) if categories is None else categories[0]
    if classes is None:
        return (0, 1)
    if len(classes) != 2:
        raise ImportRefused(f"the machine has {len(classes)} classes; one observable tells two apart")
    low, high = np.asarray(classes).tolist()
    return (low, high)


def _sampled(classifier: Any, network: Any, outputs: tuple[int, ...]) -> tuple[Any, Array]:
    """Circuit of a SamplerQNN and what each basis state counts for, (2^n,): 1 for class 1, -1 for class 0."""
    if outputs != (2,):
        raise ImportRefused("the SamplerQNN has one output, a probability that is always 1: nothing can be imported")
    if is_kind(classifier, _QML, "VQC"):
        circuit = classifier.feature_map.compose(classifier.ansatz)  # as it was before any transpiler
    else:
        circuit = network.circuit
        _require_untranspiled(circuit, type(classifier).__name__)
    if circuit.num_qubits > MAX_QUBITS:
        raise ImportRefused(f"the network has {circuit.num_qubits} qubits; observables are exact up to {MAX_QUBITS}")
    measured = _measured_qubits(circuit)
    states = np.arange(1 << circuit.num_qubits)
    keys = np.zeros_like(states)
    for bit, qubit in enumerate(measured):
        keys |= ((states >> qubit) & 1) << bit
    values = np.array([_counted(network.interpret, int(key)) for key in keys], np.float64)
    return circuit.remove_final_measurements(inplace=False), values


def _counted(interpret: Any, key: int) -> float:
    found = np.ravel(interpret(key)).tolist()
    if found not in ([0], [1]):
        raise ImportRefused(f"the network's interpret gives {found} for the outcome {key}; two classes are 0 and 1")
    return 1.0 if found == [1] else -1.0


def _measured_qubits(circuit: Any) -> list[int]:
    """The qubit behind each bit of an outcome: all of them in order, or those that are measured at the end."""
    if not circuit.clbits:
        return list(range(circuit.num_qubits))
    pairs = {
        circuit.find_bit(instruction.clbits[0]).index: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.operation.name == "measure"
    }
    if len(circuit.cregs) != 1 or sorted(pairs) != list(range(len(circuit.clbits))):
        raise ImportRefused(
            f"the network's circuit measures into {len(circuit.cregs)} registers, or leaves bits of one out: one "
            "register, every bit of which is measured once, can be imported"
        )
    return [pairs[bit] for bit in range(len(pairs))]


def _require_untranspiled(circuit: Any, called: str) -> None:
    if getattr(circuit, "layout", None) is not None:
        raise ImportRefused(
            f"the {called}'s circuit was transpiled for a device, whose qubits it has: make the network without "
            "pass_manager and set the weights, or import the circuit that it came from"
        )


def _observed(network: Any, outputs: tuple[int, ...]) -> tuple[Array, tuple[tuple[str, float], ...]]:
    """The observable of an EstimatorQNN, that of class 1 less that of class 0 where there are two.

    What is diagonal in it as values of the basis states, (2^n,), the rest as Pauli words.
    """
    from qiskit.quantum_info import SparsePauliOp

    observables = [_as_paulis(observable) for observable in network.observables]
    total = observables[0] if outputs == (1,) else observables[1] - observables[0]
    terms: SparsePauliOp = total.simplify(atol=0.0)
    qubits = int(terms.num_qubits)
    values, paulis = np.zeros(1 << qubits), []
    states = np.arange(1 << qubits)
    for word, coefficient in terms.to_list():
        if abs(coefficient.imag) > _IMAGINARY:
            raise ImportRefused(
                f"the observable's {word} has the complex coefficient {coefficient}: it is no observable"
            )
        if set(word) <= {"I", "Z"}:
            mask = int(word.replace("I", "0").replace("Z", "1"), 2)
            values += coefficient.real * (1.0 - 2.0 * (np.bitwise_count(states & mask) & 1))
        else:
            paulis.append((word, float(coefficient.real)))
    return values, tuple(paulis)


def _as_paulis(observable: Any) -> Any:
    from qiskit.quantum_info import Operator, SparsePauliOp

    if isinstance(observable, SparsePauliOp):
        return observable
    try:
        return SparsePauliOp(observable)
    except Exception:
        # Other kinds of operators, as matrices.
        return SparsePauliOp.from_operator(Operator(observable))
