"""Who a caller is: the key behind a request, what it may do now, and how it was presented."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from scorer.service.access.api_keys import ApiKey
from scorer.service.access.rights import Rights, Target
from scorer.wire.errors import Forbidden

How = Literal["key", "token", "certificate", "person"]


@dataclass(frozen=True)
class Caller:
    """A known caller. ``key``: whose line of ``api_keys.json`` it comes under; ended ones are known too.

    ``rights``: what it may do, at most what its key may. ``subject``: the person, where a provider named one.
    """

    key: ApiKey
    rights: Rights
    how: How
    subject: str = ""

    @property
    def name(self) -> str:
        """Name the caller in messages."""
        return f"key {self.key.id}" if self.how == "key" else f"the {self.how} of key {self.key.id}"

    @property
    def lists_models(self) -> bool:
        """Tell whether it may list all models."""
        return "read" in self.rights.scopes and self.rights.models is None

    def check_alive(self) -> None:
        """Raise Unauthorised when its key has ended."""
        self.key.check_alive(time.time())

    def check_scope(self, scope: str) -> None:
        """Raise Forbidden without this scope."""
        self.rights.check_scope(self.name, scope)

    def check_model(self, model: str) -> None:
        """Raise Forbidden where the caller is bound to other models."""
        self.rights.check_model(self.name, model)

    def check_write(self, target: Target) -> None:
        """Raise Forbidden where the caller may not write, or not there."""
        self.check_scope("write")
        self.rights.check_target(self.name, target)

    def check_submitter(self, submitter: str | None) -> None:
        """Raise Forbidden for an acknowledgement list that is not the caller's own: those begin with its key's id."""
        prefix = f"{self.key.id}:"
        if submitter is not None and not submitter.startswith(prefix):
            raise Forbidden(
                f"{self.name} may push onto acknowledgement lists of its own alone, not onto {submitter[:80]!r}",
                f"Begin X-QScore-Submitter with {prefix}, as in {prefix}nightly.",
            )
