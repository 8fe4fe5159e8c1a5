"""What one row of a model is: the fields of events, the inputs counted from them, the features made of those.

A recipe is data (``recipes/<name>.toml``; a model's artifact and its card carry a copy). Rows are built elsewhere: by a
macro in Splunk, by the connector from Elasticsearch, by ``scorer.rows.builder`` for training. All read this one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field as Key
from pydantic import ValidationError

from scorer.rows.recipe.parts import INPUTS_OF_OP, Feature, Field, Input, PortClass
from scorer.rows.recipe.reading import Line, Name, Part, Tables, Texts, choice, complaint, whole
from scorer.wire.names import is_name

SCHEMA = 1
GRAINS = ("window", "event")
TIME = "time"  # the field that says when an event was; the only one that is no text


class RecipeError(ValueError):
    """A recipe that says something impossible; the message names the place and the value."""


class Row(Part):
    """What tells rows apart. ``span``: seconds of a window, aligned to the epoch (UTC)."""

    grain: Annotated[str, choice(*GRAINS)]
    keys: Texts
    span: Annotated[int, whole(1, 86400)]
    null_key: Line


class Recipe(Part):
    """See recipes/lateral.toml, which explains each part."""

    always: ClassVar[frozenset[str]] = frozenset(
        ("schema", "description", "mitre", "field", "class", "input", "feature")
    )

    schema_: Annotated[int, whole(SCHEMA, SCHEMA)] = Key(alias="schema")
    name: Name
    title: Line
    description: Line = ""
    mitre: Texts = ()
    macro: Name
    macro_event: Name
    row: Row
    fields: Annotated[tuple[Field, ...], Tables] = Key((), alias="field")
    classes: Annotated[tuple[PortClass, ...], Tables] = Key((), alias="class")
    inputs: Annotated[tuple[Input, ...], Tables] = Key((), alias="input")
    features: Annotated[tuple[Feature, ...], Tables] = Key((), alias="feature")

    @classmethod
    def from_dict(cls, raw: object) -> Self:
        """Read decoded TOML or JSON; raises RecipeError naming the place and the value that is wrong."""
        try:
            recipe = cls.model_validate(raw)
        except ValidationError as error:
            raise RecipeError(complaint(error, "recipe")) from None
        _check(recipe)
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Write what from_dict reads, JSON-able."""
        return self.model_dump(mode="json")

    def of_documents(self, names: Mapping[str, Sequence[str]], wanted: Sequence[str] = ()) -> Self:
        """Make the recipe of one source's documents: ``names`` (field -> names) in place of the ECS names.

        ``wanted``: the only inputs to make; none named: all. Features that lack an input are left out.
        """
        inputs = tuple(i for i in self.inputs if not wanted or i.name in wanted)
        made = {i.name for i in inputs}
        parts = {
            "fields": tuple(f.model_copy(update={"ecs": tuple(names.get(f.name, f.ecs))}) for f in self.fields),
            "inputs": inputs,
            "features": tuple(f for f in self.features if made.issuperset(f.of)),
        }
        return self.model_copy(update=parts)

    @property
    def grain(self) -> str:
        return self.row.grain

    @property
    def keys(self) -> tuple[str, ...]:
        return self.row.keys

    @property
    def span(self) -> int:
        """Seconds of a window."""
        return self.row.span

    @property
    def null_key(self) -> str:
        """The value that stands for a missing key."""
        return self.row.null_key

    @property
    def time_names(self) -> tuple[str, ...]:
        """Names that documents have for their time, best first."""
        time = self.field_by_name.get(TIME)
        return (time.ecs if time else ()) or ("@timestamp",)

    def macro_for(self, grain: str) -> str:
        """Name the Splunk macro that builds rows of this grain."""
        return self.macro_event if grain == "event" else self.macro

    def inputs_over(self, over: tuple[str, ...]) -> tuple[Input, ...]:
        """List the inputs that are counted over these fewer keys; of no keys: those of the row itself."""
        return tuple(i for i in self.inputs if i.over == over)

    @property
    def overs(self) -> tuple[tuple[str, ...], ...]:
        """The different sets of fewer keys, sorted."""
        return tuple(sorted({i.over for i in self.inputs if i.over}))

    @cached_property
    def field_by_name(self) -> dict[str, Field]:
        return {f.name: f for f in self.fields}

    @cached_property
    def input_by_name(self) -> dict[str, Input]:
        return {i.name: i for i in self.inputs}

    @cached_property
    def feature_by_name(self) -> dict[str, Feature]:
        return {f.name: f for f in self.features}


def recipe_names() -> tuple[str, ...]:
    """Name the recipes that the product ships, sorted."""
    folder = resources.files("scorer.rows") / "recipes"
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str) -> Recipe:
    """Read a shipped recipe; raises RecipeError naming those there are when ``name`` is none of them."""
    if name not in recipe_names():
        raise RecipeError(f"no recipe is called {str(name)[:80]!r}; there are {', '.join(recipe_names())}")
    text = (resources.files("scorer.rows") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return Recipe.from_dict(tomllib.loads(text))


def _check(recipe: Recipe) -> None:
    """Refuse names that one part of a recipe uses and no other has, and names that stand twice."""
    fields = frozenset(f.name for f in recipe.fields)
    texts = _unique("field", [f.name for f in recipe.fields] + [c.name for c in recipe.classes]) - {TIME}
    inputs = _unique("input", [i.name for i in recipe.inputs])
    _unique("feature", [f.name for f in recipe.features])
    if not recipe.keys or not inputs or not recipe.features:
        raise RecipeError(f"recipe {recipe.name} needs at least one key, one input and one feature")
    _known("recipe.row.keys", recipe.keys, texts)
    for c in recipe.classes:
        _known(f"class {c.name}", (c.of,), fields - {TIME})
    for i in recipe.inputs:
        _check_input(i, recipe.keys, fields, texts)
    for f in recipe.features:
        _known(f"feature {f.name}", f.of, inputs)
        if len(f.of) != INPUTS_OF_OP[f.op]:
            raise RecipeError(f"feature {f.name}: {f.op} takes {INPUTS_OF_OP[f.op]} inputs, not {len(f.of)}")


def _check_input(i: Input, keys: tuple[str, ...], fields: frozenset[str], texts: frozenset[str]) -> None:
    """Refuse unknown names of an input. ``fields``: what may be a number; ``texts``: fields and classes of text."""
    if (i.op == "count") == bool(i.field):
        raise RecipeError(f"input {i.name}: op {i.op} {'takes no' if i.field else 'needs a'} field")
    if i.name in keys:
        raise RecipeError(f"input {i.name} is called as a key is")
    _known(f"input {i.name}", (i.field,) if i.field else (), fields | texts if i.op == "dc" else fields)
    _known(f"input {i.name}.where", tuple(c.field for c in i.where), texts)
    _known(f"input {i.name}.over", i.over, frozenset(keys))


def _unique(kind: str, names: list[str]) -> frozenset[str]:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise RecipeError(f"two {kind}s are called {twice[0]!r}")
    return frozenset(names)


def _known(where: str, names: tuple[str, ...], known: frozenset[str]) -> None:
    for name in names:
        if name not in known or not is_name(name):
            why = "which is no text" if name == TIME else "which the recipe does not define"
            raise RecipeError(f"{where} uses {name[:80]!r}, {why}")
