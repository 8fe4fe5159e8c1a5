"""Files that hold one secret and nothing else: a key, a token, a password."""

from __future__ import annotations

import stat
from pathlib import Path

from scorer.wire.errors import ConfigurationError

_MOST = 4096  # characters


def read_secret(path: Path, setting: str, what: str = "key") -> str:
    """Read the one line in ``path``, which ``setting`` names and which is a ``what``.

    Raises ConfigurationError when others may read the file or it holds something else.
    """
    remedy = f"It must hold the {what} alone, on one line."
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{setting} {path} cannot be read: {error}", remedy) from None
    if mode & 0o077:
        raise ConfigurationError(f"{setting} {path} may be read by others (mode {mode:o})", f"Run: chmod 600 {path}")
    if not text or len(text) > _MOST or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(f"{setting} {path} holds no {what}", remedy)
    return text
