"""A file through the running gateway, queue and workers, in chunks, with its columns kept."""

from __future__ import annotations

import io
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scorer.cli.stack import local_client
from scorer.rows.files import check_writable, read_table, write_table
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import exchange_of
from scorer.wire.card import ModelCard
from scorer.wire.client import GatewayClient
from scorer.wire.errors import BadInput, QueueFull
from scorer.wire.names import MAX_ROWS, OUTPUT_COLUMNS
from scorer.wire.options import ScoreOptions

#: Seconds to wait for one chunk, and for the acknowledgements of a written file after the last one came.
_CHUNK_SECONDS = 50.0
_ACK_SECONDS = 150.0
_FULL_QUEUE_TRIES = 30


@dataclass
class Outcome:
    """What became of a file's rows."""

    rows: int = 0
    scored: int = 0
    alerts: int = 0
    problems: dict[str, int] = field(default_factory=dict)

    def add(self, scored: int, problems: dict[str, int], columns: pa.Table) -> None:
        self.rows += columns.num_rows
        self.scored += scored
        self.alerts += columns.column("qscore_alert").to_pylist().count("1")
        for code, count in problems.items():
            self.problems[code] = self.problems.get(code, 0) + count


def score_file(file: Path, model: str, options: ScoreOptions, out: Path | None) -> None:
    """Score ``file``, write it with its new columns to ``out`` or standard output, and report on standard error."""
    settings = load_settings()
    if out is not None:
        check_writable(out)  # before anything is scored, or written to a sink
    table = read_table(file)
    submitter = f"cli-{uuid.uuid4().hex}" if options.write else None
    with local_client(settings, _CHUNK_SECONDS) as client:
        card = client.card(model, options.version)
        _check_columns(table, card, file)
        outcome = Outcome()
        pieces = list(_scored(client, card, options, table, submitter, outcome))
    _emit(_appended(table, pieces), out)
    _report(outcome, card)
    if submitter is not None:
        _await_written(settings, submitter, len(pieces))


def _scored(
    client: GatewayClient,
    card: ModelCard,
    options: ScoreOptions,
    table: pa.Table,
    submitter: str | None,
    outcome: Outcome,
) -> Iterator[pa.Table]:
    """The output columns of one chunk after another. The version is pinned: a promotion must not split a file."""
    pinned = ScoreOptions(card.version, options.threshold, options.explain, options.write)
    # What the scores do not need stays here: context travels only where it is written with them.
    names = (*card.required_fields, *(card.context_fields if options.write else ()))
    wanted = [name for name in names if name in table.column_names]
    with _progress() as progress:
        task = progress.add_task(f"scoring with {card.name} {card.version}", total=table.num_rows)
        for start in range(0, table.num_rows, MAX_ROWS):
            chunk = table.select(wanted).slice(start, MAX_ROWS)
            reply_columns = _post(client, card, pinned, chunk, submitter, outcome)
            progress.update(task, advance=chunk.num_rows)
            yield reply_columns


def _post(
    client: GatewayClient,
    card: ModelCard,
    options: ScoreOptions,
    chunk: pa.Table,
    submitter: str | None,
    outcome: Outcome,
) -> pa.Table:
    body = _csv(chunk)
    batch_id = uuid.uuid4().hex
    for attempt in range(_FULL_QUEUE_TRIES):
        try:
            reply = client.score(card.name, body, chunk.num_rows, options, batch_id, submitter=submitter, bulk=True)
            break
        except QueueFull:
            if attempt + 1 == _FULL_QUEUE_TRIES:
                raise
            time.sleep(2.0)
    columns = _parsed(reply.body)
    outcome.add(reply.scored, dict(reply.problems), columns)
    return columns


def _csv(table: pa.Table) -> bytes:
    content = io.BytesIO()
    try:
        pacsv.write_csv(table, content, pacsv.WriteOptions(quoting_style="needed"))
    except pa.ArrowException as error:
        raise BadInput(
            f"a column cannot be written as CSV: {str(error)[:200]}",
            "Columns must hold single values; or give --out x.parquet.",
        ) from None
    return content.getvalue()


def _parsed(body: bytes) -> pa.Table:
    text = pacsv.ConvertOptions(column_types=dict.fromkeys(OUTPUT_COLUMNS, pa.string()))
    return pacsv.read_csv(io.BytesIO(body), convert_options=text)


def _check_columns(table: pa.Table, card: ModelCard, file: Path) -> None:
    missing = [name for name in card.required_fields if name not in table.column_names]
    if missing:
        raise BadInput(
            f"{file.name} has no column {', '.join(missing)}",
            f"`qscore rows --model {card.name} --data {file.name} --out rows.csv` builds rows from events.",
        )


def _appended(table: pa.Table, pieces: list[pa.Table]) -> pa.Table:
    """The file's own columns and then ours; columns of an earlier scoring are replaced."""
    kept = table.drop_columns([name for name in OUTPUT_COLUMNS if name in table.column_names])
    empty = pa.table({name: pa.array([], pa.string()) for name in OUTPUT_COLUMNS})
    scores = pa.concat_tables(pieces) if pieces else empty
    for name in OUTPUT_COLUMNS:
        kept = kept.append_column(name, scores.column(name))
    return kept


def _emit(table: pa.Table, out: Path | None) -> None:
    if out is not None:
        write_table(table, out)
        return
    sys.stdout.buffer.write(_csv(table))
    sys.stdout.buffer.flush()


def _report(outcome: Outcome, card: ModelCard) -> None:
    text = f"{outcome.scored} of {outcome.rows} rows scored, {outcome.alerts} over the line"
    typer.echo(f"{text} ({card.name} {card.version}: {card.trained_on})", err=True)
    for code, count in sorted(outcome.problems.items()):
        typer.echo(f"  {count} rows: {code} (see qscore_status)", err=True)


def _await_written(settings: Settings, submitter: str, batches: int) -> None:
    """Wait until the sink has confirmed, or the dead letters hold, every written row."""
    exchange = exchange_of(settings, longest_wait=5.0)
    written = dead = 0
    last = time.monotonic()
    while batches and time.monotonic() - last < _ACK_SECONDS:
        outcome = exchange.wait_outcome(submitter, 2.0)
        if outcome is not None and (ack := outcome.ack) is not None:
            written, dead = written + ack.written + ack.already_there, dead + ack.dead
            batches, last = batches - 1, time.monotonic()
    typer.echo(f"{written} scores written to {settings.sink}, {dead} in the dead letters", err=True)
    if batches or dead:
        waiting = f"{batches} batches are still on their way; " if batches else ""
        typer.echo(f"{waiting}`qscore dead list` says why rows were not written", err=True)
        raise typer.Exit(1)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
