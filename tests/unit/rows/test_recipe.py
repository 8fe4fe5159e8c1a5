"""Recipes: the shipped ones load, and every kind of mistake in one is named."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.rows.recipe import Recipe, RecipeError, load_recipe, recipe_names
from scorer.rows.recipe_files import recipe_for
from scorer.wire.errors import BadTrainingData

OWN = Path(__file__).parents[2] / "integration" / "recipes" / "iot_flow.toml"


def small() -> dict[str, Any]:
    return {
        "schema": 1,
        "name": "small",
        "title": "Small",
        "macro": "small_rows",
        "macro_event": "small_events",
        "row": {"grain": "window", "keys": ["src"], "span": 60, "null_key": "unknown"},
        "field": [{"name": "src"}, {"name": "port"}],
        "class": [{"name": "kind", "of": "port", "default": "other", "bins": [{"is": "web", "ports": [80]}]}],
        "input": [
            {"name": "events", "op": "count", "missing": "reject", "min": 1},
            {"name": "web", "op": "count", "where": [{"field": "kind", "in": ["web"]}], "missing": "zero"},
        ],
        "feature": [{"name": "share", "op": "ratio", "of": ["web", "events"], "phrase": "share of web"}],
    }


def test_the_shipped_recipes_survive_json_unchanged() -> None:
    assert recipe_names() == ("lateral", "lateral_flow")
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_no_shipped_feature_is_made_of_what_a_lab_leaks() -> None:
    assert {"lateral", "lateral_flow"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.features
        used = {recipe.input_by_name[i].op for f in recipe.features for i in f.of}
        assert used <= {"count", "dc", "sum", "min", "max"}
        for feature in recipe.features:
            for i in feature.of:
                source = recipe.input_by_name[i]
                # Identities and ports may be counted, never taken as they are.
                assert source.field not in {"src", "dest", "user", "src_port", "dest_port", "time"} or source.op == "dc"


def test_the_macro_belongs_to_the_grain() -> None:
    recipe = Recipe.from_dict(small())
    assert (recipe.macro_for("window"), recipe.macro_for("event")) == ("small_rows", "small_events")


def test_a_recipe_of_documents_knows_their_names_at_once() -> None:
    recipe = Recipe.from_dict(small())
    assert recipe.field_by_name["src"].ecs == ()
    narrowed = recipe.of_documents({"src": ["client.ip"]}, wanted=["events"])
    assert narrowed.field_by_name["src"].ecs == ("client.ip",)
    assert ([i.name for i in narrowed.inputs], narrowed.features) == (["events"], ())
    assert recipe.field_by_name["src"].ecs == ()


def test_unknown_recipe_names_what_there_is() -> None:
    with pytest.raises(RecipeError, match="lateral, lateral_flow"):
        load_recipe("../lateral")


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(small())
    place: Any = raw
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (["schema"], 2, "schema is '2'"),
        (["schema"], True, "schema"),
        (["name"], "Small Name", "must be a name"),
        (["title"], 5, "one line of text"),
        (["surprise"], 1, "unknown key 'surprise'"),
        (["row"], None, "not a table"),
        (["row", "grain"], "day", "one of window, event"),
        (["row", "span"], 0, "whole number from 1"),
        (["row", "span"], 1.5, "whole number from 1"),
        (["row", "keys"], ["dest"], "'dest'"),
        (["row", "keys"], [], "at least one key"),
        (["input", 0, "op"], "median", "one of count"),
        (["input", 0, "op"], "sum", "needs a field"),
        (["input", 0, "field"], "src", "takes no field"),
        (["input", 0, "min"], float("nan"), "finite number"),
        (["input", 0, "min"], "1", "finite number"),
        (["input", 0, "missing"], "guess", "one of reject, zero"),
        (["input", 0, "over"], ["port"], "'port'"),
        (["input", 1, "name"], "src", "called as a key is"),
        (["input", 1, "where", 0, "in"], ["web", 7], r"where\[0\].in holds '7'"),
        (["input", 1, "where", 0, "in"], ["x"] * 10_001, "is a list of 10001; it must be a list of at most 10000"),
        (["input", 0], {"name": "sum", "op": "sum", "field": "kind", "missing": "zero"}, "'kind'"),
        (["field", 0, "name"], "time", "'src'"),
        (["input", 1, "name"], "events", "two inputs are called 'events'"),
        (["input", 1, "where"], [{"field": "nowhere", "in": ["x"]}], "'nowhere'"),
        (["input"], "events", "list of at most"),
        (["input"], [], "at least one key, one input"),
        (["feature", 0, "of"], ["web"], "ratio takes 2 inputs, not 1"),
        (["feature", 0, "of"], ["web", "bytes"], "'bytes'"),
        (["feature", 0, "op"], "exec", "one of identity"),
        (["class", 0, "of"], "nothing", "'nothing'"),
        (["class", 0, "of"], "kind", "'kind'"),
        (["class", 0, "bins"], [{"is": "web", "ports": [70000]}], "from 0 to 65535"),
        (["class", 0, "bins"], [{"is": "web", "ports": ["80"]}], "whole numbers"),
    ],
)
def test_a_mistake_is_named(path: list[Any], value: Any, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        Recipe.from_dict(changed(path, value))


@pytest.mark.parametrize(
    ("span", "told"), [("9" * 5000, "is no TOML"), ("0x" + "f" * 5000, "row.span is a number of very many digits")]
)
def test_a_number_without_end_in_a_file_is_told(span: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN.read_text("utf-8").replace("span = 600", f"span = {span}"), "utf-8")
    with pytest.raises(BadTrainingData, match=told):
        recipe_for(None, file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(small())), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(raw=JSON, key=st.sampled_from(sorted(small())))
def test_anything_else_is_a_recipe_error(raw: Any, key: str) -> None:
    for candidate in (raw, {**small(), key: raw}):
        with contextlib.suppress(RecipeError):
            assert Recipe.from_dict(candidate).features
