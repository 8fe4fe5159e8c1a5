"""What one row of a model is: the fields of events, the inputs counted from them, the features made of those.

A recipe is data (``recipes/<name>.toml``; a model's artifact carries a copy). Rows are built elsewhere: by a macro in
Splunk, by aggregations in Elasticsearch, by ``scorer.rows.builder`` for training. All read the same tables.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from scorer.rows.parse import RecipeError, Table, is_name
from scorer.rows.recipe_parts import (
    INPUTS_OF_OP,
    Bin,
    Condition,
    Feature,
    Field,
    Input,
    PortClass,
    class_dict,
    feature_dict,
    field_dict,
    input_dict,
    read_class,
    read_feature,
    read_field,
    read_input,
)

__all__ = [
    "GRAINS",
    "Bin",
    "Condition",
    "Feature",
    "Field",
    "Input",
    "PortClass",
    "Recipe",
    "RecipeError",
    "load_recipe",
    "recipe_names",
]

SCHEMA = 1
GRAINS = ("window", "event")


@dataclass(frozen=True)
class Recipe:
    """See recipes/lateral.toml, which explains each part; ``span`` is in seconds."""

    name: str
    title: str
    description: str
    mitre: tuple[str, ...]
    macro: str
    macro_event: str
    grain: str
    keys: tuple[str, ...]
    span: int
    null_key: str
    fields: tuple[Field, ...]
    classes: tuple[PortClass, ...]
    inputs: tuple[Input, ...]
    features: tuple[Feature, ...]

    @classmethod
    def from_dict(cls, raw: object) -> Recipe:
        """From decoded TOML or JSON; raises RecipeError naming the place and the value that is wrong."""
        top = Table.of(raw, "recipe", _TOP)
        top.whole("schema", SCHEMA, SCHEMA)
        row = Table.of(top.raw.get("row"), "recipe.row", _ROW)
        recipe = cls(
            name=top.name("name"),
            title=top.text("title"),
            description=top.text("description", ""),
            mitre=top.texts("mitre", ()),
            macro=top.name("macro"),
            macro_event=top.name("macro_event"),
            grain=row.choice("grain", GRAINS),
            keys=row.texts("keys"),
            span=row.whole("span", 1, 86400),
            null_key=row.text("null_key"),
            fields=top.tables("field", read_field),
            classes=top.tables("class", read_class),
            inputs=top.tables("input", read_input),
            features=top.tables("feature", read_feature),
        )
        _check(recipe)
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """The inverse of from_dict, JSON-able."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mitre": list(self.mitre),
            "macro": self.macro,
            "macro_event": self.macro_event,
            "row": {"grain": self.grain, "keys": list(self.keys), "span": self.span, "null_key": self.null_key},
            "field": [field_dict(f) for f in self.fields],
            "class": [class_dict(c) for c in self.classes],
            "input": [input_dict(i) for i in self.inputs],
            "feature": [feature_dict(f) for f in self.features],
        }

    def macro_for(self, grain: str) -> str:
        """The Splunk macro that builds rows of this grain."""
        return self.macro_event if grain == "event" else self.macro

    @cached_property
    def input_by_name(self) -> dict[str, Input]:
        return {i.name: i for i in self.inputs}

    @cached_property
    def feature_by_name(self) -> dict[str, Feature]:
        return {f.name: f for f in self.features}


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that the product ships, sorted."""
    folder = resources.files("scorer.rows") / "recipes"
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe; raises RecipeError naming those there are when ``name`` is none of them."""
    if name not in recipe_names():
        raise RecipeError(f"no recipe is called {str(name)[:80]!r}; there are {', '.join(recipe_names())}")
    text = (resources.files("scorer.rows") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return Recipe.from_dict(tomllib.loads(text))


_TOP = frozenset(
    (
        "schema",
        "name",
        "title",
        "description",
        "mitre",
        "macro",
        "macro_event",
        "row",
        "field",
        "class",
        "input",
        "feature",
    )
)
_ROW = frozenset(("grain", "keys", "span", "null_key"))


def _check(recipe: Recipe) -> None:
    """Names that one part of a recipe uses must stand in another; none may stand twice."""
    fields = _unique("field", [f.name for f in recipe.fields] + [c.name for c in recipe.classes])
    inputs = _unique("input", [i.name for i in recipe.inputs])
    _unique("feature", [f.name for f in recipe.features])
    if not recipe.keys or not inputs or not recipe.features:
        raise RecipeError(f"recipe {recipe.name} needs at least one key, one input and one feature")
    _known("recipe.row.keys", recipe.keys, fields)
    for c in recipe.classes:
        _known(f"class {c.name}", (c.of,), fields)
    for i in recipe.inputs:
        _check_input(i, recipe.keys, fields)
    for f in recipe.features:
        _known(f"feature {f.name}", f.of, inputs)
        if len(f.of) != INPUTS_OF_OP[f.op]:
            raise RecipeError(f"feature {f.name}: {f.op} takes {INPUTS_OF_OP[f.op]} inputs, not {len(f.of)}")


def _check_input(i: Input, keys: tuple[str, ...], fields: frozenset[str]) -> None:
    if (i.op == "count") == bool(i.field):
        raise RecipeError(f"input {i.name}: op {i.op} {'takes no' if i.field else 'needs a'} field")
    _known(f"input {i.name}", (i.field,) if i.field else (), fields)
    _known(f"input {i.name}.where", tuple(c.field for c in i.where), fields)
    _known(f"input {i.name}.over", i.over, frozenset(keys))


def _unique(kind: str, names: list[str]) -> frozenset[str]:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise RecipeError(f"two {kind}s are called {twice[0]!r}")
    return frozenset(names)


def _known(where: str, names: tuple[str, ...], known: frozenset[str]) -> None:
    for name in names:
        if name not in known or not is_name(name):
            raise RecipeError(f"{where} uses {name[:80]!r}, which the recipe does not define")
