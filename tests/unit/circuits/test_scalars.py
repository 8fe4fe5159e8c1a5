"""Numbers as callers have them: NumPy's and whole ones are taken, and what is no number is refused by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scorer.circuits.circuit import Builder, Circuit
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import constant, feature
from scorer.circuits.gates import Gate
from scorer.circuits.maps import hardware_efficient, pauli, qft, reuploading, zz
from scorer.circuits.plan import Plan
from scorer.circuits.plugins import feature_map
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes

whole: Any = np.int64
real: Any = np.float64
maps: Any = SimpleNamespace(  # unseen by the type checker, which would refuse what is tried here
    ZZMap=ZZMap,
    zz=zz,
    pauli=pauli,
    qft=qft,
    reuploading=reuploading,
    hardware_efficient=hardware_efficient,
    feature_map=feature_map,
    Builder=Builder,
    feature=feature,
    constant=constant,
)


def built(of: Callable[[Any], Any], number: Callable[[Any], Any]) -> Circuit:
    builder = Builder("b", of(2), of(2), number(1.5))
    builder.h(of(0)).ry(number(0.3) * feature(of(0)), of(1)).cx(of(0), of(1))
    return builder.rz(feature(1) * number(2) - number(0.1), of(0)).rx(number(0.25), of(1)).build()


TAKEN: list[tuple[Callable[[], Any], Any]] = [
    (lambda: ZZMap(whole(3), whole(2), "full", 1), ZZMap(3, 2, "full", 1.0)),
    (lambda: maps.ZZMap(np.uint8(3), bandwidth=np.float32(0.5)), ZZMap(3, bandwidth=0.5)),
    (lambda: maps.ZZMap(3, bandwidth=np.array(0.5)), ZZMap(3, bandwidth=0.5)),
    (lambda: maps.ZZMap(3, bandwidth=Fraction(1, 2)), ZZMap(3, bandwidth=0.5)),
    (lambda: ZZMap(3).with_bandwidth(whole(2)), ZZMap(3, bandwidth=2.0)),
    (lambda: zz(whole(14), whole(1)), zz(14, 1)),
    (
        lambda: maps.pauli(whole(3), np.array(["Z", "YY"]), whole(2), alpha=real(1.5)),
        pauli(3, ("Z", "YY"), 2, alpha=1.5),
    ),
    (lambda: qft(whole(3), whole(2), bandwidth=2), qft(3, 2, bandwidth=2.0)),
    (lambda: qft(3).with_bandwidth(real(0.3)), qft(3, bandwidth=0.3)),
    (lambda: reuploading(whole(5), whole(3), whole(2), seed=whole(3)), reuploading(5, 3, 2, seed=3)),
    (lambda: reuploading(whole(5)), reuploading(5)),
    (lambda: hardware_efficient(whole(3), whole(2), seed=whole(1)), hardware_efficient(3, 2, seed=1)),
    (
        lambda: feature_map("pauli", whole(3), reps=whole(1), bandwidth=1),
        feature_map("pauli", 3, reps=1, bandwidth=1.0),
    ),
    (lambda: built(whole, real), built(int, float)),
    (lambda: built(np.uint16, np.array), built(int, float)),
    (
        lambda: Circuit("c", whole(2), whole(1), (Gate("cx", (whole(0), whole(1))),), bandwidth=1),
        Circuit("c", 2, 1, (Gate("cx", (0, 1)),), bandwidth=1.0),
    ),
]


@pytest.mark.parametrize("number", range(len(TAKEN)))
def test_numbers_of_any_type_make_the_same_map(number: int) -> None:
    make, expected = TAKEN[number]
    made = make()
    assert made == expected
    assert made.plan == expected.plan
    # What an artifact holds: NumPy's scalars are no JSON.
    assert json.dumps(made.to_dict()) == json.dumps(expected.to_dict())


def test_a_sweep_over_numpys_bandwidths() -> None:
    Z = np.random.default_rng(0).uniform(0, 1, (3, 3))
    for made in (ZZMap(3), qft(3), qft(3).plan):
        states = [amplitudes(made.with_bandwidth(width), Z) for width in np.logspace(-2, 0, 3)]
        assert not np.array_equal(states[0], states[1])


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: maps.ZZMap(True), "qubits is True; a ZZ map takes a whole number"),
    (lambda: maps.ZZMap(np.True_), "qubits is np.True_"),
    (lambda: maps.ZZMap(3.0), "qubits is 3.0"),
    (lambda: maps.ZZMap(real(3)), r"qubits is np.float64\(3.0\)"),
    (lambda: maps.ZZMap("3"), "qubits is '3'"),
    (lambda: maps.ZZMap(3, None), "reps is None"),
    (lambda: maps.ZZMap(3, bandwidth="1"), "bandwidth is '1'; it must be a number above 0"),
    (lambda: maps.ZZMap(3, bandwidth=True), "bandwidth is True"),
    (lambda: maps.ZZMap(3, bandwidth=real("nan")), "bandwidth is nan"),
    (lambda: maps.ZZMap(3, bandwidth=10**400), "bandwidth is 1000"),
    (lambda: maps.ZZMap(3, bandwidth=1j), "bandwidth is 1j"),
    (lambda: maps.ZZMap(3, bandwidth=np.array([1.0])), r"bandwidth is array\(\[1.\]\)"),
    (lambda: maps.ZZMap(3).with_bandwidth(None), "bandwidth is None"),
    (lambda: maps.qft(3).with_bandwidth("a"), "bandwidth is 'a'"),
    (lambda: maps.qft(3).plan.with_bandwidth([1]), r"bandwidth is \[1\]"),
    (lambda: maps.zz("3"), "qubits is '3'"),
    (lambda: maps.zz(3, bandwidth="a"), "bandwidth is 'a'"),
    (lambda: maps.pauli("3"), "qubits is '3'"),
    (lambda: maps.pauli(3, None), "paulis is None"),
    (lambda: maps.pauli(3, 5), "paulis is 5"),
    (lambda: maps.pauli(3, alpha="2").plan, "an angle holds '2', which is neither a number nor a formula"),
    (lambda: maps.reuploading("5"), "qubits is '5'"),
    (lambda: maps.reuploading(5, seed=-1), "seed is -1; a whole number from 0 on"),
    (lambda: maps.reuploading(5, seed="a"), "seed is 'a'"),
    (lambda: maps.hardware_efficient(3, seed=1.5), "seed is 1.5"),
    (lambda: maps.hardware_efficient(3, bandwidth=None), "bandwidth is None"),
    (lambda: maps.feature_map("zz", 3, bandwidth="x"), "bandwidth is 'x'"),
    (lambda: maps.Builder("b", 2, 2).ry("a", 0), "an angle holds 'a'"),
    (lambda: maps.Builder("b", 2, 2).ry(None, 0), "an angle holds 'None'"),
    (lambda: maps.Builder("b", 2, 2).ry(1j, 0), "an angle holds '1j'"),
    (lambda: maps.Builder("b", 2, 2).h(0.0).build(), r"h on the qubits \(0.0,\)"),
    (lambda: maps.Builder("b", 2, 2).h("0").build(), r"h on the qubits \('0',\)"),
    (lambda: maps.Builder("b", 2, 2).h([0, 1]).build(), r"h on the qubits \(\[0, 1\],\)"),
    (lambda: maps.Builder("b", 2, 2, "x").build(), "bandwidth is 'x'"),
    (lambda: maps.feature(1.0), "feature 1.0"),
    (lambda: maps.constant(10**400), "an angle holds '1000"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_no_number_is_named(number: int) -> None:
    make, said = REFUSED[number]
    with pytest.raises(CircuitError, match=said):
        make()


def test_files_hold_numbers_of_one_kind() -> None:
    """A stored map is read as strictly as it was: whoever wrote it otherwise was not this program."""
    with pytest.raises(CircuitError, match="a stored bandwidth is 1, not a floating-point number"):
        ZZMap.from_dict(ZZMap(3).to_dict() | {"bandwidth": 1})
    with pytest.raises(CircuitError, match="bandwidth is 1"):
        Plan.from_dict(qft(3).to_dict() | {"bandwidth": 1})
