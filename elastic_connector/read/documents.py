"""Documents -> rows of grain "event", by the model card's recipe. Pure: hits in, a pyarrow table out.

An event is a window of one, and its inputs are made by `scorer.rows.operands`, as those of a file's events are. A cell
that cannot be used never costs another row its score: its row keeps its place and carries a status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from elastic_connector.read.document_cells import Column, FieldPath, column, times
from scorer.elastic_client.moments import Millis, seconds
from scorer.rows.columns import (
    DEFECT_COLUMN,
    ENTITY_COLUMNS,
    FIELDS_COLUMN,
    FLAGS_COLUMN,
    MAX_FIELDS_BYTES,
    TIME_COLUMN,
)
from scorer.rows.defects import Defect
from scorer.rows.operands import of_single, port_classes
from scorer.rows.recipe import Recipe
from scorer.rows.recipe.parts import Field

#: Stands in a hit whose fields are more than one answer of Elasticsearch may hold.
TOO_LARGE = "qscore_too_large"
#: Stands in a hit of which no row could be made.
UNREADABLE = "qscore_unreadable"
_UNREADABLE = Defect("not_scored", "no row can be made of the document; look at it in Discover")
_LARGE = Defect("not_scored", "the fields that are read of the document are larger than one answer may be")
FLAG_FIELDS_CUT = "copied_fields_cut"
_COPIED_TEXT = 1024  # characters of one copied value
_COPIED_VALUES = 100  # of one copied field

Hit = Mapping[str, Any]


@dataclass(frozen=True)
class EventShaper:
    """Makes rows of documents. ``copy``: document fields that travel with the score, and no others do."""

    recipe: Recipe
    copy: tuple[str, ...] = ()
    _paths: dict[str, FieldPath] = field(default_factory=dict, repr=False)

    @property
    def includes(self) -> list[str]:
        """Return the fields that must be read of a document (Elasticsearch's ``_source`` filter)."""
        names = {name for f in self._fields() for name in f.ecs}
        return sorted({*names, *self.recipe.time_names, *self.copy})

    def table(self, hits: Sequence[Hit]) -> Any:
        """Make one row per hit, in order: inputs float64, context text, and where there are any, statuses."""
        sources = [hit["_source"] for hit in hits]
        made = _Making(len(sources))
        made.note({row: _LARGE for row, hit in enumerate(hits) if TOO_LARGE in hit})
        made.note({row: _UNREADABLE for row, hit in enumerate(hits) if UNREADABLE in hit})
        fields = _DocumentFields(self.recipe, {f.name: self._column(f, sources) for f in self._fields()}, made)
        time, wrong_times = self._times(sources)
        made.note(wrong_times)
        if wrong_times:  # its error still needs a place in time: when the document came
            came = pa.array([seconds(Millis(hit["sort"][0])) for hit in hits], pa.float64())
            time = pc.coalesce(time, came)
        columns = {TIME_COLUMN: time}
        columns |= {key: fields.text(key) for key in self.recipe.keys if key in ENTITY_COLUMNS}
        columns |= {i.name: of_single(i, fields) for i in self.recipe.inputs}
        columns["origin_id"] = pa.array([hit["_id"] for hit in hits], pa.string())
        columns["index"] = pa.array([hit["_index"] for hit in hits], pa.string()).dictionary_encode()
        if self.copy:
            columns[FIELDS_COLUMN], columns[FLAGS_COLUMN] = self._copied(sources)
        if made.defects:
            columns[DEFECT_COLUMN] = _in_words(made.defects, len(hits))
        return pa.table(columns)

    def _fields(self) -> list[Field]:
        """Return the fields that a key, an input or a class of the recipe needs."""
        needed = {name for i in self.recipe.inputs for name in (i.field, *(c.field for c in i.where))}
        needed |= set(self.recipe.keys)
        needed |= {c.of for c in self.recipe.classes if c.name in needed}
        return [f for f in self.recipe.fields if f.name in needed]

    def _path(self, name: str) -> FieldPath:
        if name not in self._paths:
            self._paths[name] = FieldPath.of(name)
        return self._paths[name]

    def _column(self, wanted: Field, sources: Sequence[Any]) -> Column:
        return column([self._path(name) for name in wanted.ecs], sources, wanted.scale_ecs, wanted.account)

    def _times(self, sources: Sequence[Any]) -> tuple[Any, dict[int, Defect]]:
        return times([self._path(name) for name in self.recipe.time_names], sources)

    def _copied(self, sources: Sequence[Any]) -> tuple[Any, Any]:
        paths = [self._path(name) for name in self.copy]
        pairs = [_copied(paths, source) for source in sources]
        return pa.array([p[0] for p in pairs], pa.string()), pa.array([p[1] for p in pairs], pa.string())


@dataclass
class _Making:
    """Rows being made: the first thing that is wrong with each."""

    rows: int
    defects: dict[int, Defect] = field(default_factory=dict)

    def note(self, defects: Mapping[int, Defect]) -> None:
        for row, defect in defects.items():
            self.defects.setdefault(row, defect)


@dataclass(frozen=True)
class _DocumentFields:
    """`operands.Fields` of documents: what is wrong with a field is noted for its row, once the field is used."""

    recipe: Recipe
    columns: Mapping[str, Column]
    made: _Making
    _classes: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.made.rows

    def text(self, name: str) -> Any:
        if name not in self.columns:
            return self._class(name)
        self.made.note(self.columns[name].defects)
        text = self.columns[name].text()
        return pc.fill_null(text, self.recipe.null_key) if name in self.recipe.keys else text

    def numbers(self, name: str) -> Any:
        numbers, defects = self.columns[name].numbers()
        self.made.note(self.columns[name].defects)
        self.made.note(defects)
        return numbers

    def _class(self, name: str) -> Any:
        if name not in self._classes:
            port_class = next(c for c in self.recipe.classes if c.name == name)
            self._classes[name] = port_classes(port_class, self.numbers(port_class.of))
        return self._classes[name]


def _in_words(defects: Mapping[int, Defect], rows: int) -> Any:
    """Make the column that carries defects to the worker: texts, null where a row has none."""
    said = {row: str(defect) for row, defect in defects.items()}
    return pa.array([said.get(row) for row in range(rows)], pa.string())


def _copied(paths: Sequence[FieldPath], source: Any) -> tuple[str | None, str | None]:
    """Write the named fields of one document as JSON, and a flag where not all of them fit."""
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
    """Return scalars of a field as text, and whether something was left out."""
    values = value if isinstance(value, list) else [value]
    texts = [_as_text(v) for v in values[:_COPIED_VALUES] if isinstance(v, str | int | float) and v != ""]
    cut = len(values) > _COPIED_VALUES or any(len(text) > _COPIED_TEXT for text in texts)
    return [text[:_COPIED_TEXT] for text in texts], cut


def _as_text(value: str | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
