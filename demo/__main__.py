"""`make demo`: a search through the real `| qscore`, its scored rows, the indexed events, and the notable."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from demo import show
from demo.commands import Data, Label, Model, Positive, Seed, material, perform, qscore, serve, train
from demo.material import Material
from demo.stage import Stage, open_stage
from scorer.wire.card import ModelCard

_TALLY = "| tstats count max(qscore) as max_qscore where `qscore_index` by qscore_model qscore_version qscore_band"


def main(
    app: Annotated[Path, typer.Option(help="The built app, dist/qscore-<version>.tar.gz.")],
    data: Data = None,
    label: Label = "label",
    positive: Positive = None,
    model: Model = None,
    seed: Seed = 1,
) -> None:
    """Show the main job on one machine and stop cleanly. Nothing outlives it: its files are in a temporary folder."""
    perform(partial(_play, app), lambda: material(data, label, positive, model, seed))


def _play(app: Path, console: Console, folder: Path, chosen: Material) -> tuple[Path, ...]:
    show.heading(console, 1, "The model and what it was trained on")
    card = train(console, folder, chosen)
    show.model(console, card)
    started = time.monotonic()
    with open_stage(folder, app) as stage:
        console.print(
            f"[dim]gateway, queue and workers ready in {time.monotonic() - started:.1f} s: {stage.state.url}[/]"
        )
        show.heading(console, 2, "The search")
        scored = _search(console, stage, card, chosen)
        show.heading(console, 3, "HEC events with indexed fields")
        _events(console, stage, scored)
        show.heading(console, 4, "The notable that the shipped correlation search raises")
        preview = ["splunk", "preview", "--limit", "3", "--app", str(stage.app), "--events", str(stage.events_file)]
        qscore(console, folder, *preview)
    return ()


def _search(console: Console, stage: Stage, card: ModelCard, chosen: Material) -> list[dict[str, Any]]:
    source = f"index={chosen.index} | `{card.macro}` | qscore model={card.name} write=true"
    events = chosen.events()
    console.print(f"[bold]{source}[/]   ({len(events)} events)", highlight=False)
    started = time.monotonic()
    scored = stage.search(source, events, lambda level, text: console.print(f"[yellow]{level}[/] {text}"))
    console.print(
        f"[dim]{time.monotonic() - started:.1f} s, of which most is the stand-in for Splunk running the macro[/]"
    )
    show.rows(console, scored)
    show.truth(console, chosen.judged(card.grain, scored))
    return scored


def _events(console: Console, stage: Stage, scored: Sequence[Mapping[str, Any]]) -> None:
    expected = sum(row["qscore_status"] == "ok" for row in scored)
    written = stage.written_events(expected)
    show.events(console, written, expected)
    console.print(f"\n[bold]{_TALLY}[/]", highlight=False)
    show.table(console, stage.tstats(_TALLY))


if __name__ == "__main__":
    serve(main)
