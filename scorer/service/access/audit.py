"""The audit record of this home: who made, changed or removed keys, models, scores and settings.

It is a hash chain in <home>/audit (`scorer.chain`). A command that changes something is refused while its entry could
not be written; what serves callers goes on and says so in its log.
"""

from __future__ import annotations

import math
import os
import pwd
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scorer.chain import CONTENT_BYTES, Chain, Head, canonical
from scorer.logs import get_log
from scorer.service.settings import Settings
from scorer.wire.errors import QScoreError

#: Every event, and what it says happened.
EVENTS = {
    "key_made": "an API key was made",
    "key_revoked": "an API key was revoked",
    "key_rotated": "an API key got a successor; both serve until the old one ends",
    "key_expired": "an API key was presented after its end",
    "queue_key_made": "a key was made that seals what lies on the queue",
    "queue_key_rotated": "the queue's key got a successor; the old one opens seals until it ends",
    "token_issued": "a key got a short-lived token",
    "published": "a model was signed and put into the registry",
    "promoted": "an alias of a model was set",
    "live_changed": "a gateway saw that another version of a model is live",
    "resigned": "versions and aliases were signed again with the present key",
    "signing_key_made": "a signing key was made and trusted",
    "signing_key_trusted": "a public key was added to the trusted ones, or its end was set",
    "signing_key_revoked": "a trusted public key was revoked",
    "dead_replayed": "dead letters were sent to their sink again",
    "dead_purged": "dead letters were deleted",
    "started": "a process began, with settings whose digest is given; those that differ from its last start are named",
    "drained": "the machine was told to finish its work and take no more",
    "disabled": "scoring with a model, or with all, was switched off",
    "enabled": "scoring with a model, or with all, was switched on again",
    "backed_up": "the home was copied into an archive, with or without private keys",
    "restored": "the home was unpacked from an archive",
    "score_conflict": "a second, different value came under the id of a score that was written before",
}
_NO_LOGIN = 2**32 - 1  # what the kernel says of a process that nobody's login began
_MOST_TEXT = 500  # characters
_MOST_PARTS = 200
_NAME = re.compile(r"[a-z][a-z_]{1,39}\Z")


@dataclass(frozen=True)
class Caller:
    """Who asks over the network. ``key``: the id of the API key. ``address``: where the connection comes from."""

    key: str
    address: str


@dataclass
class Note:
    """Facts of an entry that come to light while the thing is done."""

    facts: dict[str, Any] = field(default_factory=dict)


def record(settings: Settings) -> Chain:
    """Open the audit record of a home."""
    return Chain(settings.audit_dir)


def audit(settings: Settings, event: str, /, by: Caller | None = None, **facts: Any) -> Head:
    """Write an entry. ``by``: None for the user of the operating system who runs this program.

    Facts are texts, numbers, lists and mappings of them; never keys, tokens or values of rows. Raises
    ConfigurationError or ChainBroken where the record cannot be written, ValueError for an event that is none.
    """
    if event not in EVENTS or not _NAME.match(event):
        raise ValueError(f"{event!r} is not an event of the audit record")
    shown = {name: _shown(value) for name, value in facts.items()}
    content = {"event": event, "by": _who(by), "facts": shown}
    if len(canonical(content)) > CONTENT_BYTES:
        content["facts"] = {"left_out": [name[:40] for name in shown]}
    return record(settings).append(content)


@contextmanager
def audited(settings: Settings, event: str, /, by: Caller | None = None, **facts: Any) -> Iterator[Note]:
    """Do something that the record has to show: nothing is done while the record cannot be written.

    The entry is written afterwards, with what was added to the note; of what failed it says so. Raises
    ConfigurationError or ChainBroken where the record cannot be written.
    """
    record(settings).check()
    note = Note(dict(facts))
    try:
        yield note
    except BaseException as error:
        audit_quietly(settings, event, by, **note.facts, failed=_fault(error))
        raise
    audit(settings, event, by, **note.facts)


def audit_quietly(settings: Settings, event: str, /, by: Caller | None = None, **facts: Any) -> None:
    """Write an entry where callers wait: a record that cannot be written is an error in the log and stops nobody."""
    try:
        audit(settings, event, by, **facts)
    except QScoreError as error:
        get_log().error("audit_not_written", audit_event=event, reason=error.sentence())


def _fault(error: BaseException) -> str:
    return error.code if isinstance(error, QScoreError) else type(error).__name__


def _who(by: Caller | None) -> dict[str, Any]:
    program = {"program": _program()[:60], "pid": os.getpid()}
    if by is not None:
        return {"key": by.key[:80], "address": by.address[:80], **program}
    login = _login()
    return {"user": _user_name(os.geteuid()), **({"login": login} if login else {}), **program}


def _program() -> str:
    """Name the program: `python -m scorer.service.gateway` is the gateway."""
    path = Path(sys.argv[0] or "python")
    return path.parent.name if path.name == "__main__.py" else path.name


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _login() -> str:
    """Say whose login this is, which sudo and su do not change; "" where the kernel does not know."""
    try:
        number = int(Path("/proc/self/loginuid").read_text("ascii"))
    except (OSError, ValueError):
        return ""
    return "" if number == _NO_LOGIN else _user_name(number)


def _shown(value: Any) -> Any:
    """Bound a fact: a long text is cut, so that no entry outgrows its line."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {str(name)[:100]: _shown(inner) for name, inner in list(value.items())[:_MOST_PARTS]}
    if isinstance(value, list | tuple):
        return [_shown(inner) for inner in value[:_MOST_PARTS]]
    return str(value)[:_MOST_TEXT]
