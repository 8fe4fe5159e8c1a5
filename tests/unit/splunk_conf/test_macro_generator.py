"""Macros made from recipes: the committed file is what they make, and any recipe's macros build training's rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from scorer.cli import splunk as splunk_cli
from scorer.rows.builder import build_rows
from scorer.rows.recipe import Recipe, load_recipe
from scorer.rows.recipe.macros import MARK, recipe_macros, renewed
from scorer.rows.recipe_files import recipe_for
from scorer.splunk_preview.conf import Conf, parse_conf, read_conf
from scorer.splunk_preview.environment import Environment
from scorer.splunk_preview.pipeline import run
from scorer.wire.errors import BadOption, ConfigurationError

ROOT = Path(__file__).parents[3]
OWN = ROOT / "tests" / "integration" / "recipes" / "iot_flow.toml"
GENERAL = read_conf(ROOT / "default" / "macros.conf")


def test_the_shipped_file_is_what_the_recipes_make() -> None:
    """After a change of a recipe or of the generator: `make macros`."""
    text = (ROOT / "default" / "macros.conf").read_text("utf-8")
    assert renewed(text) == text


def test_a_file_without_the_mark_is_left_alone() -> None:
    with pytest.raises(ValueError, match="absent"):
        renewed("[qscore_index]\ndefinition = index=qscore\n")


def test_what_is_written_by_hand_stays() -> None:
    assert renewed(f"# by hand\n{MARK}\n[qscore_lateral_rows]\ndefinition = old\n").startswith(f"# by hand\n{MARK}")


# Any recipe against any events ----------------------------------------------------------------------------------------

#: Names of columns; fields share them, and some are called as a key or an input is.
TEXT_COLUMNS = ("user", "src", "host_name", "id.orig_h", "Account Name", "state")
NUMBER_COLUMNS = ("bytes", "port", "DestPort", "seconds")
TEXTS = st.sampled_from(["a", "B@corp", "b", " c ", "tcp", "5", "5.0", 'say "hi"', "back\\slash", "-", "", None])
NUMBERS = st.sampled_from(["0", "1", "7.5", "22", "445.0", "50000", " 80 ", "-", "", None])
WANTED = st.sampled_from(["a", "b", "tcp", "5", 'say "hi"', "back\\slash", "nowhere"])
INPUTS = ("events", "bytes", "port", "seconds", "state", "host_name", "uid")
FIELDS = ("user", "src", "state", "bytes", "port", "time")
CLASS: dict[str, Any] = {
    "name": "kind", "of": "port", "default": "other",
    "bins": [{"is": "admin", "ports": [22, 445]}, {"is": "high", "from": 1024, "to": 65535}, {"is": "never"},
             {"is": "web", "ports": [80, 22], "from": 79, "to": 81}],
}  # fmt: skip


def names(pool: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    fields: list[dict[str, Any]] = [{"name": "time", "splunk": ["_time"]}]
    for name in ("user", "src", "state"):
        found = {"splunk": draw(names(TEXT_COLUMNS)), "windows": draw(names(TEXT_COLUMNS))}
        fields.append({"name": name, **found, "normalise": draw(st.sampled_from(["", "account"]))})
    fields += [{"name": name, "zeek": draw(names(NUMBER_COLUMNS))} for name in ("bytes", "port")]
    fields[-1] = draw(st.sampled_from([fields[-1], {"name": "port", "ecs": ["bytes"], "scale_ecs": 0.5}]))
    keys = draw(st.lists(st.sampled_from(["user", "src", "kind"]), min_size=1, max_size=3, unique=True))
    called = draw(st.lists(st.sampled_from(INPUTS), min_size=1, max_size=5, unique=True))
    inputs = [draw(an_input(name, keys)) for name in called]
    return Recipe.from_dict(
        {
            "schema": 1, "name": "drawn", "title": "Drawn", "macro": "drawn_rows", "macro_event": "drawn_events",
            "row": {"grain": "window", "keys": keys, "span": 600, "null_key": 'none "known"'},
            "field": fields, "class": [CLASS], "input": inputs,
            "feature": [{"name": "x", "op": "identity", "of": [inputs[0]["name"]], "phrase": "x"}],
        }
    )  # fmt: skip


@st.composite
def an_input(draw: st.DrawFn, name: str, keys: list[str]) -> dict[str, Any]:
    op = draw(st.sampled_from(["count", "dc", "sum", "min", "max"]))
    made: dict[str, Any] = {"name": name, "op": op, "missing": draw(st.sampled_from(["reject", "zero"]))}
    if op == "dc":
        made["field"] = draw(st.sampled_from([*FIELDS, "kind"]))
    elif op != "count":
        made["field"] = draw(st.sampled_from(["bytes", "port", "time"]))
    texts = st.sampled_from(["user", "src", "state", "kind"])
    values = st.lists(st.one_of(WANTED, st.sampled_from(["admin", "other"])), min_size=1, max_size=3, unique=True)
    made["where"] = draw(st.lists(st.fixed_dictionaries({"field": texts, "in": values}), max_size=2))
    made["over"] = draw(st.lists(st.sampled_from(keys), max_size=2, unique=True))
    return made


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "_time": st.integers(0, 4000).map(lambda quarter: 1_700_000_000 + quarter / 4),
            **dict.fromkeys(TEXT_COLUMNS, TEXTS),
            **dict.fromkeys(NUMBER_COLUMNS, NUMBERS),
        }
    ),
    min_size=1,
    max_size=12,
)


def as_table(events: list[dict[str, Any]]) -> pa.Table:
    return pa.table({n: pa.array([e[n] for e in events], None if n == "_time" else pa.string()) for n in events[0]})


def rows_in_splunk(recipe: Recipe, grain: str, events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    macros: Conf = {**GENERAL, **parse_conf(recipe_macros(recipe))}
    given_ = [
        {"index": "main", "uid": str(number), **{name: value for name, value in event.items() if value is not None}}
        for number, event in enumerate(events)
    ]
    found = run(f"index=main | `{recipe.macro_for(grain)}`", Environment(events=given_, macros=macros))
    left = {name for row in found for name in row if name.startswith(("qs_", "qsn_", "qsi_", "qso_"))}
    assert not left
    return in_order(recipe, found)


def in_order(recipe: Recipe, rows: Any) -> list[tuple[Any, ...]]:
    def cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
        inputs = (None if row.get(i.name) is None else float(row[i.name]) for i in recipe.inputs)
        return (float(row["_time"]), *(row[key] for key in recipe.keys), *inputs)

    return sorted(map(cells, rows), key=repr)


@pytest.mark.parametrize("grain", ["window", "event"])
@settings(max_examples=120, deadline=None)
@given(recipe=recipes(), events=EVENTS)
def test_rows_of_any_recipe_are_trainings(grain: str, recipe: Recipe, events: list[dict[str, Any]]) -> None:
    built = build_rows(recipe, as_table(events), grain).to_pylist()
    assert rows_in_splunk(recipe, grain, events) == in_order(recipe, built)


@pytest.mark.parametrize("grain", ["window", "event"])
def test_rows_of_ones_own_recipe_file_are_trainings(grain: str) -> None:
    recipe = recipe_for(None, OWN)
    events: list[dict[str, Any]] = [
        {"_time": 1.7e9 + n * 100.0, "ts": str(1.7e9 + n * 100.0), "proto": ["tcp", "udp", None][n % 3],
         "conn_state": ["1", "0", "-"][n % 3], "duration": [None, "0.25", "12"][n % 3], "orig_bytes": str(n),
         "resp_bytes": None, "orig_pkts": "1", "resp_pkts": "-", "orig_ip_bytes": "60.0", "resp_ip_bytes": "0"}
        for n in range(20)
    ]  # fmt: skip
    built = build_rows(recipe, as_table(events), grain).to_pylist()
    assert len(built) == (20 if grain == "event" else 12)
    assert rows_in_splunk(recipe, grain, events) == in_order(recipe, built)


# What no macro can be made of -----------------------------------------------------------------------------------------


def changed(**changes: Any) -> Recipe:
    raw = load_recipe("lateral_flow").to_dict() | {"name": "own", "macro": "own_rows", "macro_event": "own_events"}
    return Recipe.from_dict(raw | changes)


def with_field(**names: list[str]) -> list[dict[str, Any]]:
    _src, *others = [f for f in load_recipe("lateral_flow").to_dict()["field"] if f["name"] != "time"]
    return [{"name": "src", **names}, *others]


ROW = load_recipe("lateral_flow").to_dict()["row"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"macro": "qscore_lateral_rows"}, "qscore_lateral_rows is that of the model lateral"),
        ({"macro": "own_events"}, "two macros would be called own_events"),
        ({"macro": "qscore_origin"}, "two macros would be called qscore_origin"),
        ({"field": with_field(splunk=["src) | delete"])}, r"field src: 'src\) | delete' cannot be"),
        ({"field": with_field(splunk=["a\n[other]"])}, "cannot be a field's name"),
        ({"field": with_field(windows=["it's"])}, "cannot be a field's name"),
        (
            {"row": {"grain": "window", "keys": ["src", "port_class"], "span": 600, "null_key": "`x`"}},
            "cannot stand in",
        ),
    ],
)
def test_a_name_that_splunk_cannot_take_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BadOption, match=told):
        recipe_macros(changed(**changes))


@pytest.mark.parametrize("name", ["index", "qs_bytes", "origin_id", "user"])
def test_an_input_of_a_name_that_means_something_else_is_told(name: str) -> None:
    raw = load_recipe("lateral").to_dict() | {"name": "own", "macro": "own_rows", "macro_event": "own_events"}
    raw["row"]["keys"] = ["src", "dest"]
    raw["input"][-1] |= {"over": ["src"]}
    raw["input"].append({"name": name, "op": "count", "missing": "zero"})
    with pytest.raises(BadOption, match=name):
        recipe_macros(Recipe.from_dict(raw))


# The command ----------------------------------------------------------------------------------------------------------


def call(*arguments: str) -> Any:
    app = typer.Typer()
    splunk_cli.register(app)
    return CliRunner().invoke(app, ["splunk", "macros", *arguments])


def test_the_command_prints_the_macros_of_a_recipe_file() -> None:
    assert parse_conf(call("--recipe", str(OWN)).stdout).keys() == {
        "qscore_iot_flow_fields",
        "iot_flow_rows",
        "iot_flow_events",
    }
    assert call().stdout == (ROOT / "default" / "macros.conf").read_text("utf-8").partition(MARK)[2].lstrip("\n")


def test_check_tells_which_macros_the_app_lacks(tmp_path: Path) -> None:
    for place in ("default", "local"):
        (tmp_path / place).mkdir()
    (tmp_path / "default" / "macros.conf").write_text((ROOT / "default" / "macros.conf").read_text("utf-8"), "utf-8")
    own = ("--recipe", str(OWN), "--check", "--app", str(tmp_path))
    assert call("--check", "--app", str(tmp_path)).exit_code == 0
    lacking = call(*own).exception
    assert isinstance(lacking, ConfigurationError)
    assert "qscore_iot_flow_fields, iot_flow_rows, iot_flow_events" in lacking.detail
    local = tmp_path / "local" / "macros.conf"
    local.write_text(call("--recipe", str(OWN)).stdout, "utf-8")
    assert call(*own).exit_code == 0
    local.write_text(local.read_text("utf-8").replace("count as connections", "sum(x) as connections"), "utf-8")
    stale = call(*own).exception
    assert isinstance(stale, ConfigurationError)
    assert "no or other macros iot_flow_rows" in stale.detail
