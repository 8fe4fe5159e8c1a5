"""`qscore score FILE`: the command; what it does lies in score_file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scorer.wire.options import ScoreOptions


def register(app: typer.Typer) -> None:
    """Add `qscore score`."""
    app.command("score")(score)


def score(
    file: Annotated[Path, typer.Argument(help="CSV, NDJSON or Parquet with the model's columns (`qscore rows`).")],
    model: Annotated[str, typer.Option(help="Which model; `qscore models` lists them.")] = "lateral",
    version: Annotated[str, typer.Option(help="A version, or live or shadow.")] = "live",
    threshold: Annotated[
        str, typer.Option(help="Probability (0-1) from which a row alerts. Default: the model's own line.")
    ] = "",
    explain: Annotated[str, typer.Option(help="Rows that get a reason: alerts, all or none.")] = "alerts",
    write: Annotated[bool, typer.Option("--write", help="Also write the scores to the configured sink.")] = False,
    out: Annotated[Path | None, typer.Option(help="CSV or Parquet to write. Default: CSV to standard output.")] = None,
) -> None:
    """Score a file's rows through the running gateway and append the qscore columns.

    Rows keep their order; one that cannot be scored says why in qscore_status.

    \b
    Examples:
      qscore score rows.csv --out scored.csv
      qscore score rows.csv --model lateral --explain all | head
    """
    from scorer.cli.score_file import score_file  # loads pyarrow, which no other command needs

    options = ScoreOptions.parse(
        {"version": version, "threshold": threshold, "explain": explain, "write": str(write).lower()}
    )
    score_file(file, model, options, out)
