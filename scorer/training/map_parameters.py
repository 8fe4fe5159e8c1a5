"""Parameters of a feature map from words on a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scorer.wire.errors import BadTrainingData

_WORDS = {"true": True, "false": False}


def map_parameters(words: Sequence[str], entanglement: str | None, reps: int | None) -> dict[str, Any]:
    """``name=value`` each; values with commas become lists. ``entanglement`` and ``reps`` have options of their own.

    Raises BadTrainingData. Whether the map takes them is the map's to say.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier():
            raise BadTrainingData(f"--map-parameter {word!r} is not name=value", "Write --map-parameter layers=3.")
        if name == "bandwidth":
            raise BadTrainingData("the bandwidth is searched for", "Leave bandwidth out of --map-parameter.")
        found[name] = [_value(item) for item in value.split(",")] if "," in value else _value(value)
    if entanglement is not None:
        found["entanglement"] = entanglement
    if reps is not None:
        found["reps"] = reps
    return found


def _value(word: str) -> Any:
    """A number or truth value where it reads as one, else the word itself."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
