"""Messages between processes: what is scored, what comes back, what a model says of itself.

Columns are typed as sequences because this module must import without NumPy; in the worker they are arrays.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from scorer.rows.columns import KEY_COLUMNS, TIME_COLUMN
from scorer.wire.errors import BadOption, NonsenseReply
from scorer.wire.names import check_version

EXPLAIN_CHOICES = ("alerts", "all", "none")


@dataclass(frozen=True)
class ScoreOptions:
    """What a caller may ask of one batch.

    ``version``: a version or alias. ``threshold``: probability 0-1 at and above which a row alerts; None: the model's
    own line. ``explain``: which rows get a reason. ``write``: hand the scored rows to the configured sink.
    """

    version: str = "live"
    threshold: Optional[float] = None
    explain: str = "alerts"
    write: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, str]) -> ScoreOptions:
        """From untrusted strings (a query string, a command line); raises BadOption naming value and remedy."""
        unknown = sorted(set(raw) - {"version", "threshold", "explain", "write"})
        if unknown:
            raise BadOption(
                "unknown option %s" % ", ".join(u[:40] for u in unknown),
                "Known options are version, threshold, explain and write.",
            )
        return cls(
            version=check_version(raw.get("version", "live")),
            threshold=_threshold(raw.get("threshold")),
            explain=_explain(raw.get("explain", "alerts")),
            write=parse_bool("write", raw.get("write", "false")),
        )

    def to_query(self) -> Dict[str, str]:
        """The inverse of parse."""
        query = {"version": self.version, "explain": self.explain, "write": "true" if self.write else "false"}
        if self.threshold is not None:
            query["threshold"] = repr(self.threshold)
        return query


def _threshold(text: Optional[str]) -> Optional[float]:
    if text is None or text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise BadOption("threshold=%s is not a probability" % text[:40], "Give a number from 0 to 1, such as 0.8.")
    return value


def _explain(text: str) -> str:
    chosen = {"true": "all", "t": "all", "1": "all", "false": "none", "f": "none", "0": "none"}.get(
        text.lower(), text.lower()
    )
    if chosen not in EXPLAIN_CHOICES:
        raise BadOption("explain=%s is not known" % text[:40], "Use explain=alerts, explain=all or explain=none.")
    return chosen


def parse_bool(name: str, text: str) -> bool:
    """Splunk's spellings of a boolean."""
    lowered = text.lower()
    if lowered in ("true", "t", "1", "yes"):
        return True
    if lowered in ("false", "f", "0", "no"):
        return False
    raise BadOption("%s=%s is neither true nor false" % (name, text[:40]), "Use %s=true or %s=false." % (name, name))


@dataclass(frozen=True)
class FeatureBatch:
    """Rows to score, by column.

    ``columns``: feature input -> float64 array of shape (N,), NaN where the cell is empty or unusable.
    ``context``: context column -> N strings, empty where unknown. ``row_ids``: N caller's row numbers or ids.
    ``defects``: row position -> status text for rows that decoding already found unusable; such a row keeps its place.
    """

    batch_id: str
    model: str
    columns: Mapping[str, Sequence[float]]
    context: Mapping[str, Sequence[str]]
    row_ids: Sequence[Any]
    defects: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row_ids)


@dataclass(frozen=True)
class ScoreBatch:
    """Scores in row order; every sequence has length N.

    ``probability``, ``pvalue``, ``classical``: float64, NaN where a row was not scored. ``risk``: integer 0-100.
    ``band``: index into names.BANDS. ``alert``: booleans. ``reason``, ``status``: strings.
    Of rows that were not scored only ``status`` means anything.
    """

    batch_id: str
    model: str
    version: str
    row_ids: Sequence[Any]
    probability: Sequence[float]
    pvalue: Sequence[float]
    classical: Sequence[float]
    risk: Sequence[int]
    band: Sequence[int]
    alert: Sequence[bool]
    reason: Sequence[str]
    status: Sequence[str]
    serve: str = "quantum"

    def __len__(self) -> int:
        return len(self.row_ids)


@dataclass(frozen=True)
class Acknowledgement:
    """What became of one written batch: rows the sink took, rows it already had, rows now in the dead letters."""

    batch_id: str
    written: int
    already_there: int = 0
    dead: int = 0

    def to_dict(self) -> Dict[str, Any]:
        return {
            "batch_id": self.batch_id,
            "written": self.written,
            "already_there": self.already_there,
            "dead": self.dead,
        }


@dataclass(frozen=True)
class ModelCard:
    """What a model says of itself to anyone who may list models (GET /v1/models/<name>)."""

    name: str
    version: str
    family: str
    title: str
    trained_on: str  # one sentence; a starter says that its rows were generated
    starter: bool
    serve: str  # quantum | twin: which of the two gives the probability
    grain: str  # window | event: what one row is
    required_fields: Tuple[str, ...]
    context_fields: Tuple[str, ...]
    macro: str  # the macro that builds the rows in Splunk
    threshold: float  # probability at the default line
    fpr: float  # false-positive rate that the default line was set for
    details: Mapping[str, Any]  # recipe, features, metrics, counts, digests: see docs/wire.md

    @classmethod
    def from_dict(cls, raw: Any) -> ModelCard:
        """From untrusted decoded JSON; raises NonsenseReply naming the field that is wrong."""
        if not isinstance(raw, dict):
            raise NonsenseReply("a model card that is not an object came back")
        strings = {k: _typed(raw, k, str) for k in _CARD_STRINGS}
        return cls(
            **strings,
            starter=_typed(raw, "starter", bool),
            required_fields=_names(raw, "required_fields"),
            context_fields=_names(raw, "context_fields"),
            threshold=_number(raw, "threshold"),
            fpr=_number(raw, "fpr"),
            details=_typed(raw, "details", dict),
        )

    def to_dict(self) -> Dict[str, Any]:
        return {
            **{k: getattr(self, k) for k in _CARD_STRINGS},
            "starter": self.starter,
            "required_fields": list(self.required_fields),
            "context_fields": list(self.context_fields),
            "threshold": self.threshold,
            "fpr": self.fpr,
            "details": dict(self.details),
        }


_CARD_STRINGS = ("name", "version", "family", "title", "trained_on", "serve", "grain", "macro")


def _typed(raw: Mapping[str, Any], key: str, kind: Any) -> Any:
    value = raw.get(key)
    if not isinstance(value, kind):
        raise NonsenseReply("the model card's %s is %s" % (key, type(value).__name__))
    return value


def _number(raw: Mapping[str, Any], key: str) -> float:
    try:
        return float(_typed(raw, key, (int, float)))
    except OverflowError:
        raise NonsenseReply("the model card's %s is too large" % key) from None


def _names(raw: Mapping[str, Any], key: str) -> Tuple[str, ...]:
    value = _typed(raw, key, list)
    if len(value) > 200 or not all(isinstance(v, str) and 0 < len(v) <= 200 for v in value):
        raise NonsenseReply("the model card's %s is not a list of names" % key)
    return tuple(value)


def score_id(model: str, version: str, identity: Sequence[str], revision: int = 0) -> str:
    """``qscore_id``: SHA-256 over model, version, origin id or entities and window start, and revision.

    Parts are length-prefixed, so that no two lists of parts share a digest by concatenation. Never the search id: a
    search that runs twice writes nothing twice.
    """
    digest = hashlib.sha256()
    for part in (model, version, *identity, str(revision)):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.hexdigest()


def canonical_time(text: str) -> Optional[str]:
    """Epoch seconds as they enter an id: milliseconds, always three decimals. None where the text is no usable time."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return "%.3f" % seconds if 0 < seconds < 1e11 else None


def row_identity(context: Mapping[str, Sequence[str]], row: int) -> Optional[Tuple[str, ...]]:
    """What makes a row itself: its origin's id and index where there is one, else entities and window start.

    None where the row has neither, so that it cannot be written without risking duplicates.
    """

    def at(name: str) -> str:
        column = context.get(name)
        return column[row] if column is not None else ""

    if at("origin_id"):
        return ("origin", at("index"), at("origin_id"))
    entities = tuple(at(name) for name in KEY_COLUMNS)
    start = canonical_time(at(TIME_COLUMN))
    if start is not None and any(entities):
        return ("window", start, *entities)
    return None
