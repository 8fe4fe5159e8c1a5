"""`qscore shots`: what measuring with a finite number of shots does to a model's ranking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scorer.cli import terminal
from scorer.cli.training_options import progress, require_training

if TYPE_CHECKING:
    from scorer.models.trained import TrainedModel
    from scorer.training.shots.from_file import ShotReport

_BAR = 30


def register(app: typer.Typer) -> None:
    """Add `qscore shots`."""
    app.command("shots")(shots_command)


def shots_command(
    model: Annotated[str, typer.Option("--model", help="A model that `qscore models` lists.")],
    data: Annotated[Path, typer.Option(help="Labelled events or rows: CSV, NDJSON, Parquet.")],
    label: Annotated[str, typer.Option(help="Column that says what is malicious.")],
    positive: Annotated[str | None, typer.Option(help="The label's value that is malicious.")] = None,
    version: Annotated[str, typer.Option(help="Version or alias.")] = "live",
    grain: Annotated[str | None, typer.Option(help="What a row is: window or event (default: the model's).")] = None,
    shots: Annotated[list[int] | None, typer.Option(help="Shots of each circuit; give it several times.")] = None,
    method: Annotated[
        str, typer.Option(help="eigenbasis: one circuit a row, the best case; overlaps: one for each eigenvector.")
    ] = "eigenbasis",
    cx_error: Annotated[
        float | None, typer.Option(help="Run the circuits on Qiskit Aer with this error of every CX (slow).")
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows to measure at most, drawn by the seed.", min=10)] = 2000,
    repeats: Annotated[int, typer.Option(help="Independent repetitions of each number of shots.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of rows and shots.", min=0)] = 0,
) -> None:
    """Measure a model with shots instead of exactly, and see how well it still ranks.

    qscore scores exactly, on a simulator. A quantum computer only ever gives estimates: with S shots each score has a
    standard error, which this prints beside the ROC-AUC that is left. Nothing is changed and nothing is written.

    \b
    Example:
      qscore shots --model lateral --data labelled.csv --label is_attack --shots 100 --shots 10000
    """
    require_training()
    from scorer.rows.builder import Columns
    from scorer.service.access.trust.publishing import known_registry
    from scorer.service.settings import load_settings
    from scorer.training.shots.from_file import DEFAULT_SHOTS, ShotRequest, measure_file

    settings, console = load_settings(), terminal.console()
    trained = known_registry(settings).load_named(model, version)
    request = ShotRequest(
        data=data,
        columns=Columns(label, positive, None),
        grain=grain,
        shots=tuple(shots or DEFAULT_SHOTS),
        method=method,
        cx_error=cx_error,
        rows=rows,
        repeats=repeats,
        seed=seed,
    )
    with progress(console) as steps:
        report = measure_file(trained, request, steps)
    _show(console, trained, report)


def _show(console: Console, model: TrainedModel, report: ShotReport) -> None:
    console.print(
        f"[bold]{model.name}[/bold], family {model.family}: {report.rows} rows, {report.malicious} malicious",
        highlight=False,
    )
    out = Table(
        "shots a circuit",
        "ROC-AUC",
        "lowest - highest",
        "standard error / spread of scores",
        f"{'AUC 0.5 to 1':<{_BAR}}",
    )
    for row in report.table:
        shots = "exact" if row.shots is None else str(row.shots)
        full = round(_BAR * max(0.0, min(1.0, 2.0 * row.auc - 1.0)))
        span = "" if row.shots is None else f"{row.low:.4f} - {row.high:.4f}"
        error = "0" if row.shots is None else f"{row.standard_error:.3f}"
        out.add_row(shots, f"{row.auc:.4f}", span, error, escape("#" * full))
    console.print(out)
