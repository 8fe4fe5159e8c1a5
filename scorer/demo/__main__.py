"""`make demo`: a search through the real `| qscore`, its scored rows, the indexed events, and the notable."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from scorer.demo import show
from scorer.demo.commands import assert_nothing_left, qscore, train
from scorer.demo.material import Material, from_capture, generated
from scorer.demo.stage import Stage, open_stage
from scorer.wire.errors import QScoreError
from scorer.wire.messages import ModelCard

_TALLY = "| tstats count max(qscore) as max_qscore where `qscore_index` by qscore_model qscore_version qscore_band"


def main(
    app: Annotated[Path, typer.Option(help="The built app, dist/qscore-<version>.tar.gz.")],
    data: Annotated[
        Path | None, typer.Option(help="A labelled capture: CSV, NDJSON or Parquet, maybe gzipped.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column of the capture that says what is malicious.")] = "label",
    positive: Annotated[str | None, typer.Option(help="The label's malicious value; else 1 or true.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to train; else the one whose fields the data has.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated events.")] = 1,
) -> None:
    """Show the main job on one machine and stop cleanly. Nothing outlives it: its files are in a temporary folder."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        with tempfile.TemporaryDirectory(prefix="qscore-demo-") as folder:
            material = from_capture(data, label, positive, model) if data else generated(model or "lateral", seed)
            _play(console, Path(folder), app, material)
            assert_nothing_left(Path(folder))
    except QScoreError as error:
        typer.echo(f"qscore demo: {error.sentence()}", err=True)
        raise typer.Exit(1) from None
    console.print("\nEverything was stopped; nothing is left running.")


def _play(console: Console, folder: Path, app: Path, material: Material) -> None:
    show.heading(console, 1, "The model and what it was trained on")
    card = train(console, folder, material)
    show.model(console, card)
    started = time.monotonic()
    with open_stage(folder, app) as stage:
        console.print(
            f"[dim]gateway, queue and workers ready in {time.monotonic() - started:.1f} s: {stage.state.url}[/]"
        )
        show.heading(console, 2, "The search")
        scored = _search(console, stage, card, material)
        show.heading(console, 3, "HEC events with indexed fields")
        _events(console, stage, scored)
        show.heading(console, 4, "The notable that the shipped correlation search raises")
        preview = ["splunk", "preview", "--limit", "3", "--app", str(stage.app), "--events", str(stage.events_file)]
        qscore(console, folder, *preview)


def _search(console: Console, stage: Stage, card: ModelCard, material: Material) -> list[dict[str, Any]]:
    source = f"index={material.index} | `{card.macro}` | qscore model={card.name} write=true"
    events = material.events()
    console.print(f"[bold]{source}[/]   ({len(events)} events)", highlight=False)
    started = time.monotonic()
    scored = stage.search(source, events, lambda level, text: console.print(f"[yellow]{level}[/] {text}"))
    console.print(
        f"[dim]{time.monotonic() - started:.1f} s, of which most is the stand-in for Splunk running the macro[/]"
    )
    show.rows(console, scored)
    show.truth(console, material.judged(card.grain, scored))
    return scored


def _events(console: Console, stage: Stage, scored: Sequence[Mapping[str, Any]]) -> None:
    expected = sum(row["qscore_status"] == "ok" for row in scored)
    written = stage.written_events(expected)
    show.events(console, written, expected)
    console.print(f"\n[bold]{_TALLY}[/]", highlight=False)
    show.table(console, stage.tstats(_TALLY))


if __name__ == "__main__":
    app_ = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app_.command()(main)
    app_()
