"""What gateway and workers do about the models' trust beside reading them: they remember, warn and record."""

from __future__ import annotations

import os
import threading
import time

from scorer.logs import get_log
from scorer.registry.cards import CardStore
from scorer.registry.seen import SeenAliases
from scorer.registry.trusted import ending
from scorer.service.access.audit import audit_quietly
from scorer.service.settings import Settings

_LOOK_SECONDS = 6 * 3600.0


def seen_aliases(settings: Settings) -> SeenAliases:
    """Open the memory of a service: what it sees of aliases is remembered by this machine."""
    return SeenAliases(settings.seen_aliases, writes=True)


def gateway_cards(settings: Settings) -> CardStore:
    """Open the models for a gateway, which also records that another version is live."""

    def changed(name: str, before: str, now: str) -> None:
        audit_quietly(settings, "live_changed", model=name, before=before, now=now)

    return CardStore(settings.registry, settings.trusted_keys, seen_aliases(settings), changed)


def known_cards(settings: Settings) -> CardStore:
    """Open the models for a command: old aliases are refused, and nothing new is remembered."""
    return CardStore(settings.registry, settings.trusted_keys, SeenAliases(settings.seen_aliases))


def close_to_group(settings: Settings) -> None:
    """Take the group's write bit from this user's folders of models and trusted keys in the home.

    0.1.0 made them by the umask, which gives the group that bit on many systems, and readers refuse such folders. What
    everybody may write is left as it is, and refused: somebody may have used that.
    """
    for top in (settings.registry, settings.trusted_keys):
        if top.is_relative_to(settings.home) and top.is_dir():
            for folder in (top, *(path for path in top.rglob("*") if path.is_dir() and not path.is_symlink())):
                status = folder.stat()
                if status.st_uid == os.geteuid() and status.st_mode & 0o022 == 0o020:
                    folder.chmod(status.st_mode & ~0o020 & 0o7777)


def log_ends(settings: Settings) -> None:
    """Log which signing keys end within thirty days, or have ended."""
    for sentence in ending(settings.trusted_keys):
        get_log().warning("signing_key_ends", reason=sentence)


def keep_logging_ends(settings: Settings) -> None:
    """Log now, and every six hours, which signing keys end within thirty days, or have ended."""

    def look() -> None:
        while True:
            log_ends(settings)
            time.sleep(_LOOK_SECONDS)

    threading.Thread(target=look, name="signing-keys", daemon=True).start()
