"""How loops are compiled, and where the result is kept: below the package's ``__pycache__``.

The folder is named after the sources' digest (numba itself would look at the age of one file only). Who can write there
can change the program anyway; where this process cannot, it compiles for itself, which takes some seconds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

#: Multiply and add may become one instruction; nothing else about the arithmetic is relaxed.
_FAST_MATH = {"contract"}


def _cache_folder() -> Path | None:
    """Make the folder of compiled code; None where nothing can be written."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.glob("*.py")):
        digest.update(source.read_bytes())
    folder = package / "__pycache__" / f"compiled-{digest.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


_CACHE = _cache_folder()
if _CACHE is not None:
    _settings: Any = numba.config  # whose attributes numba makes while it is loaded
    _settings.CACHE_DIR = str(_CACHE)


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, or load what an earlier process compiled; runs without the interpreter's lock."""
    made: Callable[P, R] = numba.njit(nogil=True, fastmath=_FAST_MATH, error_model="numpy", cache=_CACHE is not None)(
        function
    )
    return made


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile into the loop that calls it."""
    made: Callable[P, R] = numba.njit(inline="always", fastmath=_FAST_MATH)(function)
    return made
