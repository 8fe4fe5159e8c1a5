"""The feature maps that come with qscore. Each takes the number of features and named parameters.

x stands for the row's features times the bandwidth. A gate without x that no gate with x follows changes no kernel
(U on both sides of an overlap cancels); none of these maps ends in one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from scorer.circuits.circuit import Builder, Circuit
from scorer.circuits.entanglement import groups
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression, constant, feature
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.scalars import whole
from scorer.circuits.zz import ZZMap

MAX_LAYERS = 32


def zz(features: int, reps: int = 2, entanglement: str = "full", bandwidth: float = 1.0) -> ZZMap | Circuit:
    """Build Qiskit's ``zz_feature_map``: one qubit for each feature; pairs take 2 (pi - x_i)(pi - x_j).

    Havlicek et al., Nature 567 (2019) 209.
    """
    features = whole(features)
    if type(features) is not int or features <= MAX_QUBITS:
        return ZZMap(features, reps, entanglement, bandwidth)
    return _evolved("zz", features, ("Z", "ZZ"), reps, entanglement, 2.0, bandwidth)


def pauli(
    features: int,
    paulis: Sequence[str] = ("Z", "ZZ"),
    reps: int = 2,
    entanglement: str = "full",
    alpha: float = 2.0,
    bandwidth: float = 1.0,
) -> Circuit:
    """Build Qiskit's ``pauli_feature_map``: exp(-i alpha/2 phi(x) P) for each Pauli word P on each group of its length.

    phi is x_i for one qubit and the product of (pi - x_i) for more. A word is read from the right, as in Qiskit: its
    last letter acts on the group's first qubit. Raises CircuitError.
    """
    if not isinstance(paulis, Iterable):
        raise CircuitError(f"paulis is {paulis!r}; a list of words made of X, Y and Z is needed")
    words = (paulis,) if isinstance(paulis, str) else tuple(paulis)
    return _evolved("pauli", features, words, reps, entanglement, alpha, bandwidth)


def qft(features: int, reps: int = 1, again: bool = True, swaps: bool = True, bandwidth: float = 1.0) -> Circuit:
    """Build H and P(x_i) on each qubit, then the quantum Fourier transform, ``reps`` times; then P(x_i) ``again``.

    Without ``again`` the last transform changes no kernel: it is there to be looked at, not to be trained on.
    """
    builder = _builder("qft", features, features, reps, bandwidth)
    for rep in range(reps):
        for qubit in range(features):
            if rep == 0:
                builder.h(qubit)
            builder.p(feature(qubit), qubit)
        _add_qft(builder, features, swaps)
    if again:
        for qubit in range(features):
            builder.p(feature(qubit), qubit)
    return builder.build()


def reuploading(
    features: int,
    qubits: int | None = None,
    layers: int = 2,
    entanglement: str = "linear",
    seed: int = 7,
    bandwidth: float = 1.0,
) -> Circuit:
    """Build data re-uploading: each layer takes in all features, a few at a time where there are fewer qubits.

    Each visit is RY(x + b) and RZ(x' + b') with the next two features in turn and angles b drawn once from ``seed``;
    CX on the entangled pairs between visits. Perez-Salinas et al., Quantum 4 (2020) 226.
    """
    features, qubits, layers = whole(features), whole(qubits), whole(layers)
    if qubits is None:
        qubits = min(features, MAX_QUBITS) if type(features) is int else features
    builder = _builder("reuploading", qubits, features, layers, bandwidth)
    visits = layers * -(-features // (2 * qubits))
    offsets = np.random.default_rng(_checked_seed(seed)).uniform(-math.pi, math.pi, (visits, qubits, 2)).tolist()
    for visit in range(visits):
        if visit:
            _add_cx(builder, qubits, entanglement)
        for qubit in range(qubits):
            first = 2 * (visit * qubits + qubit)
            turn, phase = (feature((first + k) % features) + constant(offsets[visit][qubit][k]) for k in (0, 1))
            builder.ry(turn, qubit).rz(phase, qubit)
    return builder.build()


def hardware_efficient(
    features: int, reps: int = 2, entanglement: str = "linear", seed: int = 7, bandwidth: float = 1.0
) -> Circuit:
    """Build RY(x_i) RZ(x_i) on each qubit; between repetitions RY and RZ by weights drawn from ``seed``, and CX.

    One qubit for each feature; linear entanglement keeps it within reach of today's hardware.
    Kandala et al., Nature 549 (2017) 242.
    """
    builder = _builder("hardware_efficient", features, features, reps, bandwidth)
    weights = np.random.default_rng(_checked_seed(seed)).uniform(-math.pi, math.pi, (reps, features, 2)).tolist()
    for rep in range(reps):
        if rep:
            for qubit, (turn, phase) in enumerate(weights[rep]):
                builder.ry(turn, qubit).rz(phase, qubit)
            _add_cx(builder, features, entanglement)
        for qubit in range(features):
            builder.ry(feature(qubit), qubit).rz(feature(qubit), qubit)
    return builder.build()


def _builder(name: str, qubits: int, features: int, layers: int, bandwidth: float) -> Builder:
    layers = whole(layers)
    if type(layers) is not int or not 1 <= layers <= MAX_LAYERS:
        raise CircuitError(f"{layers!r} repetitions; a {name} map takes a whole number from 1 to {MAX_LAYERS}")
    # A circuit without gates is checked before gates are made for a number of qubits that is not one.
    Circuit(name, qubits, features, ())
    return Builder(name, qubits, features, bandwidth)


def _checked_seed(seed: int) -> int:
    number = whole(seed)
    if type(number) is not int or number < 0:
        raise CircuitError(f"seed is {seed!r}; a whole number from 0 on is needed")
    return number


def _evolved(
    name: str, features: int, words: Iterable[str], reps: int, entanglement: str, alpha: float, bandwidth: float
) -> Circuit:
    builder = _builder(name, features, features, reps, bandwidth)
    blocks = [(word, group) for word in words for group in groups(features, len(_checked(word)), entanglement)]
    for _ in range(reps):
        for qubit in range(features):
            builder.h(qubit)
        for word, group in blocks:
            _add_word(builder, word, group, alpha * _data(group))
    return builder.build()


def _checked(word: str) -> str:
    if not isinstance(word, str) or not word or set(word) - set("XYZ"):
        raise CircuitError(f"the Pauli word {str(word)[:40]!r}; words are made of X, Y and Z")
    return word


def _data(group: Sequence[int]) -> Expression:
    """Qiskit's data map: x_i for one qubit, the product of (pi - x_i) for more."""
    if len(group) == 1:
        return feature(group[0])
    product = constant(1.0)
    for qubit in group:
        product = product * (math.pi - feature(qubit))
    return product


def _add_word(builder: Builder, word: str, group: Sequence[int], angle: Expression) -> None:
    """exp(-i angle/2 P) up to the phase exp(i angle/2): turn every letter into Z, put the parity's phase, turn back."""
    letters = list(zip(group, reversed(word), strict=True))
    *others, last = group
    for qubit, letter in letters:
        _turn(builder, qubit, letter, "sx")
    for qubit in others:
        builder.cx(qubit, last)
    builder.p(angle, last)
    for qubit in reversed(others):
        builder.cx(qubit, last)
    for qubit, letter in letters:
        _turn(builder, qubit, letter, "sxdg")


def _turn(builder: Builder, qubit: int, letter: str, y_gate: str) -> None:
    if letter != "Z":
        builder.add("h" if letter == "X" else y_gate, (qubit,))


def _add_qft(builder: Builder, qubits: int, swaps: bool) -> None:
    """The quantum Fourier transform as in Qiskit's ``QFTGate``."""
    for target in reversed(range(qubits)):
        builder.h(target)
        for control in reversed(range(target)):
            builder.cp(math.pi / 2 ** (target - control), control, target)
    if swaps:
        for qubit in range(qubits // 2):
            builder.swap(qubit, qubits - 1 - qubit)


def _add_cx(builder: Builder, qubits: int, entanglement: str) -> None:
    if qubits == 1:
        return
    for control, target in groups(qubits, 2, entanglement):
        builder.cx(control, target)
