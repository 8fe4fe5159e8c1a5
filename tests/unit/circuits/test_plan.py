"""Plans as data: what they survive, what they refuse, and the angles that they give."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.decompile import decompile
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression, apply, constant, feature
from scorer.circuits.maps import hardware_efficient, qft
from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, is_constant
from scorer.circuits.zz import ZZMap
from tests.unit.circuits import dense

x = feature(0)
EVERY_STEP = Plan(
    "every step",
    3,
    2,
    0.7,
    (2.0 * x, x * feature(1) + 0.25),
    (
        Hadamards(0b101),
        Local(1, (("ry", 0), ("rz", 0.5), ("h", None), ("x", None), ("rx", 1), ("p", 0))),
        Phases(((0b011, 0), (0b111, 1), (0, 0)), ((0b100, -1.25),)),
        Affine((0b011, 0b010, 0b110), 0b100),
        Fixed((Hadamards(0b111), Phases((), ((0b101, 0.3),)), Affine((0b010, 0b001, 0b100)), Local(2, (("ry", 0.1),)))),
        Phases(((0, 1),), ((0, 0.5),)),
    ),
)
Z = np.array([[0.3, 0.9], [-0.2, 1.4]])


@pytest.mark.parametrize("plan", [EVERY_STEP, ZZMap(4).plan, qft(3).plan, hardware_efficient(3).plan])
def test_a_plan_survives_json(plan: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_angles_are_functions_of_scaled_features() -> None:
    assert EVERY_STEP.angles(Z) == pytest.approx(np.array([1.4 * Z[:, 0], 0.49 * Z[:, 0] * Z[:, 1] + 0.25]))


def test_slopes_go_back_to_the_features() -> None:
    slopes = np.array([[1.0, 2.0], [3.0, 4.0]])
    expected = [
        [1.4 * s0 + 0.49 * s1 * z1, 0.49 * s1 * z0] for s0, s1, (z0, z1) in zip(*slopes, Z.tolist(), strict=True)
    ]
    assert EVERY_STEP.pullback(Z, slopes) == pytest.approx(np.array(expected))


@pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 2, 2)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CircuitError, match="2 features"):
        EVERY_STEP.angles(np.zeros(shape))


def test_gates_made_from_steps_do_the_same() -> None:
    states = dense.plan_states(EVERY_STEP, Z)
    assert np.abs(dense.plan_states(decompile(EVERY_STEP).plan, Z) - states).max() <= 1e-14


def test_without_global_phase_nothing_else_changes() -> None:
    bare = EVERY_STEP.without_global_phase
    states, other = dense.plan_states(EVERY_STEP, Z), dense.plan_states(bare, Z)
    turned = states[:, :1] / other[:, :1]
    assert np.abs(np.abs(turned) - 1.0).max() <= 1e-14
    assert np.abs(other * turned - states).max() <= 1e-14
    assert len(bare.steps) == len(EVERY_STEP.steps) - 1
    only_global = Plan("g", 1, 1, 1.0, (x, 2.0 * x), (Phases(((0, 0),)), Local(0, (("ry", 1),))))
    assert only_global.without_global_phase.expressions == (2.0 * x,)


def test_constant_steps_are_known() -> None:
    assert [is_constant(step) for step in EVERY_STEP.steps] == [True, False, False, True, True, False]


def test_bandwidth_can_be_changed() -> None:
    assert EVERY_STEP.with_bandwidth(1.4).angles(Z)[0] == pytest.approx(2 * EVERY_STEP.angles(Z)[0])


def _changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(EVERY_STEP.to_dict())
    place: Any = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("kind",), "zz", "kind 'plan'"),
        (("extra",), 1, "extra"),
        (("name",), "", "name"),
        (("name",), "a\nb", "name"),
        (("name",), 5, "name"),
        (("qubits",), 13, "qubits is 13"),
        (("qubits",), True, "qubits"),
        (("qubits",), 2, "of 2 qubits"),
        (("qubits",), 10**400, "qubits"),
        (("features",), 65, "features is 65"),
        (("features",), 1, "no feature below x1"),
        (("bandwidth",), 1, "bandwidth"),
        (("bandwidth",), math.nan, "bandwidth"),
        (("bandwidth",), 0.0, "bandwidth"),
        (("expressions",), "x0", "angles must be a list"),
        (("expressions",), [["x0"]], "angle 1 of 1"),
        (("expressions", 0), ["x0", "eval"], "no operation"),
        (("expressions", 0), ["x0", {"a": 1}], "finite"),
        (("expressions", 0), [0.0, "log"], "no value"),
        (("expressions", 0), ["x0"] * 20_001, "at most 20000"),
        (("expressions", 0), ["x0", *["sin"] * 19_999], "more than 20000 parts"),
        (("steps",), [{"step": "hadamards", "qubits": 1}] * 4097, "at most 4096"),
        (("steps",), None, "steps must be a list"),
        (("steps", 0), [], "not an object"),
        (("steps", 0), {"step": "exec"}, "kind 'exec'"),
        (("steps", 0), {"step": ["hadamards"]}, "kind"),
        (("steps", 0), {"step": "hadamards"}, "with the parts"),
        (("steps", 0, "qubits"), 8, "Hadamards on the qubits 8"),
        (("steps", 0, "qubits"), 0, "Hadamards on the qubits 0"),
        (("steps", 0, "qubits"), 1.0, "Hadamards"),
        (("steps", 1, "qubit"), 3, "qubit 3 of 3"),
        (("steps", 1, "qubit"), -1, "qubit -1"),
        (("steps", 1, "gates"), [], "without gates"),
        (("steps", 1, "gates", 0), ["ry", 2], "angle 2 of 2"),
        (("steps", 1, "gates", 0), ["ry", -1], "angle -1"),
        (("steps", 1, "gates", 0), ["ry", None], "ry with the angle None"),
        (("steps", 1, "gates", 0), ["ry", True], "finite"),
        (("steps", 1, "gates", 0), ["ry", math.inf], "finite"),
        (("steps", 1, "gates", 0), ["h", 0.5], "h with the angle"),
        (("steps", 1, "gates", 0), ["cx", None], "gate 'cx'"),
        (("steps", 1, "gates", 0), [["ry"], 0], "named by texts"),
        (("steps", 1, "gates", 0), ["ry"], "not a pair"),
        (("steps", 2, "terms", 0), [8, 0], "a phase on the qubits 8"),
        (("steps", 2, "terms", 0), [1, 0.5], "angle 0.5"),
        (("steps", 2, "terms"), [[1, 0]] * 20_001, "at most 20000"),
        (("steps", 2, "constants", 0), [1, 1], "finite floating-point"),
        (("steps", 2, "constants", 0), [1, 1e308], "constant angle is 1e[+]308, not a finite .* at most 1e[+]09"),
        (("steps", 1, "gates", 0), ["ry", -2e9], "constant angle is -2000000000"),
        (("steps", 3, "rows"), [1, 1, 4], "different basis states"),
        (("steps", 3, "rows"), [1, 2], "2 rows in a circuit of 3"),
        (("steps", 3, "shift"), 8, "shift"),
        (("steps", 4, "steps"), [], "without steps"),
        (("steps", 4, "steps"), [{"step": "fixed", "steps": []}], "inside a fixed run"),
        (("steps", 4, "steps"), [{"step": "phases", "terms": [[1, 0]], "constants": []}], "angle of the row"),
    ],
)
def test_hostile_plans_are_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        Plan.from_dict(_changed(path, value))


@pytest.mark.parametrize("raw", [None, [], "plan", {}, {"kind": "plan"}])
def test_other_values_are_refused(raw: Any) -> None:
    with pytest.raises(CircuitError):
        Plan.from_dict(raw)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["name", "qubits", "features", "bandwidth", "expressions", "steps"]), st.integers(0, 5), anything
)
def test_any_value_anywhere_is_a_plan_or_refused(key: str, index: int, value: Any) -> None:
    raw = _changed((key,), value)
    if key in ("expressions", "steps"):
        raw = _changed((key, index % len(EVERY_STEP.to_dict()[key])), value)
    try:
        made = Plan.from_dict(raw)
    except CircuitError:
        return
    assert made.to_dict() == raw


def test_only_the_projected_family_reads_more_than_twelve_qubits() -> None:
    wide = Plan("wide", 14, 1, 1.0, (x,), (Hadamards(1),)).to_dict()
    assert Plan.from_dict(wide, max_qubits=20).qubits == 14
    with pytest.raises(CircuitError, match="qubits is 14; a circuit takes a whole number from 1 to 12"):
        Plan.from_dict(wide)
    with pytest.raises(CircuitError, match="qubits is 21"):
        Plan("wide", 21, 1, 1.0, (x,), ())


def test_too_many_parts_in_all_are_refused() -> None:
    many = Phases(tuple((1, 0) for _ in range(10_001)))
    with pytest.raises(CircuitError, match="more than 20000 parts"):
        Plan("many", 1, 1, 1.0, (x,), (many, many))


def test_a_diagonal_has_no_more_terms_than_basis_states() -> None:
    """A plan of 0.4 MB took 1.7 GB: every term is a column beside all 4,096 states."""
    terms = tuple((1 + k % 127, 0) for k in range(129))
    with pytest.raises(CircuitError, match="129 terms and 0 constants on 7 qubits; 128 of each are possible"):
        Plan("wide", 7, 1, 1.0, (x,), (Phases(terms),))
    with pytest.raises(CircuitError, match="0 terms and 129 constants"):
        Plan("wide", 7, 1, 1.0, (x,), (Fixed((Hadamards(1), Phases((), tuple((mask, 0.5) for mask, _ in terms)))),))
    assert Plan("wide", 7, 1, 1.0, (x,), (Phases(terms[:128]),)).qubits == 7


def test_constant_expressions_are_angles_too() -> None:
    plan = Plan("c", 1, 1, 1.0, (constant(0.5), x, Expression((1.0, 2.0, "add"))), ())
    assert plan.angles(np.array([[2.0], [3.0]])).tolist() == [[0.5, 0.5], [2.0, 3.0], [3.0, 3.0]]


def test_masks_and_affine_maps_by_hand() -> None:
    assert bits.members(0b1010) == (1, 3)
    assert bits.parities([0b11, 0], 2).tolist() == [[False, True, True, False], [True] * 4]
    # Output bit 0 is b0 xor b1, bit 1 is b1; then bit 1 is flipped.
    assert Affine((0b11, 0b10), 0b10).permutation().tolist() == [2, 3, 1, 0]
    assert bits.rank((0b011, 0b110, 0b101)) == 2


def test_rows_with_every_angle_are_told_from_others() -> None:
    partial = Plan("p", 1, 2, 2.0, (apply("log", x), feature(1) + 1.0), ())
    rows_of = np.array([[0.5, 0.0], [0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert partial.defined(rows_of).tolist() == [True, False, False, True]
    assert partial.defined(np.tile(rows_of, (3000, 1))).sum() == 6000
    assert partial.defined(np.empty((0, 2))).tolist() == []
    product = Plan("m", 1, 1, 1.0, (x * x,), ())
    assert product.defined(np.array([[1.0], [1e200], [-3.0]])).tolist() == [True, False, True]


def test_rows_on_which_a_sine_s_argument_overflows_are_told_from_others() -> None:
    """Its bound was taken for pi / 2 whatever it is of: such rows were not looked for, and all rows were lost."""
    large = 1e200 * x
    plan = Plan("s", 1, 1, 1.0, (apply("sin", large * large),), (Local(0, (("ry", 0),)),))
    found = plan.defined(np.array([[1e-200], [1.0]]))
    assert found.tolist() == [True, False]


def test_one_row_of_a_steep_formula_does_not_cost_its_batch() -> None:
    """No operation of it can fail, its value can: such rows were not looked for, and all rows were lost."""
    steep = Plan("s", 1, 1, 1.0, (1e308 * x,), (Hadamards(1), Phases(((1, 0), (1, 0))), Hadamards(1)))
    rows_of = np.array([[1e-308], [1.4], [0.0]])
    found = steep.defined(rows_of)
    assert found.tolist() == [True, False, True]
    assert np.isfinite(steep.angles(rows_of[found])).all()
