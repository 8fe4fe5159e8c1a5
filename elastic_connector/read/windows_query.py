"""Recipes as Elasticsearch aggregations: composite pages over a window's keys, one metric for each input.

Fields are resolved by runtime fields of the search, so that a document counts exactly as the same event does in
``scorer.rows.builder``: of a field's names the first present and non-empty wins, "" and "-" are missing, a missing key
is the recipe's null key. The scripts are constant and take parameters: Elasticsearch compiles each once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scorer.elastic_client.moments import Millis, millis, seconds
from scorer.rows.recipe import Recipe
from scorer.rows.recipe.parts import Field, Input, PortClass

Json = dict[str, Any]

#: The most that Elasticsearch takes. Up to it a cardinality is counted nearly exactly, above it estimated.
PRECISION_THRESHOLD = 40_000
#: Memory that the distinct counts of one page may take on a node, far below the request breaker of a small heap.
_CARDINALITY_BYTES = 64 * 1024 * 1024
MAX_PAGE = 2_000
_PREFIX = "qscore_window_"
_WINDOW = "window"

# The text of a document's field as scorer.rows.cells cleans it. Arrays give their least value; a field that is
# mapped as text has no doc values and throws: its other names are tried.
_CLEAN = """
String clean(String raw) {
  String s = raw.trim();
  if (s.isEmpty() || s.equals("-")) { return null; }
  int dot = s.lastIndexOf(".");
  if (dot <= 0 || dot == s.length() - 1) { return s; }
  for (int i = 0; i < s.length(); i++) {
    char c = s.charAt(i);
    if (i == dot) { continue; }
    if (i > dot && c != (char)'0') { return s; }
    boolean sign = i == 0 && (c == (char)'-' || c == (char)'+') && dot > 1;
    if (i < dot && !sign && (c < (char)'0' || c > (char)'9')) { return s; }
  }
  return s.substring(0, dot);
}
String first(def doc, List names) {
  for (String name : names) {
    try {
      if (doc.containsKey(name) && doc[name].size() > 0) {
        String s = clean(doc[name].get(0).toString());
        if (s != null) { return s; }
      }
    } catch (IllegalArgumentException e) { }
  }
  return null;
}
double number(String s) {
  if (s == null) { return Double.NaN; }
  char last = s.charAt(s.length() - 1);
  if (last != (char)'.' && (last < (char)'0' || last > (char)'9')) { return Double.NaN; }
  try { return Double.parseDouble(s); } catch (NumberFormatException e) { return Double.NaN; }
}
"""
_TEXT = (
    _CLEAN
    + """
String s = first(doc, params.names);
if (s != null && params.account) {
  s = s.toLowerCase();
  int at = s.indexOf("@");
  s = clean(at >= 0 ? s.substring(0, at) : s);
}
if (s != null) { emit(s); } else if (params.missing != null) { emit(params.missing); }
"""
)
_NUMBER = (
    _CLEAN
    + """
double n = number(first(doc, params.names));
if (!Double.isNaN(n) && !Double.isInfinite(n)) { emit(n * params.scale); }
"""
)
_CLASS = (
    _CLEAN
    + """
double port = number(first(doc, params.names));
String found = params.missing;
for (def bin : params.bins) {
  boolean held = port >= bin.low && port <= bin.high;
  for (def listed : bin.ports) { held = held || port == listed; }
  if (held) { found = bin.name; break; }
}
emit(found);
"""
)


@dataclass(frozen=True)
class Span:
    """Windows that one set of pages covers: ``starts`` in epoch seconds, ascending, and the documents in them."""

    starts: tuple[int, ...]
    documents: int


@dataclass(frozen=True)
class WindowQuery:
    """Search bodies for one recipe. ``time``: the documents' time field; ``filters``: the source's own query."""

    recipe: Recipe
    time: str
    filters: tuple[Json, ...] = ()

    def rows(self, span: Span, after: Json | None) -> Json:
        """Return the body for one page of rows of ``span``."""
        own = self.recipe.inputs_over(())
        return self._page(self.recipe.keys, own, span, after)

    def groups(self, over: tuple[str, ...], span: Span, after: Json | None) -> Json:
        """Return the body for one page of the groups that the inputs over fewer keys are counted in."""
        return self._page(over, self.recipe.inputs_over(over), span, after)

    def totals(self, low: int, high: int, after: Json | None, further: Sequence[Json] = ()) -> Json:
        """Return the body that counts documents in each window from ``low`` to before ``high`` (epoch seconds) that
        also match ``further``.
        """
        filters = [*self.filters, *further, _between(self.time, low, high)]
        composite = _composite([self._window_source()], MAX_PAGE, after)
        return _search(filters, {"aggs": {"rows": composite}})

    def _page(self, keys: tuple[str, ...], inputs: tuple[Input, ...], span: Span, after: Json | None) -> Json:
        threshold = max(1, min(PRECISION_THRESHOLD, span.documents))
        sources = [self._window_source(), *({key: {"terms": {"field": _PREFIX + key}}} for key in keys)]
        composite = _composite(sources, _page_size(inputs, threshold), after)
        composite["aggs"] = {i.name: _metric(i, threshold) for i in inputs if not _is_doc_count(i)}
        used = {*keys, *(i.field for i in inputs if i.field), *(c.field for i in inputs for c in i.where)}
        numbers = {i.field for i in inputs if i.op in ("sum", "min", "max")}
        body = {"aggs": {"rows": composite}, "runtime_mappings": runtime_fields(self.recipe, used, numbers)}
        return _search([*self.filters, self._in_windows(span)], body)

    def _window_source(self) -> Json:
        # Milliseconds: Elasticsearch buckets from the epoch in UTC, as the recipe's windows are aligned.
        return {_WINDOW: {"date_histogram": {"field": self.time, "fixed_interval": f"{self.recipe.span}s"}}}

    def _in_windows(self, span: Span) -> Json:
        runs = [_between(self.time, low, high) for low, high in _runs(span.starts, self.recipe.span)]
        return {"bool": {"should": runs, "minimum_should_match": 1}}


def runtime_fields(recipe: Recipe, used: set[str], numbers: set[str]) -> Json:
    """Make runtime mappings of the fields ``used``, and of those in ``numbers`` a second one that holds a number."""
    fields = recipe.field_by_name
    result: Json = {}
    for one in recipe.classes:
        if one.name in used:
            result[_PREFIX + one.name] = _class_field(one, fields[one.of])
    for name in sorted(used & set(fields)):
        missing = recipe.null_key if name in recipe.keys else None
        params = {"names": _doc_names(fields[name]), "account": fields[name].account, "missing": missing}
        result[_PREFIX + name] = _runtime("keyword", _TEXT, params)
    for name in sorted(numbers):
        params = {"names": _doc_names(fields[name]), "scale": fields[name].scale_ecs}
        result[f"{_PREFIX}{name}_number"] = _runtime("double", _NUMBER, params)
    return result


def value(input_: Input, bucket: Mapping[str, Any]) -> float | None:
    """Return an input's value from its bucket; None where no document had one. Raises KeyError or TypeError on a bucket
    that is not what was asked for.
    """
    if _is_doc_count(input_):
        return float(bucket["doc_count"])
    found = bucket[input_.name]
    if input_.where or input_.op == "count":
        if input_.op == "count":
            return float(found["doc_count"])
        found = found["value"]
    if input_.op == "dc":
        return float(found["value"])
    if not found["count"]:
        return 0.0 if input_.zero else None
    return float(found[input_.op])


def window_of(key: Mapping[str, Any]) -> int:
    """Start of a bucket's window, epoch seconds."""
    return int(seconds(Millis(int(key[_WINDOW]))))


def _metric(input_: Input, threshold: int) -> Json:
    conditions = [{"terms": {_PREFIX + c.field: list(c.values)}} for c in input_.where]
    if input_.op == "count":
        return {"filter": {"bool": {"filter": conditions}}}
    if input_.op == "dc":
        metric: Json = {"cardinality": {"field": _PREFIX + input_.field, "precision_threshold": threshold}}
    else:
        metric = {"stats": {"field": f"{_PREFIX}{input_.field}_number"}}
    return {"filter": {"bool": {"filter": conditions}}, "aggs": {"value": metric}} if conditions else metric


def _is_doc_count(input_: Input) -> bool:
    return input_.op == "count" and not input_.where


def _page_size(inputs: Sequence[Input], threshold: int) -> int:
    """Return the number of buckets in a page. A distinct count takes 2^ceil(log2(4 threshold / 0.75)) bytes in every
    bucket of it.
    """
    each = 2 ** math.ceil(math.log2(4 * threshold / 0.75)) * sum(i.op == "dc" for i in inputs)
    return max(10, min(MAX_PAGE, _CARDINALITY_BYTES // each)) if each else MAX_PAGE


def _composite(sources: Sequence[Json], size: int, after: Json | None) -> Json:
    return {"composite": {"size": size, "sources": list(sources), **({"after": after} if after else {})}}


def _search(filters: Sequence[Json], body: Json) -> Json:
    return {"size": 0, "track_total_hits": False, "query": {"bool": {"filter": list(filters)}}, **body}


def _between(field: str, low: float, high: float) -> Json:
    return {"range": {field: {"gte": millis(low), "lt": millis(high), "format": "epoch_millis"}}}


def _runs(starts: Sequence[int], span: int) -> list[tuple[int, int]]:
    """Join neighbouring windows: (start of the first, end of the last)."""
    runs: list[tuple[int, int]] = []
    for start in starts:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], start + span)
        else:
            runs.append((start, start + span))
    return runs


def _doc_names(field: Field) -> list[str]:
    """Return where a field's values may be: dynamic mappings make text of a string and put the keyword beneath it."""
    return [name for base in field.ecs for name in (base, f"{base}.keyword")]


def _class_field(one: PortClass, port: Field) -> Json:
    bins = [{"name": b.name, "ports": [float(p) for p in b.ports], "low": b.low, "high": b.high} for b in one.bins]
    return _runtime("keyword", _CLASS, {"names": _doc_names(port), "missing": one.default, "bins": bins})


def _runtime(kind: str, source: str, params: Json) -> Json:
    return {"type": kind, "script": {"source": source, "params": params}}
