"""Files that hold one secret and nothing else: a key, a token, a password."""

from __future__ import annotations

from pathlib import Path

from scorer.files import read_file
from scorer.wire.errors import ConfigurationError

_MOST = 4096  # characters


def read_secret(path: Path, setting: str, what: str = "key") -> str:
    """Read the one line in ``path``, which ``setting`` names and which is a ``what``.

    A link serves where it stays in its folder, as in a mounted Kubernetes Secret. Raises ConfigurationError when
    others may read the file or it holds something else.
    """
    called, remedy = f"{setting} {path}", f"It must hold the {what} alone, on one line."
    content = read_file(path, _MOST, ConfigurationError, inside=path.parent, secret=True, name=called)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{called} cannot be read: {error}", remedy) from None
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigurationError(f"{called} holds no {what}", remedy)
    return text
