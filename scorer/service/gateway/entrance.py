"""Lets a request in by its head: who calls, whether that lives, has the scope, and may use the model."""

from __future__ import annotations

from scorer.service.access.callers import Caller
from scorer.service.access.door import Door, Presented
from scorer.service.gateway.front.gate import RequestHead


def presented(head: RequestHead) -> Presented:
    """Read what a request presents."""
    return Presented(head.header("authorization"), head.peer.certificate)


def enter(door: Door, head: RequestHead, scope: str, model: str | None = None) -> Caller:
    """Find the caller, note it on the head, and check what it may do. Raises Unauthorised, Forbidden, Unavailable."""
    head.noted.scope = scope
    head.noted.caller = caller = door.caller(presented(head))
    caller.check_alive()
    caller.check_scope(scope)
    if model is not None:
        caller.check_model(model)
    return caller
