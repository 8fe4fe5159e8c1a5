"""Documents -> rows of grain "event", by the model card's recipe. Pure: hits in, a pyarrow table out.

An event is a window of one: a count is 1 where its conditions hold, a distinct count 1 where there is a value, and sum,
min and max are the value itself, exactly as `scorer.rows.builder.build_rows` makes them. A cell that cannot be used
never costs another row its score: its row keeps its place and carries a status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elastic_connector.read.document_cells import Column, FieldPath, column, times
from elastic_connector.read.windows_recipe import WindowClass, WindowField, WindowInput, WindowRecipe
from scorer.rows.columns import (
    DEFECT_COLUMN,
    ENTITY_COLUMNS,
    FIELDS_COLUMN,
    FLAGS_COLUMN,
    MAX_FIELDS_BYTES,
    TIME_COLUMN,
)

#: Stands in a hit whose fields are more than one answer of Elasticsearch may hold.
TOO_LARGE = "qscore_too_large"
#: Stands in a hit of which no row could be made.
UNREADABLE = "qscore_unreadable"
_UNREADABLE_STATUS = "not_scored: no row can be made of the document; look at it in Discover"
_TOO_LARGE_STATUS = "not_scored: the fields that are read of the document are larger than one answer may be"
FLAG_FIELDS_CUT = "copied_fields_cut"
_COPIED_TEXT = 1024  # characters of one copied value
_COPIED_VALUES = 100  # of one copied field

Hit = Mapping[str, Any]


@dataclass(frozen=True)
class EventShaper:
    """Makes rows of documents. ``copy``: document fields that travel with the score, and no others do."""

    recipe: WindowRecipe
    copy: tuple[str, ...] = ()
    _paths: dict[str, FieldPath] = field(default_factory=dict, repr=False)

    @property
    def includes(self) -> list[str]:
        """The fields that must be read of a document (Elasticsearch's ``_source`` filter)."""
        names = {name for f in self._fields() for name in f.names}
        return sorted({*names, *self.recipe.time_names, *self.copy})

    def table(self, hits: Sequence[Hit]) -> Any:
        """One row per hit, in order: inputs float64, context text, and where there are any, statuses."""
        sources = [hit["_source"] for hit in hits]
        made = _Making(len(sources))
        made.note({row: _TOO_LARGE_STATUS for row, hit in enumerate(hits) if TOO_LARGE in hit})
        made.note({row: _UNREADABLE_STATUS for row, hit in enumerate(hits) if UNREADABLE in hit})
        fields = {f.name: self._column(f, sources) for f in self._fields()}
        time, wrong_times = self._times(sources)
        made.note(wrong_times)
        if wrong_times:  # its error still needs a place in time: when the document came
            came = pa.array([hit["sort"][0] / 1e3 for hit in hits], pa.float64())
            time = pc.coalesce(time, came)
        classes = {c.name: _port_class(c, fields[c.of], made) for c in self._classes()}
        columns = {TIME_COLUMN: time}
        columns |= {key: self._key(key, fields, classes, made) for key in self.recipe.keys if key in ENTITY_COLUMNS}
        columns |= {i.name: _input(i, fields, classes, made) for i in self.recipe.inputs}
        columns["origin_id"] = pa.array([hit["_id"] for hit in hits], pa.string())
        columns["index"] = pa.array([hit["_index"] for hit in hits], pa.string()).dictionary_encode()
        if self.copy:
            columns[FIELDS_COLUMN], columns[FLAGS_COLUMN] = self._copied(sources)
        if made.defects:
            columns[DEFECT_COLUMN] = pa.array([made.defects.get(row) for row in range(len(hits))], pa.string())
        return pa.table(columns)

    def _fields(self) -> list[WindowField]:
        """Fields that a key, an input or a class of the recipe needs."""
        needed = {name for i in self.recipe.inputs for name in (i.field, *(field_ for field_, _ in i.where))}
        needed |= set(self.recipe.keys)
        needed |= {c.of for c in self.recipe.classes if c.name in needed}
        return [f for f in self.recipe.fields if f.name in needed]

    def _classes(self) -> list[WindowClass]:
        known = {f.name for f in self._fields()}
        return [c for c in self.recipe.classes if c.of in known]

    def _path(self, name: str) -> FieldPath:
        return self._paths.setdefault(name, FieldPath.of(name))

    def _column(self, wanted: WindowField, sources: Sequence[Any]) -> Column:
        paths = [self._path(name) for name in wanted.names]
        return column(paths, sources, wanted.scale, wanted.account)

    def _times(self, sources: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        return times([self._path(name) for name in self.recipe.time_names], sources)

    def _key(self, key: str, fields: Mapping[str, Column], classes: Mapping[str, Any], made: _Making) -> Any:
        if key in classes:
            return classes[key]
        made.note(fields[key].defects)
        return pc.fill_null(fields[key].text(), self.recipe.null_key)

    def _copied(self, sources: Sequence[Any]) -> tuple[Any, Any]:
        paths = [self._path(name) for name in self.copy]
        pairs = [_copied(paths, source) for source in sources]
        return pa.array([p[0] for p in pairs], pa.string()), pa.array([p[1] for p in pairs], pa.string())


@dataclass
class _Making:
    """Rows being made: the first thing that is wrong with each."""

    rows: int
    defects: dict[int, str] = field(default_factory=dict)

    def note(self, defects: Mapping[int, str]) -> None:
        for row, text in defects.items():
            self.defects.setdefault(row, text)

    def constant(self, value: Any) -> Any:
        return pa.repeat(value, self.rows)


def _port_class(wanted: WindowClass, ports: Column, made: _Making) -> Any:
    """The class of each port; the default where there is none, as in every other builder of rows."""
    number, defects = ports.numbers()
    made.note(ports.defects)
    made.note(defects)
    result = made.constant(wanted.default)
    for bin_ in reversed(wanted.bins):  # the first bin wins, so it is laid on top
        listed = pc.is_in(number, pa.array(bin_.ports, pa.float64()))
        ranged = pc.and_(pc.greater_equal(number, float(bin_.low)), pc.less_equal(number, float(bin_.high)))
        result = pc.if_else(pc.fill_null(pc.or_(listed, ranged), False), bin_.name, result)
    return result


def _input(wanted: WindowInput, fields: Mapping[str, Column], classes: Mapping[str, Any], made: _Making) -> Any:
    """One input of the model, float64; null where it is missing and the recipe does not take that for 0."""
    hit = made.constant(True)
    for name, values in wanted.where:
        hit = pc.and_(hit, _holds(_text(name, fields, classes, made), values))
    if wanted.op == "count":
        return hit.cast(pa.float64())
    if wanted.op == "dc":
        present = pc.is_valid(_text(wanted.field, fields, classes, made))
        return pc.and_(hit, present).cast(pa.float64())
    made.note(fields[wanted.field].defects)
    numbers, defects = fields[wanted.field].numbers()
    made.note(defects)
    value = pc.if_else(hit, numbers, pa.scalar(None, pa.float64()))
    return pc.fill_null(value, 0.0) if wanted.zero else value


def _text(name: str, fields: Mapping[str, Column], classes: Mapping[str, Any], made: _Making) -> Any:
    if name in classes:
        return classes[name]
    made.note(fields[name].defects)
    return fields[name].text()


def _holds(text: Any, values: Sequence[str]) -> Any:
    return pc.fill_null(pc.is_in(text, pa.array(values, pa.string())), False)


def _copied(paths: Sequence[FieldPath], source: Any) -> tuple[str | None, str | None]:
    """The named fields of one document as JSON, and a flag where not all of them fit."""
    found: dict[str, str | list[str]] = {}
    cut = False
    for path in paths:
        value, short = _as_texts(path.find(source))
        cut = cut or short
        if value:
            found[path.name] = value[0] if len(value) == 1 else value
    packed = orjson.dumps(found)
    while len(packed) > MAX_FIELDS_BYTES:
        found.popitem()
        packed, cut = orjson.dumps(found), True
    return packed.decode() if found else None, FLAG_FIELDS_CUT if cut else None


def _as_texts(value: Any) -> tuple[list[str], bool]:
    """Scalars of a field as text, and whether something was left out."""
    values = value if isinstance(value, list) else [value]
    texts = [_as_text(v) for v in values[:_COPIED_VALUES] if isinstance(v, str | int | float) and v != ""]
    cut = len(values) > _COPIED_VALUES or any(len(text) > _COPIED_TEXT for text in texts)
    return [text[:_COPIED_TEXT] for text in texts], cut


def _as_text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
