"""What is found out about a request on its way through the gateway, for its line in the log and the audit record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scorer.service.access.door.callers import Caller
from scorer.service.access.door.tokens import Token


@dataclass
class Noted:
    """Facts of one request, as far as it came.

    ``caller``: who it is, ended or not; None: nobody known. ``scope``: what it needed. ``about``: its batch, checked.
    ``issued``: the token that it got.
    """

    caller: Caller | None = None
    scope: str = "-"
    about: Mapping[str, object] = field(default_factory=dict)
    issued: Token | None = None
