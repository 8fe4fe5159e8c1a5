"""The parts of a recipe: fields, port classes, inputs and features, and how each is read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scorer.rows.parse import Table

INPUT_OPS = ("count", "dc", "sum", "min", "max")
FEATURE_OPS = ("identity", "log1p", "ratio")
MISSING_RULES = ("reject", "zero")
MAX_PORT = 65535
INPUTS_OF_OP = {"identity": 1, "log1p": 1, "ratio": 2}

_NAME_LISTS = ("splunk", "ecs", "zeek", "windows")


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


def read_field(raw: object, where: str) -> Field:
    t = Table.of(raw, where, frozenset(("name", *_NAME_LISTS, "normalise", "scale_ecs")))
    return Field(
        name=t.name("name"),
        **{kind: t.texts(kind, ()) for kind in _NAME_LISTS},
        normalise=t.choice("normalise", ("", "account"), ""),
        scale_ecs=t.number("scale_ecs", 1.0),
    )


def field_dict(f: Field) -> dict[str, Any]:
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


def read_class(raw: object, where: str) -> PortClass:
    t = Table.of(raw, where, frozenset(("name", "of", "default", "bins")))
    return PortClass(t.name("name"), t.name("of"), t.name("default"), t.tables("bins", _bin))


def class_dict(c: PortClass) -> dict[str, Any]:
    bins = [
        {"is": b.name, "ports": list(b.ports), **({"from": b.low, "to": b.high} if b.low <= b.high else {})}
        for b in c.bins
    ]
    return {"name": c.name, "of": c.of, "default": c.default, "bins": bins}


def _condition(raw: object, where: str) -> Condition:
    t = Table.of(raw, where, frozenset(("field", "in")))
    return Condition(t.name("field"), t.texts("in"))


def read_input(raw: object, where: str) -> Input:
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


def input_dict(i: Input) -> dict[str, Any]:
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


def read_feature(raw: object, where: str) -> Feature:
    t = Table.of(raw, where, frozenset(("name", "op", "of", "phrase", "group")))
    return Feature(t.name("name"), t.choice("op", FEATURE_OPS), t.texts("of"), t.text("phrase"), t.text("group", ""))


def feature_dict(f: Feature) -> dict[str, Any]:
    group = {"group": f.group} if f.group else {}
    return {"name": f.name, "op": f.op, "of": list(f.of), "phrase": f.phrase, **group}
