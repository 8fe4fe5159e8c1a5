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

from flask import Request, Response, g, request

from scorer.logs import get_log
from scorer.registry.cards import CardStore
from scorer.service.access import audit
from scorer.service.access.addresses import Proxies
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.callers import Caller
from scorer.service.access.last_use import LastUses, Use, UseFile
from scorer.service.access.lifetimes import DAY, shown, warning
from scorer.service.gateway.record.strangers import Strangers
from scorer.service.settings import Settings
from scorer.wire.errors import QScoreError
from scorer.wire.names import HEADER_BATCH, HEADER_ROWS, check_version, is_name

_BATCH = re.compile(r"(?!qs[kt]_)[A-Za-z0-9_.-]{8,80}\Z")  # a key in the wrong header is no batch's id
#: Endpoints whose served requests have lines; probes and scrapes have none.
_TOLD = frozenset({"score", "models", "model", "token"})
_OF_MODELS = frozenset({"score", "model"})


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

    def address(self, asked: Request) -> str:
        """Say from which address a request comes."""
        return self.proxies.client(asked.remote_addr or "", asked.headers.get(self.proxies.header))

    def account(self, response: Response, code: str) -> None:
        """Write the present request's line, where it has one."""
        now, address = time.time(), self.address(request)
        self._tell_silenced()
        self._warn(now)
        caller: Caller | None = g.get("caller")
        if caller is not None:
            self.uses.note(caller.key.id, Use(round(now, 3), address))
            self._audit(caller, address, now)
        served = response.status_code < 400
        if served and request.endpoint not in _TOLD:
            return
        if caller is None and not served and not self.strangers.lines(address, time.monotonic()):
            return
        get_log().info("request", **_who(caller, address), **_what(response.status_code, code), **self._asked(caller))

    def _asked(self, caller: Caller | None) -> dict[str, Any]:
        """Gather what the request asked for: once it was checked, else what a known caller said in the form for it."""
        found: dict[str, Any] = g.get("log") or (_said(request) if caller is not None else {})
        name = (request.view_args or {}).get("name")
        if "model" not in found and request.endpoint in _OF_MODELS and self._exists(name):
            found["model"] = name
        return found

    def _exists(self, name: object) -> bool:
        with contextlib.suppress(QScoreError, OSError):
            return is_name(name) and bool(self.cards.versions(str(name)))
        return False

    def _audit(self, caller: Caller, address: str, now: float) -> None:
        """Write down for good that a token was made, and once a day that a key is presented after its end."""
        by = audit.Caller(caller.key.id, address)
        if (token := g.get("issued")) is not None:
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


def _what(status: int, code: str) -> dict[str, Any]:
    return {
        "endpoint": request.endpoint or "none",
        "scope": g.get("scope", "-"),
        "decision": "served" if status < 400 else "refused" if status < 500 else "failed",
        "status": status,
        "code": code,
        "seconds": round(time.perf_counter() - g.started, 4),
    }


def _said(asked: Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if _BATCH.match(batch := asked.headers.get(HEADER_BATCH, "")):
        found["batch_id"] = batch
    with contextlib.suppress(QScoreError):
        found["version"] = check_version(asked.args.get("version", "live"))
    rows = asked.headers.get(HEADER_ROWS, "")
    if rows.isascii() and rows.isdigit() and len(rows) <= 9:
        found["rows"] = int(rows)
    return found
