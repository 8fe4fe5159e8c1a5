"""Splunk macros that build a recipe's rows: recipe in, stanzas of macros.conf out.

Three for each recipe: its fields by the names that Splunk's data has for them, rows of windows, rows of single events.
They use the general macros `qscore_clean` and `qscore_origin`, which the app brings. What is made on the way is called
``qs_<field>`` (text), ``qsn_<field>`` (number), ``qsi_<input>`` and ``qso_<input>``, and is taken away at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from scorer.rows.columns import CONTEXT_COLUMNS
from scorer.rows.recipe import TIME, Recipe, load_recipe, recipe_names
from scorer.rows.recipe.parts import Bin, Field, Input, PortClass
from scorer.wire.errors import BadOption

#: Above it stands what is written by hand, below it what is generated.
MARK = "# Generated from the recipes by `make macros`; what is changed below this line is lost.\n"
_HELPERS = ("qs_", "qsn_", "qsi_", "qso_")
_ORIGIN = "origin_id"
_PLACES = ("index", "sourcetype")  # where a window's events came from
_WIDTH = 112
_INDENT = "    "
#: What would end a macro's argument or a field's quotes, or mean something else to Splunk.
_NO_FIELD_NAME = re.compile(r"""['"`,()\[\]$|\\]|[^ -~\u00a0-\uffff]|^\s|\s$""")
_NO_TEXT = re.compile(r"[`\x00-\x1f\x7f]")


def renewed(conf: str) -> str:
    """Renew the generated part of the app's macros.conf, which follows MARK. Raises ValueError without a MARK."""
    by_hand, mark, _ = conf.partition(MARK)
    if not mark:
        raise ValueError(f"the line {MARK!r} is absent")
    return f"{by_hand}{MARK}\n{shipped_macros()}"


def shipped_macros() -> str:
    """Write the stanzas of all recipes that the product ships."""
    return "\n".join(recipe_macros(load_recipe(name)) for name in recipe_names())


def recipe_macros(recipe: Recipe) -> str:
    """Write the three stanzas of a recipe. Raises BadOption for a recipe with names that Splunk cannot take."""
    _check_names(recipe)
    made, keys = _Macros(recipe), ", ".join(recipe.keys)
    use = f"# Use: <events> | `%s` | qscore model={recipe.name}"
    return f"""\
# Fields of {recipe.name}, by the names that Splunk's CIM, Zeek and Windows have for them.
[{made.name}]
definition = {made.fields()}

# One row for each ({keys}) and window of {recipe.span} seconds, aligned to UTC.
{use % recipe.macro}
[{recipe.macro}]
definition = {made.windows()}

# Single events, each a row of its own.
{use % recipe.macro_event}
[{recipe.macro_event}]
definition = {made.events()}
"""


class _Macros:
    """The definitions for one recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.name = _fields_macro(recipe)
        self.classes = {c.name: c for c in recipe.classes}
        used = {*recipe.keys, *(i.field for i in recipe.inputs), *(c.field for i in recipe.inputs for c in i.where)}
        self.used = used | {c.of for c in recipe.classes if c.name in used}
        self.numbers = {i.field for i in recipe.inputs if i.op in ("sum", "min", "max")}
        self.numbers |= {c.of for c in recipe.classes if c.name in used}

    def fields(self) -> str:
        """Write every field as text, then numbers, classes and keys, then what the conditions of inputs come to.

        A key takes its name last: until then every field still finds what the events hold under that name.
        """
        parts = [part for f in self.recipe.fields if f.name in self.used for part in _field(f)]
        parts += [f"qsn_{name}=tonumber(qs_{name})" for name in sorted(self.numbers - {TIME})]
        parts += [_class(c) for c in self.recipe.classes if c.name in self.used]
        parts += [self._key(key) for key in self.recipe.keys]
        parts += [f"qsi_{i.name}={self._under_conditions(i)}" for i in self.recipe.inputs if i.where]
        return "eval \\\n" + ", \\\n".join(_INDENT + part for part in parts)

    def windows(self) -> str:
        """Aggregate each window; counts over fewer keys come from the rows, which are fewer than the events."""
        recipe = self.recipe
        steps = [f"eval _time=floor(_time / {recipe.span}) * {recipe.span}"]
        places = [name for name in _PLACES if name not in recipe.keys]
        aggregates = [self._aggregate(i) for i in recipe.inputs_over(())]
        aggregates += [part for i in recipe.inputs if i.over for part in self._kept_for_later(i)]
        aggregates += [f"values({name}) as {name}" for name in places]
        steps.append(_wrapped("stats", aggregates, " ", f"by _time {' '.join(recipe.keys)}"))
        for over in recipe.overs:
            inputs = [self._over_rows(i) for i in recipe.inputs_over(over)]
            steps.append(_wrapped("eventstats", inputs, " ", f"by _time {' '.join(over)}"))
        if any(list(self._kept_for_later(i)) for i in recipe.inputs if i.over):
            steps.append("fields - qso_*")
        zero = [i.name for i in recipe.inputs if i.zero and i.op in ("sum", "min", "max")]
        if zero:
            steps.append(_wrapped("fillnull value=0", zero, " "))
        if places:
            steps.append("eval " + ", ".join(f'{name}=mvjoin({name}, ",")' for name in places))
        return self._piped(steps)

    def events(self) -> str:
        """Make a window of each event. Its origin is taken first: an input may be called as a field of the event is."""
        parts = [f"{_ORIGIN}={self._origin()}", *(f"{i.name}={self._single(i)}" for i in self.recipe.inputs)]
        return self._piped([_wrapped("eval", parts, ", "), "fields - qs_* qsn_* qsi_*"])

    def _piped(self, steps: list[str]) -> str:
        return " \\\n".join([f"`{self.name}`", *(f"{_INDENT}| {step}" for step in steps)])

    def _key(self, key: str) -> str:
        return f"{key}=qs_{key}" if key in self.classes else f"{key}=coalesce(qs_{key}, {_text(self.recipe.null_key)})"

    def _operand(self, name: str, number: bool = False) -> str:
        if name == TIME:
            return "qs_time"
        return f"qsn_{name}" if number else name if name in self.recipe.keys else f"qs_{name}"

    def _value(self, i: Input) -> str:
        """Name the field that an input aggregates."""
        return f"qsi_{i.name}" if i.where else self._operand(i.field, i.op != "dc")

    def _condition(self, i: Input) -> str:
        held = []
        for condition in i.where:
            name, values = self._operand(condition.field), [_text(value) for value in condition.values]
            held.append(f"{name}={values[0]}" if len(values) == 1 else f"in({', '.join([name, *values])})")
        return " AND ".join(held)

    def _under_conditions(self, i: Input) -> str:
        values = "1, 0" if i.op == "count" else f"{self._operand(i.field, i.op != 'dc')}, null()"
        return f"if({self._condition(i)}, {values})"

    def _aggregate(self, i: Input, name: str | None = None) -> str:
        name = name or i.name
        if i.op == "count":
            return f"sum({self._value(i)}) as {name}" if i.where else f"count as {name}"
        return f"{i.op}({self._value(i)}) as {name}"

    def _kept_for_later(self, i: Input) -> Iterator[str]:
        """Yield what a row must carry for an input over fewer keys; nothing where that is a key."""
        if i.op != "dc":
            yield self._aggregate(i, f"qso_{i.name}")
        elif self._value(i) not in self.recipe.keys:
            yield f"values({self._value(i)}) as qso_{i.name}"

    def _over_rows(self, i: Input) -> str:
        kept = next(iter(self._kept_for_later(i)), None)
        function = "sum" if i.op == "count" else i.op
        return f"{function}({f'qso_{i.name}' if kept else self._value(i)}) as {i.name}"

    def _single(self, i: Input) -> str:
        if i.op == "count":
            return self._value(i) if i.where else "1"
        if i.op == "dc":
            return "1" if self._value(i) in self.recipe.keys else f"if(isnull({self._value(i)}), 0, 1)"
        return f"coalesce({self._value(i)}, 0)" if i.zero else self._value(i)

    def _origin(self) -> str:
        field = self.recipe.field_by_name.get(_ORIGIN)
        names = [name for name in _splunk_names(field) if name != "uid"] if field else []
        return f"coalesce({', '.join(map(_cleaned, names))}, `qscore_origin`)" if names else "`qscore_origin`"


def _fields_macro(recipe: Recipe) -> str:
    return f"qscore_{recipe.name}_fields"


def _splunk_names(field: Field) -> list[str]:
    """List names in Splunk's data, best first; ECS names only where a field has no others."""
    return list(dict.fromkeys((*field.splunk, *field.zeek, *field.windows))) or list(field.ecs)


def _cleaned(name: str) -> str:
    return f"`qscore_clean({name})`"


def _field(field: Field) -> Iterator[str]:
    if field.name == TIME:
        yield "qs_time=_time"
        return
    target, names = f"qs_{field.name}", [_cleaned(name) for name in _splunk_names(field)]
    if field.scale_ecs != 1.0 and not (field.splunk or field.zeek or field.windows):
        factor = format(Decimal(repr(field.scale_ecs)), "f")
        names = [f"tonumber({name}) * {factor}" for name in names]
    yield f"{target}=coalesce({', '.join(names)})" if names else f"{target}=null()"
    if field.account:
        yield f'{target}=replace(lower({target}), "@.*$", "")'
        yield f"{target}={_cleaned(target)}"


def _class(one: PortClass) -> str:
    port = f"qsn_{one.of}"
    cases = [f'{held}, "{b.name}"' for b in one.bins if (held := _held(b, port))]
    lines = "".join(f" \\\n{_INDENT * 2}{case}," for case in cases)
    return f'qs_{one.name}=case({lines} \\\n{_INDENT * 2}true(), "{one.default}")'


def _held(bin_: Bin, port: str) -> str:
    listed = f"in({', '.join([port, *map(str, bin_.ports)])})" if bin_.ports else ""
    ranged = f"({port} >= {bin_.low} AND {port} <= {bin_.high})" if bin_.low <= bin_.high else ""
    return " OR ".join(part for part in (listed, ranged) if part)


def _text(value: str) -> str:
    if _NO_TEXT.search(value):
        raise BadOption(f"the text {value[:80]!r} cannot stand in a Splunk macro", "Take it out of the recipe.")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _wrapped(command: str, parts: Iterable[str], separator: str, end: str = "") -> str:
    """Write a command, its parts on lines of at most _WIDTH characters; after many, ``end`` has a line of its own."""
    indent, items = _INDENT * 2, list(parts)
    pieces = [part + separator for part in items[:-1]] + items[-1:]
    whole = "".join([f"{command} ", *pieces, f" {end}" if end else ""])
    if len(whole) <= _WIDTH - len(indent):
        return whole
    lines = [f"{command} "]
    for piece in pieces:
        if len(lines[-1]) + len(piece.rstrip()) > _WIDTH and lines[-1].strip() != command:
            lines.append(indent)
        lines[-1] += piece
    return " \\\n".join([*(line.rstrip() for line in lines), *([indent + end] if end else [])])


def _check_names(recipe: Recipe) -> None:
    _check_macros(recipe)
    for name in (*recipe.keys, *(i.name for i in recipe.inputs)):
        if name.startswith(_HELPERS) or name == _ORIGIN:
            raise BadOption(f"the macros need the name {name} for themselves", "Call the recipe's otherwise.")
    for i in recipe.inputs:
        if i.name in CONTEXT_COLUMNS:
            raise BadOption(f"an input is called {i.name}, as a column of the row's context is", "Call it otherwise.")
    for field in recipe.fields:
        wrong = next((name for name in _splunk_names(field) if _NO_FIELD_NAME.search(name)), None)
        if wrong is not None:
            raise BadOption(
                f"field {field.name}: {wrong[:80]!r} cannot be a field's name in a Splunk macro",
                "Rename the field in Splunk (FIELDALIAS or rename) and give that name.",
            )


def _check_macros(recipe: Recipe) -> None:
    macros = (_fields_macro(recipe), recipe.macro, recipe.macro_event, "qscore_origin", "qscore_clean")
    twice = next((name for name in macros if macros.count(name) > 1), None)
    if twice:
        raise BadOption(f"two macros would be called {twice}", "Give the recipe other names for its macros.")
    for other in (load_recipe(name) for name in recipe_names() if name != recipe.name):
        taken = {recipe.macro, recipe.macro_event} & {_fields_macro(other), other.macro, other.macro_event}
        if taken:
            raise BadOption(f"the macro {min(taken)} is that of the model {other.name}", "Give another name for it.")
