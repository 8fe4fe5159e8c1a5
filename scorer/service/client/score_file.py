"""A file through a running gateway, queue and workers, in chunks, with its columns kept: what `qscore score` does.

    scored = score_file(Path("rows.csv"), "lateral", ScoreOptions(), lambda: local_client(settings, CHUNK_SECONDS))
    scored.table        # the file's own columns, then the qscore columns

Nothing here knows a terminal: ``steps`` hears of progress, errors are raised.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import stamina

from scorer.progress import Steps, no_steps
from scorer.rows.files import memory_of_arrow, read_table
from scorer.service.queue.exchange import Exchange
from scorer.wire.card import ModelCard
from scorer.wire.client import GatewayClient, ScoreReply
from scorer.wire.errors import BadInput, QueueFull
from scorer.wire.limits import body_limit
from scorer.wire.names import MAX_ROWS, MEDIA_CSV, OUTPUT_COLUMNS
from scorer.wire.options import ScoreOptions

#: Seconds to wait for one chunk, and for the acknowledgements of a written file after the last one came.
CHUNK_SECONDS = 50.0
_ACK_SECONDS = 150.0
#: A full queue empties by itself: for how many seconds a chunk is offered, and seconds between two offers where the
#: gateway names none.
_FULL_QUEUE_SECONDS = 60.0
_FULL_QUEUE_PAUSE = 2.0


@dataclass(frozen=True, eq=False)
class ScoredFile:
    """A file's rows with their scores, and counts of them.

    ``table``: the file's columns, then OUTPUT_COLUMNS as text, row by row. ``card``: of the version that scored.

    ``chunks``: how many batches it took. ``scored``, ``alerts``: rows; ``problems``: status code -> rows that have it.
    ``submitter``: whose acknowledgement list learns what became of written rows; None where none are written.
    """

    table: pa.Table
    card: ModelCard
    chunks: int
    scored: int
    alerts: int
    problems: dict[str, int]
    submitter: str | None


@dataclass(frozen=True)
class WrittenRows:
    """Counts of rows that were to be written.

    ``written``: written, or there before. ``dead``: dead letters. ``waiting``: batches not heard of in time.
    """

    written: int
    dead: int
    waiting: int


def score_file(
    file: Path,
    model: str,
    options: ScoreOptions,
    connect: Callable[[], GatewayClient],
    steps: Steps = no_steps,
) -> ScoredFile:
    """Score a file's rows, in order; one that cannot be scored says why in its status.

    ``connect``: makes the client, once the file has been read. ``steps(text, rows done, rows)`` hears of progress.
    Raises BadTrainingData for a file that cannot be read, BadInput for one without the model's columns, QueueFull where
    the queue stays full for a minute, and what ``GatewayClient.score`` does.
    """
    table = read_table(file)
    with connect() as client:
        submitter = f"{client.key_id}:cli-{uuid.uuid4().hex}" if options.write else None
        card = client.card(model, options.version)
        _check_columns(table, card, file)
        # The version is pinned: a promotion must not split a file.
        pinned = replace(options, version=card.version)
        replies = list(_replies(client, card, pinned, table, submitter, steps))
    return _scored_file(table, card, replies, submitter)


def await_written(exchange: Exchange, submitter: str, chunks: int) -> WrittenRows:
    """Wait until the sink has confirmed, or the dead letters hold, every row of ``chunks`` batches.

    It ends _ACK_SECONDS after the last word of any of them. Raises what the exchange does: Unavailable.
    """
    written = dead = 0
    last = time.monotonic()
    while chunks and time.monotonic() - last < _ACK_SECONDS:
        outcome = exchange.wait_outcome(submitter, 2.0)
        if outcome is not None and (ack := outcome.ack) is not None:
            written, dead = written + ack.written + ack.already_there, dead + ack.dead
            chunks, last = chunks - 1, time.monotonic()
    return WrittenRows(written, dead, chunks)


def csv_bytes(table: pa.Table) -> bytes:
    """Write a table as CSV. Raises BadInput where a column holds what CSV cannot."""
    content = io.BytesIO()
    try:
        pacsv.write_csv(table, content, pacsv.WriteOptions(quoting_style="needed"))
    except pa.ArrowException as error:
        raise BadInput(
            f"a column cannot be written as CSV: {str(error)[:200]}",
            "Columns must hold single values; or give --out x.parquet.",
        ) from None
    return content.getvalue()


def _replies(
    client: GatewayClient,
    card: ModelCard,
    options: ScoreOptions,
    table: pa.Table,
    submitter: str | None,
    steps: Steps,
) -> Iterator[ScoreReply]:
    """The reply to one chunk after another."""
    # What the scores do not need stays here: context travels only where it is written with them.
    names = (*card.required_fields, *(card.context_fields if options.write else ()))
    wanted = [name for name in names if name in table.column_names]
    text = f"scoring with {card.name} {card.version}"
    steps(text, 0, table.num_rows)
    done = 0
    for start in range(0, table.num_rows, MAX_ROWS):
        for body, rows in _bodies(table.select(wanted).slice(start, MAX_ROWS)):
            yield _patiently_scored(client, card, options, body, rows, submitter)
            done += rows
            steps(text, done, table.num_rows)


def _bodies(chunk: pa.Table) -> Iterator[tuple[bytes, int]]:
    """Write a chunk as one body with its rows, or as several where its cells are too long for one."""
    body, rows = csv_bytes(chunk), chunk.num_rows
    if len(body) <= body_limit(rows, MEDIA_CSV) or rows == 1:
        yield body, rows
        return
    yield from _bodies(chunk.slice(0, rows // 2))
    yield from _bodies(chunk.slice(rows // 2))


def _patiently_scored(
    client: GatewayClient, card: ModelCard, options: ScoreOptions, body: bytes, rows: int, submitter: str | None
) -> ScoreReply:
    """The reply to a body, which is offered again, under the same batch id, while the queue is full."""
    batch_id = uuid.uuid4().hex
    patience = stamina.RetryingCaller(attempts=None, timeout=_FULL_QUEUE_SECONDS)
    return patience(_pause, client.score, card.name, body, rows, options, batch_id, submitter=submitter, bulk=True)


def _pause(error: Exception) -> float | bool:
    """Say after how many seconds a chunk is offered again: as the gateway asks; False where it never is."""
    if not isinstance(error, QueueFull):
        return False
    return _FULL_QUEUE_PAUSE if error.retry_after is None else min(error.retry_after, _FULL_QUEUE_SECONDS)


def _check_columns(table: pa.Table, card: ModelCard, file: Path) -> None:
    missing = [name for name in card.required_fields if name not in table.column_names]
    if missing:
        raise BadInput(
            f"{file.name} has no column {', '.join(missing)}",
            f"`qscore rows --model {card.name} --data {file.name} --out rows.csv` builds rows from events.",
        )


def _scored_file(table: pa.Table, card: ModelCard, replies: list[ScoreReply], submitter: str | None) -> ScoredFile:
    empty = pa.table({name: pa.array([], pa.string()) for name in OUTPUT_COLUMNS})
    scores = pa.concat_tables([_parsed(reply.body) for reply in replies]) if replies else empty
    problems: dict[str, int] = {}
    for reply in replies:
        for code, count in reply.problems.items():
            problems[code] = problems.get(code, 0) + count
    return ScoredFile(
        table=_appended(table, scores),
        card=card,
        chunks=len(replies),
        scored=sum(reply.scored for reply in replies),
        alerts=pc.sum(pc.equal(scores["qscore_alert"], "1")).as_py() or 0,
        problems=problems,
        submitter=submitter,
    )


def _parsed(body: bytes) -> pa.Table:
    text = pacsv.ConvertOptions(column_types=dict.fromkeys(OUTPUT_COLUMNS, pa.string()))
    return pacsv.read_csv(memory_of_arrow(body), convert_options=text)


def _appended(table: pa.Table, scores: pa.Table) -> pa.Table:
    """The file's own columns and then ours; columns of an earlier scoring are replaced."""
    kept = table.drop_columns([name for name in OUTPUT_COLUMNS if name in table.column_names])
    for name in OUTPUT_COLUMNS:
        kept = kept.append_column(name, scores.column(name))
    return kept
