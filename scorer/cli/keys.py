"""`qscore key`: the gateway's API keys."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.service.access.api_keys import SCOPES, KeyFile
from scorer.service.access.audit import audited
from scorer.service.settings import load_settings

_SHARED = "(that of 0.1.0)"

keys_app = typer.Typer(
    help="API keys of the gateway: who may list models, score, and write scores back.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add `qscore key`."""
    app.add_typer(keys_app, name="key")


@keys_app.command("new")
def new(
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What the key may do: read, score or write. Repeat it; default: read and score."),
    ] = None,
    note: Annotated[str, typer.Option(help="Whose key it is, for `qscore key list`.")] = "",
    namespace: Annotated[
        str | None,
        typer.Option(help="Whose scores it writes: a key that replaces another takes its namespace. Default: its own."),
    ] = None,
) -> None:
    """Make a key and print it, once: only its hash is kept.

    The namespace enters the id of every score written with the key: keys of one namespace write the same score once,
    and no other key can write it in their place.

    A Splunk search head needs read and score; add --scope write where `| qscore write=true` is used.

    \b
    Example:
      qscore key new --scope read --scope score --scope write --note 'search head 1'
    """
    settings = load_settings()
    with audited(settings, "key_made") as made:
        key, secret = KeyFile(settings.api_keys).add(tuple(scope or ("read", "score")), note, namespace)
        made.facts |= {"key": key.id, "scopes": key.scopes, "namespace": key.namespace, "note": key.note}
    terminal.say(secret)
    may = ", ".join(key.scopes)
    terminal.say(f"key {key.id} (namespace {key.namespace}) may: {may}. It is not shown again.", err=True)


@keys_app.command("list")
def list_keys() -> None:
    """Show the keys' ids, scopes and notes (never the keys).

    \b
    Example:
      qscore key list
    """
    table = Table("id", "scopes", "namespace", "made (UTC)", "note")
    for key in KeyFile(load_settings().api_keys).keys():  # noqa: SIM118  # a method, not a mapping
        made = dt.datetime.fromtimestamp(key.created, dt.UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(key.id, ", ".join(key.scopes), key.namespace or _SHARED, made, Text(key.note))
    terminal.console().print(table)
    terminal.say("Scopes: " + "; ".join(f"{name}: {meaning}" for name, meaning in SCOPES.items()) + ".")


@keys_app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="An id that `qscore key list` shows.")]) -> None:
    """Take a key back; the gateway refuses it from its next request on.

    \b
    Example:
      qscore key revoke 1a2b3c4d
    """
    settings = load_settings()
    with audited(settings, "key_revoked", key=key_id):
        key = KeyFile(settings.api_keys).revoke(key_id)
    terminal.say(f"key {key.id} is revoked{f' ({key.note})' if key.note else ''}")
