"""`qscore trust`, `qscore promote`, `qscore resign`: whose signatures count, and which version is live.

The registry's whole models load NumPy, which the commands themselves import when they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.table import Table
from rich.text import Text

from scorer.cli import terminal
from scorer.files import read_file
from scorer.registry.keys import Signer
from scorer.registry.trusted import (
    KEY_FILE_CAP,
    TrustedKey,
    ending,
    last_moment,
    listed,
    parse_trusted,
    revoke,
    set_end,
)
from scorer.registry.trusted import trust as trust_key
from scorer.service.access.audit import audited
from scorer.service.settings import load_settings
from scorer.wire.errors import BadOption
from scorer.wire.names import ALIASES

_NotAfter = Annotated[str, typer.Option("--not-after", help="Last day of new signatures, such as 2027-11-30.")]
_KeyId = Annotated[str, typer.Argument(metavar="ID", help="An id that `qscore trust list` shows.")]


def register(app: typer.Typer) -> None:
    """Add `qscore trust`, `qscore promote` and `qscore resign`."""
    group = typer.Typer(
        help="Public keys whose signatures on models count: list, add, end, revoke.", no_args_is_help=True
    )
    for name, command in (("list", _list), ("new", _new), ("add", _add), ("end", _end), ("revoke", _revoke)):
        group.command(name)(command)
    app.add_typer(group, name="trust")
    app.command("promote")(promote)
    app.command("resign")(resign)


def _list() -> None:
    """Show the trusted keys: whether each still signs, until when, and whether it was revoked.

    \b
    Example:
      qscore trust list
    """
    settings = load_settings()
    table = Table("id", "state", "not after", "note")
    for key in listed(settings.trusted_keys):
        cells = _cells(key) if isinstance(key, TrustedKey) else ("", "refused", "", key.sentence())
        table.add_row(*(Text(str(cell)) for cell in cells))
    terminal.console().print(table)
    for sentence in ending(settings.trusted_keys):
        terminal.say(f"qscore: {sentence}", err=True)


def _new(not_after: _NotAfter = "", note: Annotated[str, typer.Option(help="Whose key it is.")] = "") -> None:
    """Make a new signing key for this home and trust it. The one before steps aside and stays trusted.

    Then `qscore resign --all`, carry trusted_keys/ and the registry to the other machines, and revoke the old key.

    \b
    Example:
      qscore trust new --not-after 2027-11-30
    """
    _check_date(not_after)
    settings = load_settings()
    with audited(settings, "signing_key_made", not_after=not_after) as made:
        signer = Signer.create(settings.signing_key, settings.trusted_keys, note[:200], not_after)
        made.facts["key"] = signer.key_id
    terminal.say(f"signing key {signer.key_id} in {settings.signing_key}; keep it private")


def _add(
    file: Annotated[Path, typer.Argument(help="A key's file from trusted_keys/ of the machine that signs.")],
    note: Annotated[str, typer.Option(help="Whose key it is.")] = "",
    not_after: _NotAfter = "",
) -> None:
    """Trust a key that another machine signs with.

    \b
    Example:
      qscore trust add 5f0c1d2e3a4b5c6d.json --note 'the data scientists'
    """
    _check_date(not_after)
    settings = load_settings()
    key = parse_trusted(read_file(file, KEY_FILE_CAP, BadOption))
    if key.revoked:
        raise BadOption(f"key {key.key_id} is revoked in that file", "Take the file of a key that still counts.")
    with audited(settings, "signing_key_trusted", key=key.key_id, not_after=not_after or key.not_after):
        public = Ed25519PublicKey.from_public_bytes(key.public_key)
        trust_key(public, settings.trusted_keys, note[:200] or key.note, not_after or key.not_after)
    terminal.say(f"key {key.key_id} is trusted: what it signed loads here")


def _end(key_id: _KeyId, not_after: Annotated[str, typer.Argument(metavar="DATE", help="Such as 2027-11-30.")]) -> None:
    """Set the last day on which a key signs something new. What it signed loads on until it is revoked.

    \b
    Example:
      qscore trust end 5f0c1d2e3a4b5c6d 2027-11-30
    """
    settings = load_settings()
    with audited(settings, "signing_key_trusted", key=key_id, not_after=not_after):
        key = set_end(key_id, settings.trusted_keys, not_after)
    terminal.say(f"key {key.key_id} signs nothing new after {key.not_after}")


def _revoke(key_id: _KeyId) -> None:
    """Revoke a key: nothing that it signed loads here from the next batch on. Sign again first what shall go on.

    \b
    Example:
      qscore trust revoke 5f0c1d2e3a4b5c6d
    """
    settings = load_settings()
    with audited(settings, "signing_key_revoked", key=key_id):
        key = revoke(key_id, settings.trusted_keys)
    terminal.say(f"key {key.key_id} is revoked; do the same on every machine with a copy of trusted_keys/")


def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model that `qscore models` lists.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="One of its versions, or shadow.")],
    alias: Annotated[str, typer.Option(help="live or shadow.")] = "live",
) -> None:
    """Make a version live (or shadow), also an earlier one again. It takes effect with the next batch.

    \b
    Example:
      qscore promote lateral 2
    """
    from scorer.service.access.trust.publishing import promote_audited

    if alias not in ALIASES:
        raise BadOption(f"{alias[:40]!r} is not an alias", f"Aliases are {', '.join(ALIASES)}.")
    before = promote_audited(load_settings(), model, alias, version)
    terminal.say(f"{alias} of {model} is now {version}" + (f", before it was {before}" if before else ""))


def resign(
    what: Annotated[str, typer.Argument(metavar="[MODEL[@VERSION]]", help="A model, or one version of it.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every model with all its versions.")] = False,
) -> None:
    """Sign versions and aliases again with this home's present key; not a byte of the models changes.

    Needed after `qscore trust new`, before the old key is revoked, and once for aliases that 0.1.0 left unsigned.
    What does not verify now is not signed. Exit code 1 where something was left.

    \b
    Examples:
      qscore resign lateral@2
      qscore resign --all
    """
    from scorer.service.access.trust.publishing import known_registry, resign_audited

    if bool(what) == everything:
        raise BadOption("nothing to sign was named, or too much", "Give MODEL, MODEL@VERSION or --all.")
    settings = load_settings()
    name, _, version = what.partition("@")
    done = [resign_audited(settings, one, version) for one in ([name] if name else known_registry(settings).names())]
    for one in done:
        signed = ", ".join([*(f"version {version}" for version in one.versions), *(["aliases"] if one.aliases else [])])
        terminal.say(f"{one.model}: signed again: {signed or 'nothing'}")
        for fault in one.faults:
            terminal.say(f"qscore: {fault}", err=True)
    if any(one.faults for one in done):
        raise typer.Exit(1)


def _cells(key: TrustedKey) -> tuple[str, ...]:
    return (key.key_id, "revoked" if key.revoked else "trusted", key.not_after, key.note)


def _check_date(not_after: str) -> None:
    try:
        if not_after:
            last_moment(not_after)
    except (ValueError, OverflowError):
        raise BadOption(f"--not-after {not_after[:40]!r} is no date", "Give one such as 2027-11-30.") from None
