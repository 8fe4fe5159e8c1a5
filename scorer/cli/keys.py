"""`qscore key`: the gateway's API keys, and by `qscore key queue` those of the queue."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.cli.trust import queue_keys
from scorer.service.access.api_keys import ApiKey, KeyFile, Terms, write_private
from scorer.service.access.audit import audited
from scorer.service.access.door.certificates import check_name
from scorer.service.access.door.tokens import Tokens
from scorer.service.access.last_use import Use, UseFile
from scorer.service.access.lifetimes import duration, expiry, shown, warning
from scorer.service.access.oidc.people import check_claim
from scorer.service.access.rights import SCOPES
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import BadOption, QScoreError

_SHARED = "(that of 0.1.0)"

keys_app = typer.Typer(
    help="API keys of the gateway: who may list models, score, and write scores back; and the queue's own keys.",
    no_args_is_help=True,
)
_WIDE = 240  # columns of a table that no terminal shows, so that a key stays on one line

Days = Annotated[int | None, typer.Option(help="Days after which the key ends.")]
Expires = Annotated[str, typer.Option(help="When the key ends, UTC: 2027-03-31 or 2027-03-31T12:00.")]
Never = Annotated[bool, typer.Option("--never", help="The key never ends.")]


def register(app: typer.Typer) -> None:
    """Add `qscore key`."""
    queue_keys.register(keys_app)
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
    days: Days = None,
    expires: Expires = "",
    never: Never = False,
    model: Annotated[list[str] | None, typer.Option(help="Bind it to this model. Repeat it; default: all.")] = None,
    index: Annotated[
        list[str] | None, typer.Option(help="Bind writing to this index of Splunk. Repeat it; default: all.")
    ] = None,
    elastic_namespace: Annotated[
        list[str] | None, typer.Option(help="Bind writing to this namespace of Elastic. Repeat it; default: all.")
    ] = None,
    certificate: Annotated[
        str,
        typer.Option(help="Whose client certificate it stands for: CN=..., dns:..., uri:..., email:... or sha256:..."),
    ] = "",
    claim: Annotated[
        str, typer.Option(help="Whom it stands for, by the identity provider's word: groups=soc-analysts.")
    ] = "",
) -> None:
    """Make a key and print it, once: only its hash is kept.

    With --certificate or --claim there is nothing to print: the certificate, or the provider's token, is the secret.

    The namespace enters the id of every score written with the key: keys of one namespace write the same score once,
    and no other key can write it in their place.

    A Splunk search head needs read and score; add --scope write where `| qscore write=true` is used. Without --days or
    --expires a key never ends.

    \b
    Examples:
      qscore key new --scope read --scope score --days 90 --note 'search head 1'
      qscore key new --scope score --scope write --model lateral --index qscore --note 'nightly'
    """
    settings = load_settings()
    end = expiry(time.time(), days, expires, never)
    stands_for = check_name(certificate) if certificate else "", check_claim(claim) if claim else ""
    if all(stands_for):
        raise BadOption("a key stands for a certificate or for people", "Give one of --certificate and --claim.")
    terms = Terms(end, tuple(model or ()), tuple(index or ()), tuple(elastic_namespace or ()), *stands_for)
    with audited(settings, "key_made") as made:
        key, secret = KeyFile(settings.api_keys).add(tuple(scope or ("read", "score")), note, namespace, terms)
        made.facts |= _facts(key)
    _print_new(key, secret)


@keys_app.command("list")
def list_keys() -> None:
    """Show the keys' ids, rights, ends, last uses and notes (never the keys).

    The gateway writes last uses down once a minute.

    \b
    Example:
      qscore key list
    """
    settings = load_settings()
    uses = UseFile.beside(settings.api_keys).read()
    keys = KeyFile(settings.api_keys).keys()
    table = Table("id", "scopes", "namespace", "bound to", "made (UTC)", "ends (UTC)", "last used (UTC)", "note")
    for key in keys:
        table.add_row(*_cells(key, uses.get(key.id)))
    console = terminal.console()
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)
    terminal.say("Scopes: " + "; ".join(f"{name}: {meaning}" for name, meaning in SCOPES.items()) + ".")
    for key in keys:
        if text := warning(key.id, key.expires, time.time()):
            terminal.say(f"Warning: {text}", err=True)


@keys_app.command("rotate")
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="An id that `qscore key list` shows.")],
    overlap: Annotated[str, typer.Option(help="How long the old key still works: 7d, 12h, 30m or 0s.")] = "7d",
    days: Days = None,
    expires: Expires = "",
    never: Never = False,
) -> None:
    """Make a key's successor, which may do the same, and print it; the old one ends after the overlap.

    Both write the same scores: the new key has the old one's namespace. It lives as long as the old one was made for,
    unless you say otherwise.

    \b
    Example:
      qscore key rotate 1a2b3c4d --overlap 7d
    """
    settings, now, length = load_settings(), time.time(), duration(overlap)
    keys = KeyFile(settings.api_keys)
    wanted = expiry(now, days, expires, never)
    if wanted is None and not never and (old := keys.get(key_id)) is not None and old.expires is not None:
        wanted = round(now + old.expires - old.created, 3)
    with audited(settings, "key_rotated", key=key_id) as made:
        ending, new, secret = keys.rotate(key_id, length, wanted)
        made.facts |= {"successor": _facts(new), "ends": shown(ending.expires)}
    if _is_local(settings, ending):
        write_private(settings.local_key, secret.encode() + b"\n")
        terminal.say(f"key {new.id} replaces {ending.id} in {settings.local_key}", err=True)
    else:
        _print_new(new, secret)
    terminal.say(f"key {ending.id} works until {shown(ending.expires)} UTC.", err=True)


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
    _end_tokens(settings, key.id)


def _print_new(key: ApiKey, secret: str) -> None:
    stands_for = key.certificate or key.claim
    terminal.say(f"key {key.id} stands for {stands_for}" if stands_for else secret)
    bound = key.rights.bindings()
    may = ", ".join(key.scopes) + (f" ({bound})" if bound else "")
    ends = "It never ends" if key.expires is None else f"It ends at {shown(key.expires)} UTC"
    shown_again = "" if stands_for else ", and is not shown again"
    terminal.say(f"key {key.id} (namespace {key.namespace or _SHARED}) may: {may}. {ends}{shown_again}.", err=True)


def _facts(key: ApiKey) -> dict[str, Any]:
    """Write what the audit record says of a key."""
    facts = {"key": key.id, "scopes": key.scopes, "namespace": key.namespace, "note": key.note}
    ends = shown(key.expires) if key.expires is not None else ""
    more = {"bound": key.rights.bindings(), "certificate": key.certificate, "claim": key.claim, "ends": ends}
    return facts | {name: text for name, text in more.items() if text}


def _end_tokens(settings: Settings, key_id: str) -> None:
    """Take its tokens from gateways with a key file of their own, too; this machine's refuses them already."""
    try:
        Tokens(redis_client(settings, server=FAST), 0).end(key_id)
    except QScoreError:
        if settings.broker_url:
            terminal.say("The queue did not answer: gateways elsewhere take its tokens up to 15 minutes.", err=True)


def _cells(key: ApiKey, use: Use | None) -> tuple[str | Text, ...]:
    last = f"{shown(use.at)} from {use.address}" if use else "-"
    stands_for = [f"for {name}" for name in (key.certificate, key.claim) if name]
    bound = Text("; ".join([*stands_for, key.rights.bindings()]).strip("; ") or "-")
    scopes, namespace = ", ".join(key.scopes), key.namespace or _SHARED
    return key.id, scopes, namespace, bound, shown(key.created), shown(key.expires), Text(last), Text(key.note)


def _is_local(settings: Settings, key: ApiKey) -> bool:
    """Tell whether it is the key of the commands on this machine."""
    path = settings.local_key
    return path.is_file() and KeyFile(settings.api_keys).find(path.read_text("ascii").strip()) == key
