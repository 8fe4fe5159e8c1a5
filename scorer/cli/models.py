"""`qscore models`: what the registry holds."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from scorer.cli import terminal
from scorer.registry.cards import CardStore
from scorer.registry.trusted import ending
from scorer.service.access.trust.anchors import known_cards
from scorer.service.settings import load_settings
from scorer.wire.card import ModelCard
from scorer.wire.errors import ArtifactRejected


def register(app: typer.Typer) -> None:
    """Add `qscore models`."""
    app.command("models")(models)


def models(
    as_json: Annotated[bool, typer.Option("--json", help="The whole cards, as JSON.")] = False,
) -> None:
    """List models and versions: what each was trained on, and which one searches use (live).

    A starter was trained on rows that qscore generated; it shows how things work and knows nothing of your network.

    \b
    Example:
      qscore models
    """
    settings = load_settings()
    store = known_cards(settings)
    cards = store.cards()
    if as_json:
        terminal.say(json.dumps([card.to_dict() for card in cards], indent=2))
    elif not cards:
        terminal.say("There is no model yet. `qscore train --model lateral` trains a starter.")
    else:
        terminal.console().print(_table(store, cards))
    for sentence in dict.fromkeys([fault.sentence() for fault in store.rejected()] + _refused_aliases(store)):
        terminal.say(f"qscore: {sentence}", err=True)
    for sentence in ending(settings.trusted_keys):
        terminal.say(f"qscore: {sentence}", err=True)


def _refused_aliases(store: CardStore) -> list[str]:
    return [sentence for name in store.names() if (sentence := _aliases(store, name)[1])]


def _aliases(store: CardStore, name: str) -> tuple[dict[str, str], str]:
    """A model's aliases, or why they are refused."""
    try:
        return store.aliases(name), ""
    except ArtifactRejected as fault:
        return {}, fault.sentence()


def _table(store: CardStore, cards: list[ModelCard]) -> Table:
    table = Table("model", "version", "alias", "rows are", "line (p-value)", "trained on")
    for card in cards:
        names = [alias for alias, version in _aliases(store, card.name)[0].items() if version == card.version]
        trained = ("[yellow]STARTER[/yellow] " if card.starter else "") + escape(card.trained_on)
        table.add_row(card.name, card.version, ", ".join(names), f"{card.grain}s", f"{card.fpr:g}", trained)
    return table
