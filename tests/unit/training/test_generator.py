"""Generated activity: seeded, overlapping, and of the shape that the recipes read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score

from scorer.rows.recipe import load_recipe
from scorer.training.dataset import Dataset, dataset
from scorer.training.starter.generator import GENERATORS, generate_events
from scorer.training.starter.habits import expand
from scorer.training.starter.model import STARTER_COLUMNS, starter_rows
from scorer.wire.errors import BadTrainingData

MODELS = tuple(GENERATORS)


def rows_of(model: str, seed: int, rows: int = 6000) -> Dataset:
    recipe = load_recipe(model)
    return dataset(recipe, starter_rows(recipe, rows, seed).rows, STARTER_COLUMNS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_single_feature_gives_the_attack_away(model: str, seed: int) -> None:
    data = rows_of(model, seed)
    assert np.ptp(data.X, axis=0).min() > 0.0, "every feature of the recipe occurs"
    for k, name in enumerate(data.names):
        auc = roc_auc_score(data.y, data.X[:, k])
        assert 0.1 < auc < 0.9, f"{name} has an AUC of {auc:.3f}"


@pytest.mark.parametrize("model", MODELS)
def test_two_features_together_say_more_than_chance(model: str) -> None:
    data = rows_of(model, 0)
    ranks = np.argsort(np.argsort(data.X, axis=0), axis=0)
    aucs = np.array([roc_auc_score(data.y, ranks[:, k]) for k in range(ranks.shape[1])])
    best = np.argsort(-np.abs(aucs - 0.5))[:2]
    joined = (ranks[:, best] * np.sign(aucs[best] - 0.5)).sum(axis=1)
    assert roc_auc_score(data.y, joined) > 0.65


@pytest.mark.parametrize("model", MODELS)
def test_rows_and_attack_share_are_about_those_asked_for(model: str) -> None:
    data = rows_of(model, 3)
    assert 0.9 * 6000 <= len(data) <= 6000
    assert 0.04 < data.positives / len(data) < 0.06


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_events_other_seed_other_events(model: str) -> None:
    first, again, other = (generate_events(model, 500, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("model", MODELS)
def test_events_stand_in_order_of_time_and_activities_have_one_label(model: str) -> None:
    events = generate_events(model, 800, np.random.default_rng(0))
    times = events[GENERATORS[model][1]].to_numpy()
    assert (np.diff(times) >= 0).all()
    labels = events.group_by("activity").aggregate([("label", "count_distinct")])
    assert pc.max(labels["label_count_distinct"]).as_py() == 1


def test_many_kinds_of_benign_work_occur() -> None:
    events = generate_events("lateral", 5000, np.random.default_rng(0))
    benign = set(pc.unique(events.filter(pc.equal(events["label"], 0))["profile"]).to_pylist())
    assert {"admin_tools", "backup", "scanner", "patching", "helpdesk_rdp", "mistyped", "expired_password"} <= benign
    assert pc.count_distinct(events["user"]).as_py() > 300
    assert pc.count_distinct(events["dest"]).as_py() > 300


@pytest.mark.parametrize(
    ("model", "rows", "share"),
    [("nobody", 500, 0.1), ("lateral", 10, 0.1), ("lateral", 500, 0.0), ("lateral", 500, 1.0)],
)
def test_impossible_wishes_are_refused(model: str, rows: int, share: float) -> None:
    with pytest.raises(BadTrainingData, match=r"nobody|rows|share"):
        generate_events(model, rows, np.random.default_rng(0), share)


def test_expand_names_pair_and_kind_of_every_event() -> None:
    pair, kind = expand(np.array([[2, 0, 1], [0, 1, 0]]))
    assert pair.tolist() == [0, 0, 0, 1]
    assert kind.tolist() == [0, 0, 2, 1]


def test_failed_connections_have_no_bytes() -> None:
    events = generate_events("lateral_flow", 2000, np.random.default_rng(0))
    failed = events.filter(pc.is_in(events["conn_state"], pa.array(["S0", "REJ", "RSTOS0"])))
    assert failed.num_rows > 0
    assert failed["orig_bytes"].null_count == failed.num_rows
