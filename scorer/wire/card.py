"""What a model says of itself: the card that the gateway answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

from scorer.wire.errors import NonsenseReply


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
