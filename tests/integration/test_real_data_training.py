"""Training on real captures: some captures to train on, others to score, and figures above chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from scorer.models.trained import TrainedModel
from scorer.rows.builder import Columns, build_rows, labels
from scorer.rows.files import read_table
from scorer.rows.recipe import load_recipe
from scorer.rows.transform import derive
from scorer.training.evaluate import average_precision
from scorer.training.facts import Provenance
from scorer.training.options import TrainOptions
from scorer.training.prepare import prepared, until_half
from scorer.training.train import train

CAPTURES = Columns(label="label_lm", group="capture")
APT29 = Columns(label="label", positive="lateral")
REAL = Provenance("a real capture")


@pytest.fixture
def logons(shared_data: Path) -> pa.Table:
    return read_table(shared_data / "lm_winevents_mordor_covenant" / "logon_events_labelled.csv.gz")


@pytest.fixture
def flows(shared_data: Path) -> pa.Table:
    return read_table(shared_data / "lm_winevents_mordor_covenant" / "host_flows_labelled.csv.gz")


@pytest.fixture
def connections(shared_data: Path) -> pa.Table:
    return read_table(shared_data / "lm_zeek_apt29_day1" / "conn_labelled.csv.gz")


def counts(rows: pa.Table, label: str) -> tuple[int, int]:
    return rows.num_rows, pc.sum(rows[label]).as_py()


def test_rows_of_the_logons(logons: pa.Table) -> None:
    recipe = load_recipe("lateral")
    assert counts(build_rows(recipe, logons, "event", CAPTURES), "label_lm") == (649, 172)
    assert counts(build_rows(recipe, logons, "window", CAPTURES), "label_lm") == (130, 39)


def test_rows_of_the_flows(flows: pa.Table, connections: pa.Table) -> None:
    recipe = load_recipe("lateral_flow")
    assert counts(build_rows(recipe, flows, "event", CAPTURES), "label_lm") == (2176, 202)
    assert counts(build_rows(recipe, flows, "window", CAPTURES), "label_lm") == (436, 22)
    assert counts(build_rows(recipe, connections, "event", APT29), "label") == (565, 44)
    assert counts(build_rows(recipe, connections, "window", APT29), "label") == (45, 5)


def parted(events: pa.Table, every: int) -> tuple[pa.Table, pa.Table]:
    """Events of all captures but each ``every``-th, and of those."""
    captures = sorted(pc.unique(events["capture"]).to_pylist())
    held = pc.is_in(events["capture"], pa.array(captures[::every]))
    return events.filter(pc.invert(held)), events.filter(held)


def pr_auc_and_base_rate(model: TrainedModel, rows: pa.Table, label: str) -> tuple[float, float]:
    columns = {i.name: rows[i.name].to_numpy() for i in model.recipe.inputs}
    scores = model.scores(model.scaler.apply(derive(model.recipe, model.feature_names, columns)))
    y = labels(rows, Columns(label)).to_numpy(zero_copy_only=False)
    return average_precision(y, scores), float(np.mean(y))


def test_logons_of_captures_never_seen_are_ranked_above_chance(logons: pa.Table) -> None:
    recipe = load_recipe("lateral")
    seen, unseen = parted(logons, 4)
    ready = prepared(recipe, seen, CAPTURES)
    assert ready.grain == "window"
    model = train(recipe, ready.rows, ready.columns, REAL, TrainOptions(fpr=0.05), ready.grain)
    rows = build_rows(recipe, unseen, ready.grain, CAPTURES)
    found, base = pr_auc_and_base_rate(model, rows, "label_lm")
    assert found > 1.2 * base


def test_flows_of_captures_never_seen_are_ranked_above_chance(flows: pa.Table) -> None:
    recipe = load_recipe("lateral_flow")
    seen, unseen = parted(flows, 4)
    ready = prepared(recipe, seen, CAPTURES)
    assert ready.grain == "event"
    assert "--grain event" in ready.remarks[0]
    model = train(recipe, ready.rows, ready.columns, REAL, grain=ready.grain)
    found, base = pr_auc_and_base_rate(model, build_rows(recipe, unseen, "event", CAPTURES), "label_lm")
    assert found > 2 * base


def test_the_rest_of_a_day_is_ranked_by_a_model_of_its_first_part(connections: pa.Table) -> None:
    recipe = load_recipe("lateral_flow")
    past, future = until_half(recipe, connections, APT29)
    assert (past.num_rows, future.num_rows) == (149, 416)
    ready = prepared(recipe, past, APT29)
    model = train(recipe, ready.rows, ready.columns, REAL, grain=ready.grain)
    metrics = model.facts["metrics"]
    assert metrics["metrics"]["quantum"]["pr_auc"]["value"] > 2 * metrics["base_rate"]
    found, base = pr_auc_and_base_rate(model, build_rows(recipe, future, ready.grain, APT29), "label")
    assert found > 3 * base


def test_addresses_names_ports_and_times_are_no_features() -> None:
    for name in ("lateral", "lateral_flow"):
        recipe = load_recipe(name)
        leaking = {"user", "src", "dest", "src_port", "dest_port", "time", "_time"}
        assert not leaking & {f.name for f in recipe.features}
        assert not leaking & {source for f in recipe.features for source in f.of}
