"""How a plan is rearranged for scoring: maps over GF(2), what a program still does, and how it is written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.maps import hardware_efficient, reuploading
from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, Hadamards, Local, Phases
from scorer.circuits.zz import ZZMap
from scorer.engine import linear
from scorer.engine.compiled.encoding import OperationKind, encoded
from scorer.engine.program import SLOTS, ConstantTurn, Rotate, Transform, Turn, prepared

from .plans import random_observable
from .strategies import affine, plans

SOME = settings(max_examples=80, deadline=None)


def matrix(rows: tuple[int, ...]) -> Any:
    """The map as a 0/1 matrix (n, n)."""
    return np.array([[row >> column & 1 for column in range(len(rows))] for row in rows])


@SOME
@given(st.integers(1, 7).flatmap(affine))
def test_maps_over_two_elements_are_their_matrices(step: Affine) -> None:
    rows = step.rows
    dense = matrix(rows)
    inverse = matrix(linear.inverse(rows))
    assert np.array_equal(dense @ inverse % 2, np.eye(len(rows)))
    assert np.array_equal(matrix(linear.inverse_transposed(rows)), inverse.T)
    for index in range(len(rows)):
        assert [linear.column(rows, index) >> row & 1 for row in range(len(rows))] == dense[:, index].tolist()
    for state in range(2 ** len(rows)):
        wanted = dense @ [state >> bit & 1 for bit in range(len(rows))] % 2
        assert [linear.image(rows, state) >> bit & 1 for bit in range(len(rows))] == wanted.tolist()


@SOME
@given(plans(most_qubits=6))
def test_a_program_moves_nothing_and_holds_few_diagonals(plan: Plan) -> None:
    program = prepared(plan)
    assert sorted(program.order) == list(range(2**plan.qubits))
    assert not any(isinstance(operation, Affine | Hadamards | Local) for operation in program.operations)
    slots = {operation.slot for operation in program.operations if isinstance(operation, Turn)}
    assert slots <= set(range(SLOTS))
    filled: set[int] = set()
    for operation in program.operations:
        if isinstance(operation, Turn):
            if operation.terms is not None:
                filled.add(operation.slot)
            assert operation.slot in filled
    assert 0.0 < program.norm <= 1.0 + 1e-12


@SOME
@given(plans(most_qubits=5), st.integers(0, 99))
def test_an_observables_vectors_keep_their_length_and_angles(plan: Plan, seed: int) -> None:
    _, vectors = random_observable(plan.qubits, 3, seed)
    program = prepared(plan)
    turned = program.vectors(vectors) / program.norm
    assert np.abs(turned @ turned.conj().T - vectors @ vectors.conj().T).max() <= 1e-11


def test_the_zz_map_is_one_diagonal_used_twice() -> None:
    """What docs/decisions/0011 says of it: a transform between two turns by one computed diagonal."""
    first, between, last = prepared(ZZMap(5).plan).operations
    assert isinstance(first, Turn)
    assert isinstance(last, Turn)
    assert (first.slot, last.slot) == (0, 0)
    assert first.terms is not None
    assert last.terms is None
    assert between == Transform(31)


def test_constant_steps_at_both_ends_are_not_run_for_rows() -> None:
    angles = ZZMap(2).plan.expressions
    data = Phases(((1, 0),))
    plan = Plan("ends", 2, 2, 1.0, angles, (Hadamards(3), Affine((3, 2)), data, Hadamards(1), Affine((1, 3), 1)))
    program = prepared(plan)
    assert len(program.operations) == 1
    assert len(program.tail) == 2


def test_cx_costs_nothing() -> None:
    with_cx, without = (prepared(hardware_efficient(4, 3, e).plan) for e in ("full", "linear"))
    assert len(with_cx.operations) == len(without.operations)
    assert all(isinstance(operation, Rotate | Turn | ConstantTurn) for operation in with_cx.operations)


@SOME
@given(plans(most_qubits=9))
def test_passes_cover_every_qubit_of_a_transform_once(plan: Plan) -> None:
    program = prepared(plan)
    code = encoded(program)
    operations, _, passes, full, _ = code.code
    assert _qubits(passes[:full]) == 2**plan.qubits - 1
    transforms = [operation.mask for operation in program.operations if isinstance(operation, Transform)]
    written = [row[1:] for row in operations if row[0] == OperationKind.TRANSFORM]
    loading = [row[2:] for row in operations if row[0] == OperationKind.LOAD_TRANSFORMED]
    assert all(tuple(passes[first]) == (0, 3) for first, *_ in loading)
    assert [_qubits(passes[first : first + count]) for first, count, *_ in (*loading, *written)] == transforms
    for low, count in passes:
        assert 1 <= count <= 3
        assert low // 3 == (low + count - 1) // 3  # no pass lies across a multiple of three


def _qubits(passes: Any) -> int:
    covered = [qubit for low, count in passes for qubit in range(low, low + count)]
    assert len(covered) == len(set(covered))
    return bits.mask_of(covered)


@pytest.mark.parametrize("circuit", [ZZMap(6), reuploading(6, layers=3), hardware_efficient(6)], ids=lambda c: c.name)
def test_every_place_of_a_rotation_is_visited_once(circuit: Any) -> None:
    for operation in prepared(circuit.plan).operations:
        if isinstance(operation, Rotate):
            places = np.concatenate([operation.lows, operation.lows ^ operation.flip])
            assert len(set(places.tolist())) == len(places)
            assert operation.fill or len(places) == 2**6
    assert encoded(prepared(circuit.plan)).slots <= SLOTS
