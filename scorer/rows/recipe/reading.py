"""How a recipe is read from outside: tables of known keys, values of one type, complaints that name their place.

Pydantic walks the tables; what is said about a value is said in a recipe's words, with its place (``input[2].min``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scorer.wire.names import is_name

MAX_TABLES = 200  # of one kind in a recipe
MAX_TEXTS = 10_000  # in one list
_MAX_LINE, _MAX_TEXT = 500, 200  # characters of a line, and of one text in a list
_SHOWN = 80
#: Numbers are compared with it, not converted: JSON and TOML may hold a whole number that no float can.
_LARGEST = sys.float_info.max

T = TypeVar("T")


class Part(BaseModel):
    """One table of a recipe. Attributes are called as the product calls them, keys (aliases) as the file does."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)

    #: Keys that are written even where they say what their absence would.
    always: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, raw: object) -> object:
        if not isinstance(raw, Mapping):
            raise _said(f"is {type(raw).__name__}, not a table")
        known = sorted(info.alias or name for name, info in cls.model_fields.items())
        unknown = sorted(str(key)[:40] for key in raw if key not in known)
        if unknown:
            raise _said(f"has the unknown key {unknown[0]!r}; known: {', '.join(known)}")
        return raw

    def __copy__(self) -> Self:
        """Leave behind what is cached: a copy may change what that was made of."""
        copied = super().__copy__()
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @model_serializer(mode="wrap")
    def _brief(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the keys whose absence says the same."""
        written: dict[str, Any] = write(self)
        silent = {
            info.alias or name
            for name, info in type(self).model_fields.items()
            if not info.is_required() and getattr(self, name) == info.default
        }
        return {key: value for key, value in written.items() if key not in silent - self.always}


def complaint(error: ValidationError, where: str) -> str:
    """Say what is wrong first of all, with its place below ``where``."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = list(first["loc"])
    told = first["msg"]
    if first["type"] == "missing":
        told = f"has no {str(place.pop())!r}"
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place) + f" {told}"


def _said(text: str) -> PydanticCustomError:
    return PydanticCustomError("recipe", "{text}", {"text": text})


def _wrong(value: object, wanted: str) -> PydanticCustomError:
    return _said(f"is {_shown(value)}; it must be {wanted}")


def _shown(value: object) -> str:
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    try:
        return repr(str(value)[:_SHOWN])
    except ValueError:  # Python prints no number of thousands of digits
        return "a number of very many digits"


def _line(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_LINE or "\n" in value:
        raise _wrong(value, "one line of text")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise _wrong(value, "a name (lower-case letters, digits, underscores)")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise _wrong(value, "a finite number")
    return float(value)


def _texts(value: object) -> tuple[str, ...]:
    return _list_of(_text, value, f"a list of at most {MAX_TEXTS} texts", MAX_TEXTS)


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise _said(f"holds {_shown(value)}; it must hold texts of 1 to {_MAX_TEXT} characters")
    return value


def _list_of(check: Callable[[object], T], value: object, wanted: str, most: int) -> tuple[T, ...]:
    if not isinstance(value, list | tuple) or len(value) > most:
        raise _wrong(value, wanted)
    return tuple(check(one) for one in value)


def _tables(value: object) -> tuple[object, ...]:
    return _list_of(lambda one: one, value, f"a list of at most {MAX_TABLES} tables", MAX_TABLES)


def _choice(choices: tuple[str, ...], value: object) -> str:
    if not isinstance(value, str) or value not in choices:
        raise _wrong(value, "one of " + ", ".join(choices))
    return value


def _whole(low: int, high: int, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(value, f"a whole number from {low} to {high}")
    return value


def _wholes(low: int, high: int, value: object) -> tuple[int, ...]:
    wanted = f"a list of whole numbers from {low} to {high}"

    def check(one: object) -> int:
        if isinstance(one, bool) or not isinstance(one, int) or not low <= one <= high:
            raise _said(f"holds {_shown(one)}; it must be {wanted}")
        return one

    return _list_of(check, value, wanted, high - low + 1)


Line = Annotated[str, BeforeValidator(_line)]
Name = Annotated[str, BeforeValidator(_name)]
Number = Annotated[float, BeforeValidator(_number)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Tables = BeforeValidator(_tables)


def choice(*choices: str) -> BeforeValidator:
    """Check that a value is one of ``choices``."""
    return BeforeValidator(partial(_choice, choices))


def whole(low: int, high: int) -> BeforeValidator:
    """Check that a value is a whole number from ``low`` to ``high``."""
    return BeforeValidator(partial(_whole, low, high))


def wholes(low: int, high: int) -> BeforeValidator:
    """Check that a value is a list of whole numbers from ``low`` to ``high``, no longer than there are such numbers."""
    return BeforeValidator(partial(_wholes, low, high))
