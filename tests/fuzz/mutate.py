"""Inputs made from valid ones: bytes that are changed, and decoded values of which one part is replaced."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_WORDS = (
    b"\x00",
    b"\xff",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\r\n",
    b'"',
    b'""',
    b"'",
    b",",
    b":",
    b"\\",
    b"=",
    b"|",
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b"%",
    b"$",
    b"-",
    b"+",
    b"e",
    b".",
    b"0",
    b"9" * 400,
    b"1e400",
    b"-1e400",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\x1b[31m",
    b"[" * 3000,
    b"{" * 3000,
    b"(" * 3000,
    b'{"a":' * 1500,
    b"\x91" * 2000,
    b"\x81\xa1a" * 1000,
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"../../x",
)
#: In the place of this text stand lists in lists, about as deep as Python's parser lets pass.
_DEEP = "deep lists stand here"
_NESTED: Any = None
for _ in range(200):
    _NESTED = [_NESTED]
#: What a part of a decoded value is replaced by.
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63),
    10**400,
    -(10**400),
    0.5,
    -0.0,
    1e308,
    -1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "x",
    "0",
    "-1",
    "1e400",
    "nan",
    "\x00",
    "\ud800",
    "\x1b[2J",
    "é" * 300,
    "a" * 5000,
    "../x",
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    {"": None},
    _NESTED,
    _DEEP,
    _DEEP,
    [0] * 300,
    [""] * 300,
    b"",
    b"\xff" * 9,
)


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change one of the seeds by one to four steps."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        chance.choice(_STEPS)(data, seeds, chance)
    return bytes(data)


def mutated_json(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change a seed of JSON: in half of the cases one part of its value, else its bytes."""
    if chance.random() < 0.5:
        return mutated(seeds, chance)
    value = replaced(json.loads(chance.choice(seeds)), chance)
    text = json.dumps(value, default=lambda other: other.decode("latin-1"))
    deep = chance.randint(700, 1000)
    return text.replace(f'"{_DEEP}"', "[" * deep + "]" * deep).encode("utf-8", "surrogatepass")


def mutated_msgpack(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Change a seed of msgpack: in half of the cases one part of its value, else its bytes."""
    if chance.random() < 0.5:
        return mutated(seeds, chance)
    value = replaced(msgpack.unpackb(chance.choice(seeds)), chance)
    try:
        return bytes(msgpack.packb(value, unicode_errors="surrogatepass"))
    except (OverflowError, ValueError, TypeError):  # a number or a depth that msgpack has no form for
        return mutated(seeds, chance)


def replaced(value: Any, chance: random.Random) -> Any:
    """Replace, drop, double or rename one part of a decoded value, which is not changed itself."""
    if not isinstance(value, list | dict) or not value or chance.random() < 0.15:
        return chance.choice(_VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    changed = value.copy()
    what = chance.random()
    if what < 0.75:
        changed[key] = replaced(value[key], chance)
    elif what < 0.85:
        del changed[key]
    elif isinstance(changed, list):
        changed.insert(key, chance.choice((value[key], *_VALUES[:3])))
    else:
        changed[chance.choice(("", "x", "version", "\x00", "a" * 300))] = changed.pop(key)
    return changed


def _flip(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _insert(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randint(0, len(data))
    data[at:at] = chance.choice(_WORDS)


def _overwrite(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    at, word = chance.randint(0, len(data)), chance.choice(_WORDS)
    data[at : at + len(word)] = word


def _cut(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    del data[start : start + chance.choice((1, 2, 4, 8, 64, len(data)))]


def _double(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    part = data[start : start + chance.choice((1, 4, 16, 64))] * chance.choice((1, 2, 50))
    data[start:start] = part


def _splice(data: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(seeds)
    at = chance.randint(0, len(other))
    data[chance.randint(0, len(data)) :] = other[at:]


def _number(data: bytearray, _seeds: Sequence[bytes], chance: random.Random) -> None:
    """Put a number of 1 to 8 bytes at a place that is a multiple of 4, where binary formats keep theirs."""
    form = chance.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
    packed = struct.pack(form, chance.choice(_NUMBERS) & (256 ** struct.calcsize(form) - 1))
    at = 4 * chance.randint(0, len(data) // 4)
    data[at : at + len(packed)] = packed


_STEPS: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    *(_flip, _flip, _set, _set, _insert, _insert, _overwrite, _cut, _double, _splice, _number, _number),
)
