"""A strict reader of Splunk conf files: stanzas, `key = value`, comments, backslash continuations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scorer.splunk_preview.errors import ConfError

Conf = Mapping[str, Mapping[str, str]]


def read_conf(path: Path) -> Conf:
    """Stanza name -> key -> value. Raises ConfError naming file and line; an absent file is an error too."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(f"{path} cannot be read: {error}", "Name the app's folder that holds default/.") from None
    return parse_conf(text, path.name)


def parse_conf(text: str, name: str = "conf") -> Conf:
    """As read_conf, from text. A continued value keeps its line breaks, as Splunk does."""
    stanzas: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    for number, line in _logical_lines(text):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{name}, line {number}"
        if line.startswith("["):
            stanza = _stanza(line, where)
            if stanza in stanzas:
                raise ConfError(f"{where}: stanza [{stanza}] stands there twice")
            current = stanzas[stanza] = {}
        elif current is None:
            raise ConfError(f"{where}: {line.strip()[:60]!r} stands before the first stanza")
        else:
            _set(current, line, where)
    return stanzas


def stale_macros(text: str, folder: Path) -> list[str]:
    """Name the macros of ``text`` that the app in ``folder`` lacks or defines otherwise; local/ wins over default/.

    Raises ConfError for a macros.conf that cannot be read.
    """
    files = [folder / place / "macros.conf" for place in ("default", "local")]
    held: dict[str, Mapping[str, str]] = {}
    for file in files:
        if file.exists() or file is files[0]:
            held |= {name: {**held.get(name, {}), **keys} for name, keys in read_conf(file).items()}
    return [name for name, keys in parse_conf(text).items() if _one_line(keys) != _one_line(held.get(name, {}))]


def _one_line(keys: Mapping[str, str]) -> dict[str, str]:
    return {key: " ".join(value.split()) for key, value in keys.items()}


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """(number of its first line, line) with continued lines joined by a line break."""
    lines: list[tuple[int, str]] = []
    pending: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        comment = not pending and line.lstrip().startswith("#")
        continued = line.endswith("\\") and not comment
        pending.append(line[:-1] if continued else line)
        if not continued:
            lines.append((number - len(pending) + 1, "\n".join(pending)))
            pending = []
    if pending:
        raise ConfError(f"the last line continues with a backslash into nothing: {pending[0][:60]!r}")
    return lines


def _stanza(line: str, where: str) -> str:
    text = line.rstrip()
    if not text.endswith("]") or len(text) < 3:
        raise ConfError(f"{where}: {text[:60]!r} is no stanza")
    return text[1:-1]


def _set(stanza: dict[str, str], line: str, where: str) -> None:
    key, equals, value = line.partition("=")
    key = key.strip()
    if not equals or not key or " " in key:
        raise ConfError(f"{where}: {line.strip()[:60]!r} is no `key = value`")
    if key in stanza:
        raise ConfError(f"{where}: {key} stands there twice")
    stanza[key] = value.strip()
