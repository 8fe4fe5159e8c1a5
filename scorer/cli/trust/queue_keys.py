"""`qscore key queue`: the keys that seal what lies on a queue server of one's own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from scorer.cli import terminal
from scorer.service.access.audit import audited
from scorer.service.access.lifetimes import duration, shown
from scorer.service.queue.broker import private_dir
from scorer.service.queue.sealing.keys import QueueKey, QueueKeys, read_keys
from scorer.service.queue.sealing.rotation import make_key_file, rotate_key_file
from scorer.service.settings import Settings, load_settings

queue_app = typer.Typer(
    help="Keys that seal what lies on a queue server of your own, so that nobody else can write there.",
    no_args_is_help=True,
)

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="Default: queue_key_file, or private/queue.key in the home folder."),
]


def register(keys_app: typer.Typer) -> None:
    """Add `qscore key queue`."""
    keys_app.add_typer(queue_app, name="queue")


@queue_app.command("new")
def new(file: File = None) -> None:
    """Make a file with a key, mode 0600.

    Copy it to every machine with a gateway, worker or connector, name it there in queue_key_file, and start all of
    them at once, with nothing on the queue: what has no seal is refused from then on. `qscore up` without broker_url
    needs no such key.

    \b
    Example:
      qscore key queue new /etc/qscore/queue.key
    """
    settings = load_settings()
    path = _named(settings, file)
    if path.parent == settings.signing_key.parent:
        private_dir(path.parent)
    with audited(settings, "queue_key_made", file=str(path)) as made:
        keys = make_key_file(path)
        made.facts["key"] = keys.keys[0].name
    terminal.say(f"key {keys.keys[0].name} is in {path}")
    terminal.say(
        "Copy the file, mode 0600 and owned by the user that runs qscore, to every machine with a gateway, worker or "
        f'connector of this queue. Set there: queue_key_file = "{path}". Then drain, and start them all anew.'
    )


@queue_app.command("rotate")
def rotate(
    file: File = None,
    lead: Annotated[
        str, typer.Option("--in", help="After what time the new key makes seals: how long copying the file may take.")
    ] = "1h",
    overlap: Annotated[str, typer.Option(help="How long the old key still opens seals from then on.")] = "25h",
) -> None:
    """Put a new key beside the old one: it makes seals in an hour, and the old one opens them for a day longer.

    Copy the file to every machine within that time. Processes see the change within seconds and need no restart. With
    less than 25 hours of overlap, rows that wait for their sink so long are lost.

    \b
    Examples:
      qscore key queue rotate /etc/qscore/queue.key
      qscore key queue rotate /etc/qscore/queue.key --in 4h
    """
    settings = load_settings()
    path, times = _named(settings, file), (duration(lead), duration(overlap))
    with audited(settings, "queue_key_rotated", file=str(path)) as made:
        keys = rotate_key_file(path, time.time(), *times)
        made.facts |= {"key": keys.keys[-1].name, "begins": shown(keys.keys[-1].begins)}
    _show(keys)
    terminal.say(
        f"Copy {path} to every machine of this queue before {shown(keys.keys[-1].begins)} UTC. Compare by "
        "`qscore key queue list` there."
    )


@queue_app.command("list")
def list_keys(file: File = None) -> None:
    """Show which keys a file holds, from when each makes seals and until when it opens them (never the keys).

    Names are alike on all machines that hold the same keys.

    \b
    Example:
      qscore key queue list
    """
    _show(read_keys(_named(load_settings(), file)))


def _named(settings: Settings, file: Path | None) -> Path:
    path = file or settings.queue_key_file or settings.signing_key.with_name("queue.key")
    return path.expanduser().absolute()


def _show(keys: QueueKeys) -> None:
    now = time.time()
    table = Table("key", "state", "makes seals from (UTC)", "opens them until (UTC)")
    for key in keys.keys:
        begins = "-" if key.begins is None else shown(key.begins)
        table.add_row(key.name, _state(keys, key, now), begins, shown(key.ends))
    terminal.console().print(table)


def _state(keys: QueueKeys, key: QueueKey, now: float) -> str:
    if keys.sealing(now) is key:
        return "makes seals"
    return "opens seals" if key.opens(now) else "ended"
