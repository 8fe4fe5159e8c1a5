"""What both demos do around their stages: options, commands as a user types them, the model, a clean end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo.material import Material, from_capture, generated
from demo.stage import demo_settings
from scorer.registry.cards import CardStore
from scorer.wire.card import ModelCard
from scorer.wire.errors import QScoreError

Data = Annotated[Path | None, typer.Option(help="A labelled capture: CSV, NDJSON or Parquet, maybe gzipped.")]
Label = Annotated[str, typer.Option(help="Column of the capture that says what is malicious.")]
Positive = Annotated[str | None, typer.Option(help="The label's malicious value; else 1 or true.")]
Model = Annotated[str | None, typer.Option(help="Model to train; else the one whose fields the data has.")]
Seed = Annotated[int, typer.Option(help="Seed of the generated events.")]

#: Plays the demo in a folder; returns further folders in which something ran.
Play = Callable[[Console, Path, Material], Iterable[Path]]


def material(data: Path | None, label: str, positive: str | None, model: str | None, seed: int) -> Material:
    """Make what the options ask for: a capture, or generated events."""
    return from_capture(data, label, positive, model) if data else generated(model or "lateral", seed)


def perform(play: Play, chosen: Callable[[], Material]) -> None:
    """Run one demo from its options to its clean stop. Raises typer.Exit with status 1 after one sentence."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        found = chosen()
        with tempfile.TemporaryDirectory(prefix="qscore-demo-") as folder:
            assert_nothing_left(Path(folder), *play(console, Path(folder), found))
    except QScoreError as error:
        typer.echo(f"qscore demo: {error.sentence()}", err=True)
        raise typer.Exit(1) from None
    console.print("\nEverything was stopped; nothing is left running.")


def serve(command: Callable[..., None]) -> None:
    """Run ``command`` with the options of the command line."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    app()


def qscore(console: Console, folder: Path, *arguments: str, **variables: str) -> None:
    """A command of the user's, as the user would type it, in the home of ``folder``. Raises QScoreError if it fails."""
    console.print(f"[bold]$ qscore {' '.join(arguments)}[/]", highlight=False, soft_wrap=True)
    environment = os.environ | {"QSCORE_HOME": str(folder / "home"), "COLUMNS": str(console.width)} | variables
    done = subprocess.run([sys.executable, "-m", "scorer.cli.main", *arguments], env=environment, check=False)
    if done.returncode:
        raise QScoreError(f"qscore {arguments[0]} ended with status {done.returncode}", "Its message is above.")


def train(console: Console, folder: Path, material: Material) -> ModelCard:
    """Train what the demo scores with: a starter, or a model of the material's first part."""
    arguments = ["train", "--model", material.model]
    if material.training is not None:
        path = folder / f"{material.name}_first_part.parquet"
        material.write_training(path)
        console.print(material.split_told)
        arguments += ["--data", str(path), "--label", material.label]
        arguments += ["--positive", material.positive] if material.positive else []
    qscore(console, folder, *arguments)
    settings = demo_settings(folder)
    return CardStore(settings.registry, settings.trusted_keys).card(material.model)


def assert_nothing_left(*folders: Path) -> None:
    """Raise QScoreError where a process carries one of the folders in its command line or environment."""
    markers = [str(folder).encode() for folder in folders]
    left = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            left += [process.name] if any(marker in text for marker in markers) else []
    if left:
        raise QScoreError(f"processes {', '.join(left)} are still running", "Report this: the demo must stop cleanly.")
