"""What both demos do around their stages: commands as a user types them, the model, and nothing left at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from scorer.demo.material import Material
from scorer.demo.stage import demo_settings
from scorer.registry.cards import CardStore
from scorer.wire.errors import QScoreError
from scorer.wire.messages import ModelCard


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
    """No process may carry one of the folders in its command line or environment."""
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
