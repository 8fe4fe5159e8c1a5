"""Whole trainings on generated rows: what comes out, what the card says, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from scorer.models.artifact import from_parts, to_parts
from scorer.models.calibration import Platt, Ranks
from scorer.models.machine import ObservableMachine
from scorer.models.trained import TrainedModel
from scorer.rows.builder import Columns, build_rows
from scorer.rows.recipe import load_recipe
from scorer.training.dataset import Dataset, dataset
from scorer.training.facts import Provenance
from scorer.training.fit import fit
from scorer.training.options import TrainOptions
from scorer.training.prepare import Prepared, prepared, until_half
from scorer.training.splits import split
from scorer.training.starter.generator import generate_events
from scorer.training.starter.model import STARTER_COLUMNS, starter_rows, train_starter
from scorer.training.train import train
from scorer.wire.errors import BadTrainingData

LATERAL = load_recipe("lateral")
FLOW = load_recipe("lateral_flow")
HERE = Provenance("rows of a test")


@pytest.fixture(scope="module")
def ready() -> Prepared:
    return starter_rows(LATERAL, 700, seed=4)


def plenty(model: str) -> Prepared:
    """Rows enough for a held-out third, so that one fit does instead of six."""
    recipe = load_recipe(model)
    events = generate_events(model, 2000, np.random.default_rng(2), attack_share=0.12)
    return Prepared(build_rows(recipe, events, None, STARTER_COLUMNS), STARTER_COLUMNS, "window")


@pytest.fixture(scope="module")
def held_out() -> TrainedModel:
    rows = plenty("lateral")
    return train(LATERAL, rows.rows, rows.columns, HERE, TrainOptions(qubits=3))


@pytest.fixture(scope="module")
def cross_fitted(ready: Prepared) -> TrainedModel:
    return train(LATERAL, ready.rows, ready.columns, HERE, TrainOptions(qubits=3, fpr=0.02))


def test_the_starter_says_what_it_is_and_is_useful() -> None:
    heard: list[tuple[str, int, int]] = []
    model = train_starter(LATERAL, steps=lambda *step: heard.append(step))
    facts = model.facts
    assert facts["starter"] is True
    assert "never seen a real event" in facts["trained_on"]
    assert facts["split"]["kind"] == "held-out"
    assert facts["split"]["fitted_rows"] < facts["split"]["available_rows"]
    assert any("fitted on 1000 of" in remark for remark in facts["remarks"])
    metrics = facts["metrics"]["metrics"]
    for name in ("quantum", "twin", "boosting"):
        assert metrics[name]["pr_auc"]["value"] > 4 * facts["metrics"]["base_rate"]
        assert metrics[name]["recall"]["value"] > 0.1
    judged_benign = facts["split"]["judged_rows"] - facts["metrics"]["positives"]
    assert len(model.benign_scores) == facts["line_rows"] > judged_benign
    assert heard[-1] == ("done", 3, 3)
    doing = [text.removeprefix("part 1 of 1: ") for text, done, _ in heard if done == 0]
    assert doing == [
        "generating activity",
        *("choosing features", "searching", "fitting the model", "fitting its twin", "fitting yardsticks", "scoring"),
    ]
    assert from_parts(*to_parts(model)).threshold == pytest.approx(model.threshold)


def test_few_rows_are_cross_fitted_and_every_row_is_judged(cross_fitted: TrainedModel, ready: Prepared) -> None:
    facts = cross_fitted.facts
    assert facts["split"] == {
        "kind": "cross-fitting",
        "folds": 5,
        "grouped_by": "activity",
        "judged_rows": ready.rows.num_rows,
        "fitted_rows": ready.rows.num_rows,
        "available_rows": ready.rows.num_rows,
    }
    assert len(cross_fitted.benign_scores) == facts["rows"] - facts["positives"]
    assert len(cross_fitted.feature_names) == 3
    assert set(facts["dropped_features"]) | set(cross_fitted.feature_names) == {f.name for f in LATERAL.features}
    assert facts["starter"] is False
    json.dumps(facts, allow_nan=False)


def test_the_line_lets_through_the_asked_share_of_judged_benign_rows(cross_fitted: TrainedModel) -> None:
    above = (cross_fitted.rule.pvalues(cross_fitted.benign_scores) <= cross_fitted.fpr).mean()
    assert 0.0 < above <= cross_fitted.fpr


def test_the_usual_row_is_the_median_of_benign_rows() -> None:
    events = generate_events("lateral", 1500, np.random.default_rng(2), attack_share=0.6)
    rows = build_rows(LATERAL, events, None, STARTER_COLUMNS)
    model = train(LATERAL, rows, STARTER_COLUMNS, HERE, TrainOptions(qubits=2, fpr=0.05, fit_rows=100))
    data = dataset(LATERAL, rows, STARTER_COLUMNS)
    X = data.X[:, [data.names.index(name) for name in model.feature_names]]
    assert np.array_equal(model.reference, np.median(X[data.y == 0], axis=0))
    assert not np.array_equal(model.reference, np.median(X, axis=0))


def test_the_same_seed_gives_the_same_model(held_out: TrainedModel) -> None:
    rows = plenty("lateral")
    again = train(LATERAL, rows.rows, rows.columns, HERE, TrainOptions(qubits=3))
    assert again.feature_names == held_out.feature_names
    assert np.allclose(again.benign_scores, held_out.benign_scores, atol=1e-6)
    assert again.facts["hyper_parameters"] == held_out.facts["hyper_parameters"]


def test_prevalence_moves_probabilities_and_nothing_else(held_out: TrainedModel) -> None:
    rows = plenty("lateral")
    rare = train(LATERAL, rows.rows, rows.columns, HERE, TrainOptions(qubits=3, prevalence=0.001))
    assert isinstance(rare.calibration, Platt)
    assert isinstance(held_out.calibration, Platt)
    assert rare.calibration.slope == pytest.approx(held_out.calibration.slope, rel=1e-4)
    assert rare.threshold < held_out.threshold / 5
    assert rare.facts["prevalence"] == 0.001
    assert np.allclose(rare.benign_scores, held_out.benign_scores, atol=1e-6)


def test_features_left_out_on_request_stay_out() -> None:
    flow = plenty("lateral_flow")
    model = train(FLOW, flow.rows, flow.columns, HERE, TrainOptions(qubits=3, without=("port_class",)))
    ports = {"admin_ratio", "rpc_ratio", "directory_ratio"}
    assert not ports & set(model.feature_names)
    assert {model.facts["dropped_features"][name] for name in ports} == {"left out on request"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (TrainOptions(qubits=0), "--qubits 0"),
        (TrainOptions(qubits=65), "--qubits 65 is not possible. Give 1 to 64"),
        (TrainOptions(family="projected", qubits=21), "--qubits 21 is not possible. Give 1 to 20"),
        (TrainOptions(family="forest"), "family 'forest' is not known; known are svc"),
        (TrainOptions(map="rainbow"), "no feature map 'rainbow' is installed"),
        (TrainOptions(map="qft", map_parameters={"colour": 1}), "the map 'qft' cannot be called so"),
        (TrainOptions(map_parameters={"entanglement": "star"}), "entanglement is 'star'"),
        (TrainOptions(fit_rows=50), "--fit-rows 50 is not possible"),
        (TrainOptions(fit_rows=30_000), "--fit-rows 30000 is not possible. Give 100 to 20000"),
        (TrainOptions(fpr=0.0), r"--fpr 0\.0"),
        (TrainOptions(fpr=0.5), r"--fpr 0\.5"),
        (TrainOptions(prevalence=1.0), r"--prevalence 1\.0"),
        (TrainOptions(without=("colour",)), "--without colour is no feature"),
        (TrainOptions(without=tuple(f.name for f in LATERAL.features)), "leaves no feature"),
        (TrainOptions(fpr=0.0005), "cannot set a line at a false-positive rate of 0.0005"),
    ],
)
def test_impossible_options_are_refused(ready: Prepared, options: TrainOptions, message: str) -> None:
    with pytest.raises(BadTrainingData, match=message):
        train(LATERAL, ready.rows, ready.columns, HERE, options)


def test_a_one_class_model_of_unlabelled_rows_says_what_its_score_is() -> None:
    rows = plenty("lateral").rows
    normal = rows.filter(pc.equal(rows["label"], 0))
    model = train(LATERAL, normal, Columns(group="activity"), HERE, TrainOptions(qubits=3, fpr=0.02, family="density"))
    assert isinstance(model.calibration, Ranks)
    assert isinstance(model.twin_calibration, Ranks)
    assert model.facts["metrics"] == {}
    assert model.facts["verdict"].startswith("Not judged: no labelled attacks")
    assert any("no probability of an attack" in remark for remark in model.facts["remarks"])
    assert any("every row was taken for normal" in remark for remark in model.facts["remarks"])
    assert model.facts["prevalence"] is None
    assert "no label has a say" in model.facts["feature_rule"]
    raw = model.benign_scores
    assert np.array_equal(model.calibration.probability(raw), 1.0 - model.rule.pvalues(raw))
    assert from_parts(*to_parts(model)).threshold == model.threshold


def test_too_few_attacks_are_left_out_and_the_card_says_so() -> None:
    rows = plenty("lateral")
    y = rows.rows["label"].to_numpy()
    kept = (y == 0) | (np.cumsum(y) <= 7)
    options = TrainOptions(qubits=3, fpr=0.02, family="leverage")
    model = train(LATERAL, rows.rows.filter(pa.array(kept)), rows.columns, HERE, options)
    assert any("7 malicious rows are too few to calibrate" in remark for remark in model.facts["remarks"])
    assert model.facts["positives"] == 0
    assert isinstance(model.calibration, Ranks)


def test_labels_have_no_say_in_what_a_one_class_model_becomes() -> None:
    """Other labels on the same benign rows: same features, same hyper-parameters, same machine."""
    rows = plenty("lateral")
    options = TrainOptions(qubits=3, family="leverage")
    one = train(LATERAL, rows.rows, rows.columns, HERE, options)
    y = rows.rows["label"].to_numpy()
    fewer = rows.rows.filter(pa.array((y == 0) | (np.cumsum(y) <= 60)))
    other = train(LATERAL, fewer, rows.columns, HERE, options)
    assert one.facts["positives"] > other.facts["positives"] == 60
    assert one.feature_names == other.feature_names
    Z = np.random.default_rng(0).random((200, 3))
    assert np.allclose(one.scores(Z), other.scores(Z), atol=1e-6)
    assert isinstance(one.calibration, Platt)
    metrics = one.facts["metrics"]["metrics"]
    assert set(metrics) == {"quantum", "twin", "isolation_forest", "boosting"}
    assert one.facts["split"]["judged_rows"] == len(one.benign_scores) + one.facts["positives"]
    # Every attack is judged, and a third of the benign rows: probabilities are for the share among all rows.
    share = one.facts["positives"] / one.facts["rows"]
    assert one.facts["metrics"]["base_rate"] > 2.0 * share
    assert one.facts["prevalence"] == share
    data = dataset(LATERAL, rows.rows, rows.columns)
    attacks = data.X[data.y == 1][:, [data.names.index(name) for name in one.feature_names]]
    scores = np.append(one.benign_scores, one.scores(one.scaler.apply(attacks)))
    as_judged = one.calibration.at_prevalence(share, one.facts["metrics"]["base_rate"])
    assert as_judged.probability(scores).mean() == pytest.approx(one.facts["metrics"]["base_rate"], abs=0.01)


def test_a_one_class_fit_passes_over_attacks_that_it_is_given() -> None:
    """With cross-fitting the shipped machine is fitted on all rows: on the normal ones among them."""
    rows = plenty("lateral")
    data = dataset(LATERAL, rows.rows, rows.columns)
    options = TrainOptions(qubits=3, family="density", fit_rows=400)
    mixed, normal = fit(data, options), fit(data.take(np.flatnonzero(data.y == 0)), options)
    assert mixed.choice == normal.choice
    assert mixed.searched == normal.searched
    for name, scores in mixed.scores(data.X).items():
        assert np.allclose(scores, normal.scores(data.X)[name], atol=1e-6), name


def test_a_map_with_fewer_qubits_than_features_is_trained_and_told() -> None:
    rows = plenty("lateral")
    options = TrainOptions(qubits=5, map="reuploading", map_parameters={"qubits": 2, "layers": 2})
    model = train(LATERAL, rows.rows, rows.columns, HERE, options)
    assert model.facts["map"]["name"] == "reuploading"
    assert model.facts["map"]["qubits"] == 2
    assert len(model.feature_names) == 5
    assert model.facts["map"]["parameters"]["layers"] == 2
    back = from_parts(json.loads(json.dumps(to_parts(model)[0])), to_parts(model)[1])
    Z = np.random.default_rng(0).random((50, 5))
    assert np.array_equal(back.scores(Z), model.scores(Z))


def test_what_was_cut_away_stands_on_the_card(held_out: TrainedModel) -> None:
    found = held_out.facts["hyper_parameters"]
    assert isinstance(held_out.machine, ObservableMachine)
    assert held_out.machine.observable.rank == found["rank"] == 8  # all of three qubits
    assert found["truncation_bound"] == 0.0


def test_calibration_is_fitted_on_scores_as_deployed() -> None:
    """At seven qubits 32 of 128 eigenvalues are kept: the benign scores are those of the cut observable."""
    rows = plenty("lateral")
    model = train(LATERAL, rows.rows, rows.columns, HERE, TrainOptions(qubits=7, fit_rows=300))
    found = model.facts["hyper_parameters"]
    assert found["rank"] == 32
    assert found["truncation_bound"] > 0.0
    data = dataset(LATERAL, rows.rows, rows.columns)
    columns = [data.names.index(name) for name in model.feature_names]
    scores = model.scores(model.scaler.apply(data.X[:, columns]))
    distance = np.abs(scores[:, None] - model.benign_scores[None, ::10]).min(axis=0)
    assert distance.max() <= 1e-4  # every one of them is some row's deployed score


def test_random_labels_give_no_glowing_figures() -> None:
    """Boosting learns rows by heart: it would glow first, had it seen those that it is judged on."""
    rows = plenty("lateral").rows
    data = dataset(LATERAL, rows, STARTER_COLUMNS)
    shuffled = Dataset(data.names, data.X, np.random.default_rng(0).permutation(data.y), None)
    ((seen, held),) = split(shuffled, 0).pairs
    fitted = fit(shuffled.take(seen), TrainOptions(qubits=2))
    scores = fitted.scores(shuffled.X[held])
    assert set(scores) == {"quantum", "twin", "boosting"}
    for name, values in scores.items():
        assert abs(roc_auc_score(shuffled.y[held], values) - 0.5) < 0.15, name


def test_what_holds_in_one_place_and_the_other_way_round_elsewhere_is_refused() -> None:
    """Attacks of either group are what the other group's benign rows look like."""
    rng = np.random.default_rng(0)
    group, label = np.arange(400) % 2, np.arange(400) // 2 % 4 == 0
    many = np.where(label == (group == 0), 30.0, 3.0) + rng.integers(0, 3, 400)
    columns = {name: np.full(400, 1.0) for name in (i.name for i in LATERAL.inputs)}
    rows = pa.table(columns | {"events": many, "logons": many, "label": label.astype(np.int64), "group": group})
    with pytest.raises(
        BadTrainingData, match="the quantum model learnt nothing that holds on other rows: higher scores"
    ):
        train(LATERAL, rows, Columns("label", group="group"), HERE, TrainOptions(qubits=1, fpr=0.05))


def test_constant_rows_cannot_be_learnt(ready: Prepared) -> None:
    table = ready.rows
    for name in (i.name for i in LATERAL.inputs):
        table = table.set_column(table.column_names.index(name), name, pa.array([1.0] * table.num_rows))
    with pytest.raises(BadTrainingData, match="every feature is constant"):
        train(LATERAL, table, ready.columns, HERE)


def events_in_few_windows() -> pa.Table:
    events = generate_events("lateral_flow", 800, np.random.default_rng(0))
    attack = events["label"].to_numpy() == 1
    squeezed = np.where(attack, 1.7e9, events["ts"].to_numpy())
    same = {"id_orig_h": "10.0.0.9", "id_resp_h": "10.0.0.8"}
    for name, value in same.items():
        kept = [value if hit else old for hit, old in zip(attack, events[name].to_pylist(), strict=True)]
        events = events.set_column(events.column_names.index(name), name, pa.array(kept))
    return events.set_column(0, "ts", pa.array(squeezed))


def test_windows_that_leave_too_few_attacks_give_way_to_events_and_say_so() -> None:
    events = events_in_few_windows()
    ready = prepared(FLOW, events, STARTER_COLUMNS)
    assert ready.grain == "event"
    assert ready.rows.num_rows == events.num_rows
    assert "every event is a row of its own instead (--grain event)" in ready.remarks[0]
    assert prepared(FLOW, events, STARTER_COLUMNS, "window").grain == "window"


def test_rows_are_taken_as_they_are(ready: Prepared) -> None:
    same = prepared(LATERAL, ready.rows, Columns("label", "1", "activity"))
    assert same.rows is ready.rows
    assert same.columns.positive == "1"
    assert same.grain == "window"


def test_the_past_ends_where_half_of_the_attacks_were_seen() -> None:
    events = generate_events("lateral_flow", 500, np.random.default_rng(0))
    backwards = events.take(np.arange(events.num_rows)[::-1])
    past, future = until_half(FLOW, backwards, STARTER_COLUMNS)
    assert past.num_rows + future.num_rows == events.num_rows
    assert max(past["ts"].to_pylist()) <= min(future["ts"].to_pylist())
    total = int(np.sum(events["label"].to_numpy()))
    assert int(np.sum(past["label"].to_numpy())) == (total + 1) // 2


def test_text_labels_of_events_become_numbers_of_rows() -> None:
    events = generate_events("lateral_flow", 600, np.random.default_rng(0))
    words = ["lateral" if v else "benign" for v in events["label"].to_pylist()]
    events = events.set_column(events.column_names.index("label"), "label", pa.array(words))
    ready = prepared(FLOW, events, Columns("label", "lateral", "activity"))
    plain = build_rows(FLOW, events, None, Columns("label", "lateral", "activity"))
    assert dataset(FLOW, ready.rows, ready.columns).positives == sum(plain["label"].to_pylist())
