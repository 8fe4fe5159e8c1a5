"""Lets a request in by its head: who calls, whether that lives, has the scope, and may use the model."""

from __future__ import annotations

from collections.abc import Callable

from scorer.registry.cards import CardStore
from scorer.service.access.door.callers import Caller
from scorer.service.access.door.door import Door, Presented
from scorer.service.gateway.front.gate import RequestHead
from scorer.wire.card import ModelCard
from scorer.wire.errors import UnknownModel


def presented(head: RequestHead) -> Presented:
    """Read what a request presents."""
    return Presented(head.header("authorization"), head.peer.certificate)


def card_for(caller: Caller, cards: CardStore, name: str, reference: str) -> ModelCard:
    """Read a card for a caller. Raises ArtifactRejected, and UnknownModel, which names other models to those alone who
    may list them."""
    try:
        return cards.card(name, reference)
    except UnknownModel:
        if caller.lists_models or cards.versions(name):
            raise
        raise UnknownModel(f"there is no model {name}", "Ask whoever made your key which models there are.") from None


def enter(
    door: Door,
    head: RequestHead,
    scope: str,
    model: str | None = None,
    counted: Callable[[str], object] | None = None,
) -> Caller:
    """Find the caller, note it on the head, and check what it may do. ``counted``: is told whose key it is.

    Raises Unauthorised, Forbidden, Unavailable, and what ``counted`` does.
    """
    head.noted.scope = scope
    head.noted.caller = caller = door.caller(presented(head))
    if counted is not None:
        counted(caller.key.id)
    caller.check_alive()
    caller.check_scope(scope)
    if model is not None:
        caller.check_model(model)
    return caller
