"""`qscore backup` and `qscore restore`: the home folder into one archive, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scorer.cli import terminal
from scorer.service.access.audit import audit_quietly, audited
from scorer.service.backup.restore import restore
from scorer.service.backup.save import Saved, back_up
from scorer.service.settings import load_settings
from scorer.service.stack.up import model_lines
from scorer.wire.errors import QScoreError


def register(app: typer.Typer) -> None:
    """Add `qscore backup` and `qscore restore`."""
    app.command("backup")(backup_command)
    app.command("restore")(restore_command)


def backup_command(
    file: Annotated[Path, typer.Argument(help="The archive to write: .tar.zst or .tar.gz, outside the home.")],
    private_keys: Annotated[
        bool,
        typer.Option(
            "--private-keys/--no-private-keys",
            help="Take private keys and tokens along: whoever has the archive can then sign models and call as you.",
        ),
    ] = False,
) -> None:
    """Copy models, keys, settings, queue, dead letters and logs into one archive, while everything goes on running.

    The archive has mode 0600. Settings are in it as they stand, with passwords in them, and feature values that wait
    on the queue or lie among the dead letters.

    \b
    Examples:
      qscore backup /var/backups/qscore-monday.tar.zst
      qscore backup /media/safe/qscore-whole.tar.zst --private-keys
    """
    settings = load_settings()
    with audited(settings, "backed_up", archive=str(file.absolute()), private_keys=private_keys) as note:
        saved = back_up(settings, file, private_keys)
        note.facts |= {"files": saved.files, "sha256": saved.sha256}
    _tell(file, saved)


def _tell(file: Path, saved: Saved) -> None:
    for skipped in saved.skipped:
        terminal.say(f"left out: {skipped.name!r}: {skipped.reason}", err=True)
    for path in saved.outside:
        terminal.say(f"not in it, for it lies outside the home: {path}", err=True)
    if saved.keys:
        terminal.say(f"without private keys: {', '.join(saved.keys)}", err=True)
    terminal.say(f"{saved.files} files in {file}, {saved.size} bytes; SHA-256 {saved.sha256}")


def restore_command(
    file: Annotated[Path, typer.Argument(help="An archive that `qscore backup` wrote.")],
    home: Annotated[Path, typer.Option(help="A new or an empty folder: the restored home.")],
    sha256: Annotated[str, typer.Option(help="What `qscore backup` printed; another archive is refused.")] = "",
) -> None:
    """Unpack a backup into a new home, after every file was checked; nothing there is replaced.

    \b
    Example:
      qscore restore /var/backups/qscore-monday.tar.zst --home /var/lib/qscore
    """
    home = home.expanduser().absolute()
    manifest = restore(file, home, sha256)
    settings = load_settings(home=home, registry_dir=None, trusted_keys_dir=None)
    audit_quietly(settings, "restored", archive=str(file.absolute()), made=manifest.made, version=manifest.version)
    for name in manifest.moved:
        terminal.say(f"{name} named another place when the backup was made; what lay there is now in {home}", err=True)
    if not manifest.private_keys:
        terminal.say("the backup holds no private keys; `qscore up` and `qscore train` make new ones", err=True)
    terminal.say(f"{len(manifest.files)} files in {home}, as qscore {manifest.version} left them")
    try:
        for line in model_lines(settings):
            terminal.say(f"model {line}")
    except QScoreError as error:
        terminal.say(f"qscore: {error.sentence()}", err=True)
