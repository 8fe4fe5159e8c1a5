"""The stages of training one by one: rows as arrays, splits, choice of features, search, figures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from scorer.circuits.circuit import Builder
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression, apply, feature
from scorer.circuits.plan import Plan
from scorer.circuits.plugins import feature_map
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.families import Twin, family_named
from scorer.rows.builder import Columns
from scorer.rows.recipe import load_recipe
from scorer.training.background import background
from scorer.training.choose import choose_features, choose_normal_features
from scorer.training.dataset import Dataset, dataset
from scorer.training.evaluate import Evaluation, average_precision, evaluate, wilson_recall
from scorer.training.families.fit_nystrom import fit_nystrom_twin
from scorer.training.families.fit_one_class import fit_density_twin, fit_leverage_twin
from scorer.training.families.fit_svc import fit_twin
from scorer.training.families.table import METHODS, Job
from scorer.training.map_parameters import map_parameters
from scorer.training.search import (
    BANDWIDTHS,
    COSTS,
    GAMMAS,
    Found,
    Grid,
    Searched,
    Side,
    bandwidths,
    search,
    search_normal,
)
from scorer.training.splits import folds, inner_folds, split, split_normal, subsample
from scorer.training.starter.model import STARTER_COLUMNS, starter_rows
from scorer.training.yardsticks import boosted_apart
from scorer.wire.errors import BadTrainingData

RECIPE = load_recipe("lateral")


def generated(rows: int = 600) -> pa.Table:
    return starter_rows(RECIPE, rows).rows


def replaced(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def made(n: int, positives: int, groups: int | None = None, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.choice(n, positives, replace=False)] = 1
    X = rng.normal(size=(n, 3)) + y[:, None] * np.array([2.0, 1.0, 0.0])
    return Dataset(("a", "b", "c"), X, y, None if groups is None else rng.integers(0, groups, n))


def test_rows_become_arrays() -> None:
    table = generated()
    data = dataset(RECIPE, table, STARTER_COLUMNS)
    assert data.names == tuple(f.name for f in RECIPE.features)
    assert data.X.shape == (table.num_rows, len(data.names))
    assert data.positives == int(np.sum(table["label"].to_numpy()))
    assert data.groups is not None
    assert len(np.unique(data.groups)) == len(set(table["activity"].to_pylist()))


def test_text_numbers_of_a_csv_are_the_same_rows() -> None:
    table = generated()
    text = pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
    assert np.array_equal(dataset(RECIPE, text, STARTER_COLUMNS).X, dataset(RECIPE, table, STARTER_COLUMNS).X)


def test_a_dropped_feature_takes_its_column_along() -> None:
    data = made(30, 5).without(("b",))
    assert data.names == ("a", "c")
    assert data.X.shape == (30, 2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("failures", "many", "failures holds 'many', which is not a number"),
        ("failures", "", "failures is empty or infinite on 1 rows \\(first: 1\\)"),
        ("failures", "nan", "failures holds 'nan', which is not a number"),
        ("failures", "1e400", "failures is empty or infinite"),
        ("failures", "-1", "row 1: failures is -1"),
        ("events", "0", "row 1: events is 0"),
        ("failures", "1e6", "row 1: failures is .* more than events"),
    ],
)
def test_cells_that_no_model_can_use_are_named(name: str, value: str, message: str) -> None:
    table = generated()
    cells = [value, *(str(v) for v in table[name].to_pylist()[1:])]
    with pytest.raises(BadTrainingData, match=message):
        dataset(RECIPE, replaced(table, name, list(cells)), STARTER_COLUMNS)


def test_absent_columns_are_named_with_the_command_that_builds_them() -> None:
    with pytest.raises(BadTrainingData, match=r"no column events.*qscore rows --model lateral"):
        dataset(RECIPE, generated().drop_columns(["events"]), STARTER_COLUMNS)


@pytest.mark.parametrize(
    ("values", "message"), [(1, "all .* rows are malicious"), (0, "0 of .* rows are malicious; training needs 20")]
)
def test_one_class_cannot_be_learnt(values: int, message: str) -> None:
    table = generated()
    with pytest.raises(BadTrainingData, match=message):
        dataset(RECIPE, replaced(table, "label", [values] * table.num_rows), STARTER_COLUMNS)


def test_rows_without_a_label_are_refused() -> None:
    table = generated()
    holes = [None, *table["label"].to_pylist()[1:]]
    with pytest.raises(BadTrainingData, match="1 rows have no label"):
        dataset(RECIPE, replaced(table, "label", list(holes)), Columns("label"))


def test_many_rows_hold_a_third_out_and_few_are_cross_fitted() -> None:
    assert split(made(1800, 180), 0).kind == "held-out"
    few = split(made(1800, 120), 0)
    assert few.kind == "cross-fitting"
    assert sorted(np.concatenate([held for _, held in few.pairs]).tolist()) == list(range(1800))


@pytest.mark.parametrize("n", [300, 3000])
def test_no_group_stands_on_both_sides(n: int) -> None:
    data = made(n, n // 5, groups=25)
    assert data.groups is not None
    for fit, held in split(data, 1).pairs:
        assert not set(data.groups[fit]) & set(data.groups[held])
        assert data.y[fit].any()


def test_no_group_stands_on_both_sides_of_the_searchs_folds() -> None:
    data = made(600, 120, groups=25)
    assert data.groups is not None
    pairs = inner_folds(data.y, data.groups, 4, 1)
    assert len(pairs) >= 2
    for fit, held in pairs:
        assert not set(data.groups[fit]) & set(data.groups[held])


def test_attacks_in_a_single_group_cannot_be_judged() -> None:
    y = np.array([1] * 30 + [0] * 70)
    with pytest.raises(BadTrainingData, match="all malicious rows are in one group"):
        folds(y, np.where(y == 1, 0, np.arange(100)), 5, 0)
    assert len(inner_folds(y, np.where(y == 1, 0, np.arange(100)), 3, 0)) == 3


def test_a_subsample_prefers_malicious_rows_and_is_seeded() -> None:
    y = np.array([1] * 300 + [0] * 1700)
    kept = subsample(y, 400, np.random.default_rng(0))
    assert len(np.unique(kept)) == 400
    assert y[kept].sum() == 200
    assert np.array_equal(kept, subsample(y, 400, np.random.default_rng(0)))
    assert y[subsample(1 - y, 1000, np.random.default_rng(0))].sum() == 300 == (1 - y)[:1000].size - 700
    assert len(subsample(y, 5000, np.random.default_rng(0))) == 2000


def test_constant_and_repeated_features_are_dropped_with_their_reason() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.3).astype(np.int64)
    signal = y + rng.normal(0, 0.4, 400)
    X = np.column_stack([np.ones(400), signal, np.exp(signal), rng.normal(size=400), rng.normal(size=400)])
    choice = choose_features(Dataset(("one", "s", "exp_s", "n1", "n2"), X, y, None), 2, 0)
    assert len(choice.chosen) == 2
    assert choice.chosen[0] in ("s", "exp_s")
    assert choice.dropped["one"] == "constant on every training row"
    assert sorted(choice.dropped.values())[1:] == [
        "not among the 2 most important",
        f"says the same as {choice.chosen[0]}",
    ]
    assert set(choice.chosen) | set(choice.dropped) == {"one", "s", "exp_s", "n1", "n2"}


def test_only_constant_features_leave_nothing_to_choose() -> None:
    choice = choose_features(Dataset(("a",), np.ones((40, 1)), np.arange(40) % 2, None), 6, 0)
    assert choice.chosen == ()


def searched(family: str) -> Searched:
    data = made(240, 60)
    Z = (data.X - data.X.min(0)) / np.ptp(data.X, axis=0)
    if family_named(family).one_class:
        Z, y = Z[data.y == 0], np.zeros(180, np.int64)
    else:
        y = data.y
    job = Job(Z, y, ZZMap(3), 0)
    sides = METHODS[family].quantum(job), METHODS[family].twin(job)
    with threadpool_limits(limits=1):  # as ``fit`` does
        return search_normal(Z, None, 0, *sides) if not y.any() else search(Z, y, None, 0, *sides)


@pytest.mark.parametrize("family", sorted(METHODS))
def test_search_gives_both_machines_the_same_budget_and_learns(family: str) -> None:
    found = searched(family)
    assert found.tried == 15
    assert min(found.quantum.pr_auc, found.twin.pr_auc) > 0.55


@pytest.mark.parametrize("family", sorted(METHODS))
def test_the_twin_is_fitted_on_every_row_of_the_quantum_machine(family: str) -> None:
    data = made(240, 60)
    Z = (data.X - data.X.min(0)) / np.ptp(data.X, axis=0)
    job = Job(Z, data.y, ZZMap(3), 0)
    found = Found(2.0, 0.1, 0.0)
    if family == "density":
        expected: Twin = fit_density_twin(Z, 2.0)
    elif family == "leverage":
        expected = fit_leverage_twin(Z, 2.0, 0.1, job.landmarks())
    elif family == "nystrom-logistic":
        expected = fit_nystrom_twin(Z, data.y, 2.0, 0.1, job.landmarks())
    else:
        expected = fit_twin(Z, data.y, 2.0, found.second, class_weight="balanced")
    twin = METHODS[family].fit_twin(job, found)
    assert np.abs(twin.exact_scores(Z) - expected.exact_scores(Z)).max() <= 1e-4


def test_the_grid_of_the_svc_is_the_one_that_was_published() -> None:
    found = searched("svc")
    assert found == searched("svc")
    assert found.tried == len(BANDWIDTHS) * len(COSTS) == len(GAMMAS) * len(COSTS)
    assert found.quantum.width in BANDWIDTHS
    assert found.twin.width in GAMMAS


@pytest.mark.parametrize("name", ["zz", "qft", "reuploading"])
def test_bandwidths_reach_from_alike_to_apart_for_any_map(name: str) -> None:
    Z = np.random.default_rng(0).random((100, 4))
    made_map = feature_map(name, 4)
    circuit = made_map if isinstance(made_map, ZZMap) else made_map.plan
    found = bandwidths(circuit, 5)
    assert list(found) == sorted(set(found))
    assert len(found) == 5
    means = []
    for bandwidth in (found[0], found[-1]):
        psi = amplitudes(circuit.with_bandwidth(bandwidth), Z)
        means.append(fidelity_kernel(psi, psi).mean())
    assert means[0] > 0.9
    assert means[1] < 0.3


def turned_by(formula: Expression) -> Plan:
    builder = Builder("mine", 2, 2)
    for qubit in range(2):
        builder.ry(formula, qubit).rz(feature(qubit), qubit)
    return builder.cx(0, 1).ry(formula, 1).build().plan


def test_bandwidths_are_those_at_which_formulas_have_a_value() -> None:
    """acos(x) has one where the bandwidth is below 2/3: the search looked beyond, and no such map could be trained."""
    plan = turned_by(apply("acos", feature(0)))
    rows_of = np.random.default_rng(0).uniform(-0.5, 1.5, (500, 2))
    for width in bandwidths(plan, 5):
        assert plan.with_bandwidth(width).defined(rows_of).all()
    # log(x) has none below 0, where few rows are scaled to; whether there are any, the rows themselves say.
    assert len(bandwidths(turned_by(apply("log", feature(0))), 5)) == 5
    with pytest.raises(CircuitError, match="'mine' has formulas without a value on ordinary rows"):
        bandwidths(turned_by(apply("log", -1.0 * feature(0))), 5)


def test_made_up_rows_keep_the_values_or_the_range_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(2000)
    X = np.column_stack([a, a])
    made_up = background(X, rng)
    assert made_up.shape == X.shape
    assert abs(np.asarray(np.corrcoef(made_up.T))[0, 1]) < 0.1
    assert 0.0 <= made_up.min() < made_up.max() <= 1.0
    assert 0.4 < np.isin(made_up[:, 0], a).mean() < 0.6


def test_features_of_normal_rows_are_chosen_without_labels() -> None:
    rng = np.random.default_rng(0)
    tight = rng.normal(0.0, 1.0, 500) ** 3  # concentrated: what normal rows agree on
    X = np.column_stack([rng.random(500), tight, np.full(500, 2.0)])
    choice = choose_normal_features(Dataset(("even", "tight", "one"), X, np.zeros(500, np.int64), None), 1, 0)
    assert choice.chosen == ("tight",)
    assert choice.dropped["one"] == "constant on every training row"


@pytest.mark.parametrize(("n", "kind"), [(1900, "held-out"), (400, "cross-fitting")])
def test_normal_rows_alone_are_fitted_and_every_attack_is_judged_once(n: int, kind: str) -> None:
    data = made(n, 60, groups=25)
    assert data.groups is not None
    parts = split_normal(data, 0)
    assert parts.kind == kind
    for fit, held in parts.pairs:
        assert data.y[fit].sum() == 0
        assert not set(data.groups[fit]) & set(data.groups[held][data.y[held] == 0])
    judged = np.concatenate([held for _, held in parts.pairs])
    assert sorted(judged[data.y[judged] == 1].tolist()) == np.flatnonzero(data.y == 1).tolist()
    assert len(np.unique(judged)) == len(judged)


def test_rows_of_normal_activity_need_no_label() -> None:
    table = generated()
    data = dataset(RECIPE, table, Columns(), normal=True)
    assert data.positives == 0
    with pytest.raises(BadTrainingData, match=r"all .* rows are malicious"):
        dataset(RECIPE, replaced(table, "label", [1] * table.num_rows), STARTER_COLUMNS, normal=True)
    with pytest.raises(BadTrainingData, match="there is no label column"):
        dataset(RECIPE, table, Columns())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["layers=3", "again=false"], {"layers": 3, "again": False}),
        (["paulis=Z,YY", "alpha=1.5"], {"paulis": ["Z", "YY"], "alpha": 1.5}),
        ([], {}),
    ],
)
def test_parameters_of_a_map_are_read(words: list[str], expected: dict[str, object]) -> None:
    assert map_parameters(words, None, None) == expected
    assert map_parameters(words, "linear", 3) == expected | {"entanglement": "linear", "reps": 3}


@pytest.mark.parametrize(("word", "message"), [("layers", "not name=value"), ("a b=1", "not name=value")])
def test_words_that_are_no_parameters_are_named(word: str, message: str) -> None:
    with pytest.raises(BadTrainingData, match=message):
        map_parameters([word], None, None)
    with pytest.raises(BadTrainingData, match="bandwidth is searched"):
        map_parameters(["bandwidth=1"], None, None)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.5]), st.integers(0, 1), st.integers(0, 3)), min_size=2, max_size=30
    )
)
def test_average_precision_is_scikit_learns(rows: list[tuple[float, int, int]]) -> None:
    scores, y, weights = (np.array(column) for column in zip(*rows, strict=True))
    if (weights * y).sum() == 0:
        return
    expected = average_precision_score(y, scores, sample_weight=weights)
    assert average_precision(y, scores, weights.astype(float)) == pytest.approx(expected, abs=1e-12)


def test_recall_counts_only_lines_that_keep_the_false_positive_rate() -> None:
    y = np.array([0] * 100 + [1] * 10)
    scores = np.concatenate([np.arange(100.0), np.array([200.0] * 4 + [98.5] * 3 + [97.5] * 2 + [50.0])])
    assert wilson_recall(y, scores, 0.01).value == pytest.approx(0.7)
    assert wilson_recall(y, scores, 0.02).value == pytest.approx(0.9)
    assert wilson_recall(y, scores, 0.0).value == pytest.approx(0.4)
    inside = wilson_recall(y, scores, 0.01)
    assert 0.3 < inside.low < 0.7 < inside.high < 0.95


def judged(quantum: float, twin: float, groups: int) -> str:
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 10 == 0).astype(np.int64)
    noise = rng.normal(size=600)
    scores = {
        name: strength * y + noise for name, strength in (("quantum", quantum), ("twin", twin), ("boosting", 1.0))
    }
    result = evaluate(y, scores, np.arange(600) % (10 * groups) // 10, 0.01, 0)
    assert result.to_dict()["base_rate"] == pytest.approx(0.1)
    return result.verdict


def test_a_search_judges_at_the_share_of_attacks_in_all_rows() -> None:
    """It looks at 800 rows with every attack among them. Where all scores are equal PR-AUC is the share of attacks."""
    data = made(4000, 80)
    blind = Side(Grid((1.0,)), lambda _Z, _y, _width: lambda _second, _fit, held: np.zeros(len(held)))
    found = search(data.X, data.y, None, 0, blind, blind)
    assert found.quantum.pr_auc == pytest.approx(0.02, rel=1e-6)
    with pytest.raises(ValueError, match="1 tries for the quantum machine, 2 for its twin"):
        search(data.X, data.y, None, 0, blind, Side(Grid((1.0, 2.0)), blind.prepare))


def test_boosting_beside_a_novelty_model_is_judged_on_rows_that_it_did_not_see() -> None:
    rng = np.random.default_rng(3)
    noise = Dataset(("a", "b"), rng.normal(size=(400, 2)), rng.integers(0, 2, 400), rng.integers(0, 40, 400))
    found = boosted_apart(noise, 0)
    assert found is not None
    assert 0.35 < roc_auc_score(noise.y, found) < 0.65  # near 1 on rows that it was fitted on


def test_intervals_are_of_whole_groups_where_rows_have_groups() -> None:
    """Thirty copies of each row tell nothing new: the interval is that of one copy, not of thirty times the rows."""
    rng = np.random.default_rng(2)
    y = (np.arange(60) % 3 == 0).astype(np.int64)
    scores = {"quantum": y + rng.normal(size=60), "twin": y + rng.normal(size=60)}
    copies = {name: np.repeat(values, 30) for name, values in scores.items()}
    once = evaluate(y, scores, None, 0.05, 0)
    rows = evaluate(np.repeat(y, 30), copies, None, 0.05, 0)
    groups = evaluate(np.repeat(y, 30), copies, np.repeat(np.arange(60), 30), 0.05, 0)

    def width(found: Evaluation) -> float:
        return found.metrics["quantum"].pr_auc.high - found.metrics["quantum"].pr_auc.low

    assert width(groups) == pytest.approx(width(once), rel=0.2)
    assert width(rows) < 0.5 * width(groups)
    assert (rows.attack_groups, groups.attack_groups) == (600, 20)


def test_a_difference_is_taken_on_the_same_draws_and_said_where_its_interval_says_it() -> None:
    rng = np.random.default_rng(4)
    y = (np.arange(600) % 10 == 0).astype(np.int64)
    shared = 1.5 * y + rng.normal(size=600)
    scores = {"quantum": shared, "twin": shared + 0.05 * rng.normal(size=600)}
    found = evaluate(y, scores, None, 0.01, 0)
    difference, own = found.minus["twin"], found.metrics["quantum"].pr_auc
    assert difference.high - difference.low < 0.3 * (own.high - own.low)
    assert difference.low < 0.0 < difference.high
    assert difference.value != 0.0
    assert found.verdict.startswith("No measurable difference")
    other = evaluate(y, {"quantum": scores["twin"], "twin": scores["quantum"]}, None, 0.01, 0)
    assert other.minus["twin"].value == -difference.value
    assert other.verdict.startswith("No measurable difference")


def test_the_verdict_says_no_more_than_was_measured() -> None:
    assert judged(3.0, 1.0, 30).startswith("The quantum model is better")
    assert judged(1.0, 3.0, 30).startswith("The RBF twin is better")
    assert judged(1.5, 1.5, 30).startswith("No measurable difference")
    assert "cannot be said: only 5 groups" in judged(3.0, 1.0, 5)
