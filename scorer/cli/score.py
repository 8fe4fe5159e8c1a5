"""`qscore score FILE`: a file through the running gateway; its scores to a file or standard output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import stamina.instrumentation
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from scorer.cli import terminal
from scorer.cli.progress import progress_bar
from scorer.wire.options import ScoreOptions

if TYPE_CHECKING:
    import pyarrow as pa

    from scorer.service.client.score_file import ScoredFile
    from scorer.service.settings import Settings


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
    # These load pyarrow, which no other command needs.
    from scorer.rows.files import check_writable
    from scorer.service.client.local import local_client
    from scorer.service.client.score_file import CHUNK_SECONDS, score_file
    from scorer.service.settings import load_settings

    options = ScoreOptions.parse(
        {"version": version, "threshold": threshold, "explain": explain, "write": str(write).lower()}
    )
    settings = load_settings()
    if out is not None:
        check_writable(out)  # before anything is scored, or written to a sink
    # Retries are logged to standard output unless told otherwise, and that is where the scores go.
    stamina.instrumentation.set_on_retry_hooks(())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress_bar(terminal.console(stderr=True), *columns) as steps:
        scored = score_file(file, model, options, lambda: local_client(settings, CHUNK_SECONDS), steps)
    _emit(scored.table, out)
    _report(scored)
    if scored.submitter is not None:
        _await_written(settings, scored.submitter, scored.chunks)


def _emit(table: pa.Table, out: Path | None) -> None:
    from scorer.rows.files import write_table
    from scorer.service.client.score_file import csv_bytes

    if out is not None:
        write_table(table, out)
        return
    terminal.data(csv_bytes(table))


def _report(scored: ScoredFile) -> None:
    card = scored.card
    text = f"{scored.scored} of {scored.table.num_rows} rows scored, {scored.alerts} over the line"
    terminal.say(f"{text} ({card.name} {card.version}: {card.trained_on})", err=True)
    for code, count in sorted(scored.problems.items()):
        terminal.say(f"  {count} rows: {code} (see qscore_status)", err=True)


def _await_written(settings: Settings, submitter: str, chunks: int) -> None:
    """Say what became of written rows; exit code 1 unless every one of them was written."""
    from scorer.service.client.score_file import await_written
    from scorer.service.stack.up import exchange_of

    found = await_written(exchange_of(settings, longest_wait=5.0), submitter, chunks)
    terminal.say(f"{found.written} scores written to {settings.sink}, {found.dead} in the dead letters", err=True)
    if found.waiting or found.dead:
        waiting = f"{found.waiting} batches are still on their way; " if found.waiting else ""
        terminal.say(f"{waiting}`qscore dead list` says why rows were not written", err=True)
        raise typer.Exit(1)
