"""What one row of a model is: the fields of events, the inputs counted from them, the features made of those.

A recipe is data (``recipes/<name>.toml``; a model's artifact carries a copy). Rows are built elsewhere: by a macro in
Splunk, by aggregations in Elasticsearch, by ``scorer.training.rows`` for training. All read the same tables.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from scorer.features.parse import RecipeError, Table, is_name

SCHEMA = 1
GRAINS = ("window", "event")
INPUT_OPS = ("count", "dc", "sum", "min", "max")
FEATURE_OPS = ("identity", "log1p", "ratio")
MISSING_RULES = ("reject", "zero")
MAX_PORT = 65535
_INPUTS_OF_OP = {"identity": 1, "log1p": 1, "ratio": 2}


@dataclass(frozen=True)
class Field:
    """A field of events and the names that people's data has for it; the first one present and non-empty wins.

    ``normalise``: ``account`` (lower case, without the part after "@") or empty. ``scale_ecs``: factor on ECS values.
    """

    name: str
    splunk: tuple[str, ...] = ()
    ecs: tuple[str, ...] = ()
    zeek: tuple[str, ...] = ()
    windows: tuple[str, ...] = ()
    normalise: str = ""
    scale_ecs: float = 1.0


@dataclass(frozen=True)
class Condition:
    """True where ``field`` holds one of ``values`` (compared as text)."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Bin:
    """Ports of one class: the listed ones and, where ``low`` <= ``high``, that range with both its ends."""

    name: str
    ports: tuple[int, ...] = ()
    low: int = 1
    high: int = 0


@dataclass(frozen=True)
class PortClass:
    """Fixed bins of a port field; the first bin that holds the port wins, ``default`` stands for all other values."""

    name: str
    of: str
    default: str
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Input:
    """A column of a row: one aggregate over the events of a window.

    ``where``: ANDed. ``over``: group by these keys within the window instead of the row's. ``missing``: what an absent
    cell means (``reject``: the row is not scored; ``zero``: none was seen). ``minimum``: smallest possible value.
    """

    name: str
    op: str
    field: str = ""
    where: tuple[Condition, ...] = ()
    over: tuple[str, ...] = ()
    unit: str = ""
    missing: str = "reject"
    minimum: float = 0.0
    description: str = ""


@dataclass(frozen=True)
class Feature:
    """A number that the model sees. ``group``: features that an experiment leaves out together."""

    name: str
    op: str
    of: tuple[str, ...]
    phrase: str
    group: str = ""


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
            fields=top.tables("field", _field),
            classes=top.tables("class", _class),
            inputs=top.tables("input", _input),
            features=top.tables("feature", _feature),
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
            "field": [_field_dict(f) for f in self.fields],
            "class": [_class_dict(c) for c in self.classes],
            "input": [_input_dict(i) for i in self.inputs],
            "feature": [_feature_dict(f) for f in self.features],
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
    folder = resources.files("scorer.features") / "recipes"
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe; raises RecipeError naming those there are when ``name`` is none of them."""
    if name not in recipe_names():
        raise RecipeError(f"no recipe is called {str(name)[:80]!r}; there are {', '.join(recipe_names())}")
    text = (resources.files("scorer.features") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
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
_NAME_LISTS = ("splunk", "ecs", "zeek", "windows")


def _field(raw: object, where: str) -> Field:
    t = Table.of(raw, where, frozenset(("name", *_NAME_LISTS, "normalise", "scale_ecs")))
    return Field(
        name=t.name("name"),
        **{kind: t.texts(kind, ()) for kind in _NAME_LISTS},
        normalise=t.choice("normalise", ("", "account"), ""),
        scale_ecs=t.number("scale_ecs", 1.0),
    )


def _field_dict(f: Field) -> dict[str, Any]:
    names = {kind: list(getattr(f, kind)) for kind in _NAME_LISTS if getattr(f, kind)}
    extra: dict[str, Any] = {"normalise": f.normalise} if f.normalise else {}
    return {"name": f.name, **names, **extra, **({"scale_ecs": f.scale_ecs} if f.scale_ecs != 1.0 else {})}


def _bin(raw: object, where: str) -> Bin:
    t = Table.of(raw, where, frozenset(("is", "ports", "from", "to")))
    return Bin(
        t.name("is"),
        t.wholes("ports", 0, MAX_PORT),
        t.whole("from", 0, MAX_PORT, 1),
        t.whole("to", 0, MAX_PORT, 0),
    )


def _class(raw: object, where: str) -> PortClass:
    t = Table.of(raw, where, frozenset(("name", "of", "default", "bins")))
    return PortClass(t.name("name"), t.name("of"), t.name("default"), t.tables("bins", _bin))


def _class_dict(c: PortClass) -> dict[str, Any]:
    bins = [
        {"is": b.name, "ports": list(b.ports), **({"from": b.low, "to": b.high} if b.low <= b.high else {})}
        for b in c.bins
    ]
    return {"name": c.name, "of": c.of, "default": c.default, "bins": bins}


def _condition(raw: object, where: str) -> Condition:
    t = Table.of(raw, where, frozenset(("field", "in")))
    return Condition(t.name("field"), t.texts("in"))


def _input(raw: object, where: str) -> Input:
    known = frozenset(("name", "op", "field", "where", "over", "unit", "missing", "min", "description"))
    t = Table.of(raw, where, known)
    return Input(
        name=t.name("name"),
        op=t.choice("op", INPUT_OPS),
        field=t.text("field", ""),
        where=t.tables("where", _condition),
        over=t.texts("over", ()),
        unit=t.text("unit", ""),
        missing=t.choice("missing", MISSING_RULES),
        minimum=t.number("min", 0.0),
        description=t.text("description", ""),
    )


def _input_dict(i: Input) -> dict[str, Any]:
    where = [{"field": c.field, "in": list(c.values)} for c in i.where]
    return {
        "name": i.name,
        "op": i.op,
        **({"field": i.field} if i.field else {}),
        **({"where": where} if where else {}),
        **({"over": list(i.over)} if i.over else {}),
        "unit": i.unit,
        "missing": i.missing,
        "min": i.minimum,
        "description": i.description,
    }


def _feature(raw: object, where: str) -> Feature:
    t = Table.of(raw, where, frozenset(("name", "op", "of", "phrase", "group")))
    return Feature(t.name("name"), t.choice("op", FEATURE_OPS), t.texts("of"), t.text("phrase"), t.text("group", ""))


def _feature_dict(f: Feature) -> dict[str, Any]:
    group = {"group": f.group} if f.group else {}
    return {"name": f.name, "op": f.op, "of": list(f.of), "phrase": f.phrase, **group}


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
        if len(f.of) != _INPUTS_OF_OP[f.op]:
            raise RecipeError(f"feature {f.name}: {f.op} takes {_INPUTS_OF_OP[f.op]} inputs, not {len(f.of)}")


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
