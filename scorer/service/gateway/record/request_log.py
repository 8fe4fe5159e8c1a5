"""One structured line for each request that somebody may have to answer for: who, from where, what, and the decision.

Every request that is refused or fails has a line, and every one that reads cards, scores or makes tokens. Fields hold
what matched its pattern or the code's own words: never a key, a feature value or whatever else a caller made up.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Any

from scorer.logs import get_log
from scorer.registry.cards import CardStore
from scorer.service.access import audit
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.door.addresses import Proxies
from scorer.service.access.door.callers import Caller
from scorer.service.access.door.tokens import Token
from scorer.service.access.last_use import LastUses, Use, UseFile
from scorer.service.access.lifetimes import DAY, shown, warning
from scorer.service.gateway.front.gate import RequestHead
from scorer.service.gateway.record.strangers import Strangers
from scorer.service.gateway.request_checks import BATCH_ID, arguments
from scorer.service.settings import Settings
from scorer.wire.errors import QScoreError
from scorer.wire.names import HEADER_BATCH, HEADER_ROWS, check_version, is_name

#: Endpoints whose served requests have lines; probes and scrapes have none.
_TOLD = frozenset({"score", "models", "model", "token"})
_MODEL = re.compile(r"/v1/models/([^/]+)(?:/score)?\Z")


@dataclass(frozen=True)
class Line:
    """One request that ended. ``endpoint``: the route's name, None where none is known. ``code``: ok or a problem's."""

    endpoint: str | None
    status: int
    code: str
    seconds: float


@dataclass
class RequestLog:
    """Writes the lines of one gateway, and notes its keys' last uses and coming ends."""

    settings: Settings
    keys: KeyFile
    proxies: Proxies
    uses: LastUses
    strangers: Strangers
    cards: CardStore
    _warned: float = 0.0
    _expired: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, keys: KeyFile, cards: CardStore) -> RequestLog:
        gateway = settings.gateway
        proxies = Proxies(gateway.trusted_proxies, gateway.forwarded_header)
        uses = LastUses(UseFile.beside(keys.path), lambda: [key.id for key in keys.keys()])  # noqa: SIM118
        return cls(settings, keys, proxies, uses, Strangers(), cards)

    def address(self, head: RequestHead) -> str:
        """Say from which address a request comes."""
        return self.proxies.client(head.peer.address, head.header(self.proxies.header))

    def write(self, head: RequestHead, line: Line) -> None:
        """Write a request's line, where it has one, and what else is written down of it."""
        now, address, caller = time.time(), self.address(head), head.noted.caller
        self._tell_silenced()
        self._warn(now)
        if caller is not None:
            self.uses.note(caller.key.id, Use(round(now, 3), address))
            self._audit(caller, head.noted.issued, address, now)
        served = line.status < 400
        if served and line.endpoint not in _TOLD:
            return
        if caller is None and not served and not self.strangers.lines(address, time.monotonic()):
            return
        get_log().info("request", **_who(caller, address), **_what(line, head.noted.scope), **self._asked(head))

    def _asked(self, head: RequestHead) -> dict[str, object]:
        """Gather what the request asked for: once it was checked, else what a known caller said in the form for it."""
        if head.noted.about:
            return dict(head.noted.about)
        found = _said(head) if head.noted.caller is not None else {}
        name = _MODEL.match(head.path)
        return found | {"model": name[1]} if name is not None and self._exists(name[1]) else found

    def _exists(self, name: str) -> bool:
        with contextlib.suppress(QScoreError, OSError):
            return is_name(name) and bool(self.cards.versions(name))
        return False

    def _audit(self, caller: Caller, token: Token | None, address: str, now: float) -> None:
        """Write down for good that a token was made, and once a day that a key is presented after its end."""
        by = audit.Caller(caller.key.id, address)
        if token is not None:
            facts = {"scopes": token.scopes, "bound": token.rights.bindings(), "ends": shown(token.expires)}
            audit.audit_quietly(self.settings, "token_issued", by, **facts, how=caller.how, subject=caller.subject)
        ended = caller.key.expires is not None and caller.key.expires <= now
        if ended and now - self._expired.get(caller.key.id, 0.0) > DAY:
            self._expired[caller.key.id] = now
            audit.audit_quietly(self.settings, "key_expired", by, ended=shown(caller.key.expires))

    def _tell_silenced(self) -> None:
        for address, requests in self.strangers.silenced(time.monotonic()):
            get_log().warning("requests_without_lines", address=address, requests=requests)

    def _warn(self, now: float) -> None:
        """Name, once a day, the keys that have ended or soon will."""
        if now - self._warned < DAY:
            return
        self._warned = now
        with contextlib.suppress(QScoreError):  # a damaged file is said by the request that meets it
            for key in self.keys.keys():  # noqa: SIM118  # a method, not a mapping
                if text := warning(key.id, key.expires, now):
                    get_log().warning("key_ends", key_id=key.id, detail=text)


def _who(caller: Caller | None, address: str) -> dict[str, Any]:
    if caller is None:
        return {"key_id": "-", "address": address}
    person = {"subject": caller.subject} if caller.subject else {}
    return {"key_id": caller.key.id, "address": address, "how": caller.how, **person}


def _what(line: Line, scope: str) -> dict[str, Any]:
    return {
        "endpoint": line.endpoint or "none",
        "scope": scope,
        "decision": "served" if line.status < 400 else "refused" if line.status < 500 else "failed",
        "status": line.status,
        "code": line.code,
        "seconds": round(line.seconds, 4),
    }


def _said(head: RequestHead) -> dict[str, object]:
    found: dict[str, object] = {}
    if BATCH_ID.match(batch := head.header(HEADER_BATCH) or ""):
        found["batch_id"] = batch
    with contextlib.suppress(QScoreError):
        found["version"] = check_version(arguments(head.query).get("version", "live"))
    rows = head.header(HEADER_ROWS) or ""
    if rows.isascii() and rows.isdigit() and len(rows) <= 9:
        found["rows"] = int(rows)
    return found
