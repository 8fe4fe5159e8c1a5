"""The part of a model card's recipe from which windows are counted, read as data that came from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scorer.wire.errors import NonsenseReply

OPS = ("count", "dc", "sum", "min", "max")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_MOST = 200  # parts of one kind in a recipe
_DAY = 86_400


@dataclass(frozen=True)
class WindowField:
    """A field of events. ``names``: those of the documents, best first; ``scale``: factor that makes a number of the
    document one of the recipe; ``account``: lower case, without the part after "@"."""

    name: str
    names: tuple[str, ...]
    scale: float = 1.0
    account: bool = False


@dataclass(frozen=True)
class WindowBin:
    """Ports of one class: those listed and, where ``low`` <= ``high``, that range with both its ends."""

    name: str
    ports: tuple[int, ...]
    low: int
    high: int


@dataclass(frozen=True)
class WindowClass:
    """Fixed bins of the port field ``of``; the first bin that holds the port wins."""

    name: str
    of: str
    default: str
    bins: tuple[WindowBin, ...]


@dataclass(frozen=True)
class WindowInput:
    """One aggregate over the events of a row: ``where`` is ANDed, ``over`` groups by fewer keys in the same window."""

    name: str
    op: str
    field: str
    where: tuple[tuple[str, tuple[str, ...]], ...]
    over: tuple[str, ...]
    zero: bool  # an absent value means that none was seen


@dataclass(frozen=True)
class WindowRecipe:
    """What a row of grain "window" is; ``span`` in seconds, windows are aligned to the epoch (UTC)."""

    keys: tuple[str, ...]
    span: int
    null_key: str
    time_names: tuple[str, ...]
    fields: tuple[WindowField, ...]
    classes: tuple[WindowClass, ...]
    inputs: tuple[WindowInput, ...]

    @classmethod
    def from_card(
        cls, raw: object, overrides: Mapping[str, Sequence[str]] | None = None, wanted: Sequence[str] = ()
    ) -> WindowRecipe:
        """From ``card.details["recipe"]``; raises NonsenseReply naming the part that is wrong.

        ``overrides``: field -> names of the documents, in place of the recipe's ECS names. ``wanted``: the inputs that
        the model needs; none named: all.
        """
        top = _table(raw, "recipe")
        row = _table(top.get("row"), "recipe.row")
        named = dict(overrides or {})
        fields = tuple(_field(f, named) for f in _list(top, "field"))
        recipe = cls(
            keys=_names(row, "keys"),
            span=_span(row),
            null_key=_text(row, "null_key"),
            time_names=next((f.names for f in fields if f.name == "time"), ()) or ("@timestamp",),
            fields=tuple(f for f in fields if f.name != "time"),
            classes=tuple(_class(c) for c in _list(top, "class", ())),
            inputs=tuple(_input(i) for i in _list(top, "input")),
        )
        _check(recipe)
        return replace(recipe, inputs=tuple(i for i in recipe.inputs if not wanted or i.name in wanted))

    @property
    def overs(self) -> tuple[tuple[str, ...], ...]:
        """The different sets of fewer keys, sorted."""
        return tuple(sorted({i.over for i in self.inputs if i.over}))

    def inputs_over(self, over: tuple[str, ...]) -> tuple[WindowInput, ...]:
        return tuple(i for i in self.inputs if i.over == over)


def _check(recipe: WindowRecipe) -> None:
    """Every name that is used must be defined: a script over an undefined field would count nothing, silently."""
    known = {f.name for f in recipe.fields} | {c.name for c in recipe.classes}
    used = [*recipe.keys, *(c.of for c in recipe.classes)]
    for i in recipe.inputs:
        used += [*([i.field] if i.field else []), *(name for name, _ in i.where)]
        if (i.op == "count") == bool(i.field) or not set(i.over) <= set(recipe.keys):
            raise _wrong(f"input {i.name}")
    unknown = sorted(set(used) - known)
    if unknown or not recipe.keys or not recipe.inputs:
        raise _wrong(f"field {unknown[0]!r}" if unknown else "row.keys or input")


def _field(raw: object, overrides: Mapping[str, Sequence[str]]) -> WindowField:
    table = _table(raw, "recipe.field")
    name = _name(table, "name")
    given = overrides.get(name)
    names = tuple(given) if given is not None else _names(table, "ecs", ())
    scale = table.get("scale_ecs", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
        raise _wrong(f"field {name}: scale_ecs {str(scale)[:40]!r}")
    return WindowField(name, names, float(scale), table.get("normalise", "") == "account")


def _class(raw: object) -> WindowClass:
    table = _table(raw, "recipe.class")
    bins = tuple(_bin(_table(b, "recipe.class.bins")) for b in _list(table, "bins"))
    return WindowClass(_name(table, "name"), _name(table, "of"), _text(table, "default"), bins)


def _bin(table: Mapping[str, Any]) -> WindowBin:
    ports = table.get("ports", ())
    if not isinstance(ports, list | tuple) or not all(_is_port(p) for p in ports):
        raise _wrong("class.bins.ports")
    low, high = table.get("from", 1), table.get("to", 0)
    if not (_is_port(low) and _is_port(high)):
        raise _wrong("class.bins.from or to")
    return WindowBin(_text(table, "is"), tuple(ports), low, high)


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65_535


def _input(raw: object) -> WindowInput:
    table = _table(raw, "recipe.input")
    name, op = _name(table, "name"), table.get("op")
    if op not in OPS:
        raise _wrong(f"input {name}: op {str(op)[:40]!r}")
    where = tuple((_name(c, "field"), _names(c, "in")) for c in (_table(w, "where") for w in _list(table, "where", ())))
    return WindowInput(
        name=name,
        op=op,
        field=_name(table, "field") if table.get("field") else "",
        where=where,
        over=_names(table, "over", ()),
        zero=table.get("missing", "reject") == "zero",
    )


def _table(raw: object, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise _wrong(where)
    return raw


def _list(table: Mapping[str, Any], key: str, default: Sequence[Any] | None = None) -> Sequence[Any]:
    value = table.get(key, default)
    if not isinstance(value, list | tuple) or len(value) > _MOST:
        raise _wrong(key)
    return value


def _names(table: Mapping[str, Any], key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
    values = _list(table, key, default)
    if not all(isinstance(v, str) and 0 < len(v) <= 500 for v in values):
        raise _wrong(key)
    return tuple(values)


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise _wrong(key)
    return value


def _name(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not _NAME.match(value):
        raise _wrong(f"{key} {str(value)[:60]!r}")
    return value


def _span(row: Mapping[str, Any]) -> int:
    span = row.get("span")
    if isinstance(span, bool) or not isinstance(span, int) or not 1 <= span <= _DAY:
        raise _wrong(f"row.span {str(span)[:40]!r}")
    return span


def _wrong(what: str) -> NonsenseReply:
    return NonsenseReply(f"the model card's recipe cannot be used: {what} is wrong", "Run the same version everywhere.")
