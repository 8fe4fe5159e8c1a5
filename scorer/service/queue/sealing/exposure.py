"""Queue servers that others can write to while nothing there is sealed: what every process and check warns of."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scorer.logs import get_log
from scorer.service.queue.broker import Server, embedded, given_url, is_loopback, servers, shown_url
from scorer.service.settings import Settings

REMEDY = (
    "Make a key with `qscore key queue new`, copy it to every machine with a gateway, worker or connector, and set "
    "queue_key_file there (docs/operations.md, Many machines)."
)


def exposures(settings: Settings) -> tuple[str, ...]:
    """Say of each server of the queue who could forge what lies there; nothing of those that are sealed or private."""
    if settings.queue_key_file is not None:
        return ()
    found = ((shown_url(settings, server), _writers(settings, server)) for server in servers(settings))
    return tuple(
        f"what lies on {url} is not sealed (no queue_key_file): {who} can forge batches, scores and rows to write"
        for url, who in found
        if who
    )


def warn_of_exposures(settings: Settings) -> None:
    """Log them; for the start of a process."""
    for sentence in exposures(settings):
        get_log().warning("queue_not_sealed", reason=sentence, remedy=REMEDY)


def _writers(settings: Settings, server: Server) -> str:
    """Name those who could write to a server beside qscore; empty where nobody can."""
    if embedded(settings, server):
        return ""
    parts = urlsplit(given_url(settings, server))
    if parts.scheme == "redis+socket":
        open_socket = _open_to_others(Path(unquote(parts.netloc + parts.path)))
        return "other users of this machine" if open_socket else ""
    who = "other users of this machine" if is_loopback(parts.hostname or "localhost") else "others who reach it"
    return f"{who} and have its password" if parts.password else who


def _open_to_others(socket: Path) -> bool:
    """Tell whether other users may connect to a socket; one that cannot be looked at counts as private."""
    try:
        return bool(socket.stat().st_mode & stat.S_IWOTH and socket.parent.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return False
