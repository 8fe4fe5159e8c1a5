"""What a model says of itself: the card that the gateway answers with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from scorer.wire.errors import NonsenseReply


@dataclass(frozen=True)
class ModelCard:
    """What a model says of itself to anyone who may list models (GET /v1/models/<name>).

    What running code goes by has a field of its own; ``details`` is for people. Cards of 0.1.0 say ``qubits``,
    ``span`` and ``mitre`` in their details alone, and are read from there.
    """

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
    qubits: int = 0  # of the circuit, by which its lane is chosen; 0: from before they were counted
    span: Optional[float] = None  # seconds of a window; None where a row is an event
    mitre: Tuple[str, ...] = ()  # techniques that a high score speaks for

    @classmethod
    def from_dict(cls, raw: Any) -> ModelCard:
        """From untrusted decoded JSON; raises NonsenseReply naming the field that is wrong."""
        if not isinstance(raw, dict):
            raise NonsenseReply("a model card that is not an object came back")
        strings = {k: _typed(raw, k, str) for k in _CARD_STRINGS}
        details = _typed(raw, "details", dict)
        later = {**_said_in_details(raw), **raw}
        return cls(
            **strings,
            starter=_typed(raw, "starter", bool),
            required_fields=_names(raw, "required_fields"),
            context_fields=_names(raw, "context_fields"),
            threshold=_number(raw, "threshold"),
            fpr=_number(raw, "fpr"),
            details=details,
            qubits=_qubits(later),
            span=_span(later),
            mitre=_names(later, "mitre"),
        )

    @property
    def recipe(self) -> Optional[Mapping[str, Any]]:
        """How rows are built, as plain data from outside (docs/models.md); None where the card has none."""
        recipe = self.details.get("recipe")
        return recipe if isinstance(recipe, dict) else None

    def to_dict(self) -> Dict[str, Any]:
        return {
            **{k: getattr(self, k) for k in _CARD_STRINGS},
            "starter": self.starter,
            "required_fields": list(self.required_fields),
            "context_fields": list(self.context_fields),
            "threshold": self.threshold,
            "fpr": self.fpr,
            "details": dict(self.details),
            "qubits": self.qubits,
            "span": self.span,
            "mitre": list(self.mitre),
        }


_CARD_STRINGS = ("name", "version", "family", "title", "trained_on", "serve", "grain", "macro")


def _said_in_details(raw: Mapping[str, Any]) -> Dict[str, Any]:
    """What a card of 0.1.0 says in its details alone, under the names of the fields that say it today."""
    details = raw["details"]
    recipe = details.get("recipe")
    row = recipe.get("row") if isinstance(recipe, dict) else None
    windows = raw["grain"] == "window"  # the recipe names seconds for rows of both grains
    return {
        "qubits": details.get("qubits", 0),
        "span": row.get("span") if windows and isinstance(row, dict) else None,
        "mitre": details.get("mitre", []),
    }


def _qubits(raw: Mapping[str, Any]) -> int:
    value = _typed(raw, "qubits", int)
    if isinstance(value, bool) or value < 0:
        raise NonsenseReply("the model card's qubits are %s" % str(value)[:40])
    return int(value)


def _span(raw: Mapping[str, Any]) -> Optional[float]:
    if raw["span"] is None:
        return None
    seconds = _number(raw, "span")
    if not 0.0 < seconds < math.inf:
        raise NonsenseReply("the model card's span is %s seconds" % seconds)
    return seconds


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
