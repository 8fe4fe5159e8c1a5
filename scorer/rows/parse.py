"""Strict reading of nested tables (TOML, JSON): values typed, keys known, complaints that name their place."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_MISSING = object()
#: Numbers are compared with it, not converted: JSON and TOML may hold a whole number that no float can.
_LARGEST = sys.float_info.max
T = TypeVar("T")


class RecipeError(ValueError):
    """A recipe that says something impossible; the message names the place and the value."""


def is_name(text: object) -> bool:
    """Lower-case letters, digits and underscores, at most 64 characters, starting with a letter."""
    return isinstance(text, str) and _NAME.match(text) is not None


@dataclass(frozen=True)
class Table:
    """One table of a recipe with the path to it (``input[2]``), read key by key.

    Every method raises RecipeError when the value is absent without a default, or of another type.
    """

    raw: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, raw: object, where: str, known: frozenset[str]) -> Table:
        """A table none of whose keys is outside ``known``."""
        if not isinstance(raw, Mapping):
            raise RecipeError(f"{where} is {type(raw).__name__}, not a table")
        unknown = sorted(str(key)[:40] for key in raw if key not in known)
        if unknown:
            raise RecipeError(f"{where} has the unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
        return cls(raw, where)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default)
        if not isinstance(value, str) or len(value) > 500 or "\n" in value:
            raise self._wrong(key, value, "one line of text")
        return value

    def name(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default)
        if not isinstance(value, str) or not is_name(value):
            raise self._wrong(key, value, "a name (lower-case letters, digits, underscores)")
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        value = self._value(key, default)
        if value not in choices:
            raise self._wrong(key, value, "one of " + ", ".join(choices))
        return str(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
            raise self._wrong(key, value, "a finite number")
        return float(value)

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        value = self._value(key, default)
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and 0 < len(v) <= 200 for v in value):
            raise self._wrong(key, value, "a list of texts")
        return tuple(value)

    def wholes(self, key: str, low: int, high: int) -> tuple[int, ...]:
        value = self._value(key, ())
        ok = isinstance(value, (list, tuple)) and all(type(v) is int and low <= v <= high for v in value)
        if not ok:
            raise self._wrong(key, value, f"a list of whole numbers from {low} to {high}")
        return tuple(value)

    def tables(self, key: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """Each element of a list of tables, read by ``read(raw, place)``; an absent list is empty."""
        value = self._value(key, ())
        if not isinstance(value, (list, tuple)) or len(value) > 200:
            raise self._wrong(key, value, "a list of at most 200 tables")
        return tuple(read(raw, f"{self.where}.{key}[{i}]") for i, raw in enumerate(value))

    def _value(self, key: str, default: object) -> Any:
        value = self.raw.get(key, _MISSING)
        if value is not _MISSING:
            return value
        if default is None:
            raise RecipeError(f"{self.where} has no {key!r}")
        return default

    def _wrong(self, key: str, value: object, wanted: str) -> RecipeError:
        return RecipeError(f"{self.where}.{key} is {str(value)[:80]!r}; it must be {wanted}")
