"""`qscore mend-queue`: what a full disk left in the files of a queue server of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scorer.cli.terminal import say
from scorer.service.stack.append_only import mend
from scorer.wire.errors import BadInput, ConfigurationError


def register(app: typer.Typer) -> None:
    """Add `qscore mend-queue`."""
    app.command("mend-queue")(mend_queue)


def mend_queue(
    folder: Annotated[Path, typer.Argument(help="The server's data folder, which holds appendonlydir.")],
) -> None:
    """Take out of a stopped server's files what keeps it from starting after its disk was full.

    Valkey or Redis then says "Bad file format reading the append only file": between two commands stand zero bytes.
    They are taken out; valkey-check-aof --fix would drop every row behind them. `qscore up` does this by itself for
    the server that it starts; this command is for one of your own.

    \b
    Example:
      qscore mend-queue /var/lib/valkey
    """
    if not (folder / "appendonlydir").is_dir():
        raise BadInput(f"{folder} holds no folder appendonlydir", "Name the folder that `dir` in valkey.conf names.")
    try:
        found = mend(folder)
    except OSError as error:
        raise ConfigurationError(
            f"a file in {folder} cannot be mended: {error.strerror}",
            "Stop the server, make room, and run this as the user to whom the files belong.",
        ) from None
    for one in found:
        say(f"{one.zeros} zero bytes in {one.holes} places taken out of {one.path}")
    if not found:
        say("nothing to mend")
