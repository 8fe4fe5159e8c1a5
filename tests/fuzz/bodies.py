"""Bodies of rows: CSV, JSON and Arrow, read, and what could be read scored, encoded and shaped for the sinks."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.delivery.stored_rows import read_rows, stored
from scorer.models.trained import TrainedModel
from scorer.registry.store import card_of
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score
from scorer.wire.names import MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON
from scorer.wire.options import ScoreOptions
from tests.fuzz.mutate import mutated_json
from tests.fuzz.target import Target

ROWS = 3
_TIMES = ["1700000000", "2023-11-14T22:13:20Z", ""]
_TEXTS = {"user": ["eve", "bob é", "a,b"], "src": ["10.0.0.1", "h", ""], "qscore_fields": ['{"a.b":"c"}', "", "{}"]}
_NUMBERS = {"events": [5, 6, 7], "logons": [1, 2, 3], "failures": [0, 1, 2]}
_FACTS = ScoringFacts(errors=True, sha256="0" * 64, scored=1.7e9, submitted=1.7e9)


def targets(model: TrainedModel) -> list[Target]:
    """List the readers of the three formats."""
    card = card_of(model, "1-starter")

    def whole(media_type: str, body: bytes) -> None:
        batch = decode(body, media_type, ROWS, model, model_name="lateral", batch_id="b" * 8, write=True)
        scores = score(model, "1-starter", batch, ScoreOptions(explain="all"))
        if encode_reply(scores).count(b"\n") != ROWS + 1:
            raise AssertionError("a reply of another number of lines")
        rows = scored_rows(batch, scores, card, _FACTS).rows
        if len(rows):
            read_rows(stored(rows))

    return [
        Target("body csv", lambda body: whole(MEDIA_CSV, body), _csv_seeds(), weight=30),
        Target("body json", lambda body: whole(MEDIA_JSON, body), _json_seeds(), mutated_json, weight=20),
        Target("body arrow", lambda body: whole(MEDIA_ARROW, body), _arrow_seeds(), weight=50),
    ]


def _columns() -> dict[str, list[Any]]:
    return {**_NUMBERS, "_time": _TIMES, **_TEXTS}


def _csv_seeds() -> tuple[bytes, ...]:
    columns = _columns()
    plain = [
        ",".join(columns),
        *(",".join(f'"{v}"'.replace('{"', '{""') for v in row) for row in zip(*columns.values(), strict=True)),
    ]
    few = "events,logons,failures\n5,1,0\n6,2,1\n7,3,2\n"
    mv = 'events,__mv_events,logons,failures,user\n5,"$1$;$2$",1,0,eve\n,,2,1,\n7,,3,2,"two\nlines"\n'
    return tuple(text.encode() for text in ("\n".join(plain) + "\n", few, mv, few.replace("\n", "\r\n"), few[:-1]))


def _json_seeds() -> tuple[bytes, ...]:
    mixed = {
        "events": [5, None, "7"],
        "logons": [1.0, 2, True],
        "failures": [0, [1, 2], {"a": 1}],
        "user": ["\\", '"', "]"],
    }
    return tuple(json.dumps({"columns": columns}).encode() for columns in (_columns(), _NUMBERS, mixed))


def _stream(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue().to_pybytes())


def _arrow_seeds() -> tuple[bytes, ...]:
    words = pa.array(["eve", "bob", "eve"])
    tables = [
        pa.table(_columns()),
        pa.table({**_NUMBERS, "user": words.dictionary_encode(), "src": words.cast(pa.large_string())}),
        pa.table(
            {**_NUMBERS, "_time": pa.array([1, 2, None], pa.timestamp("ms", "UTC")), "user": words.cast(pa.binary())}
        ),
        pa.table({**_NUMBERS, "user": pa.array([1, 2, 3]).cast(pa.decimal128(30, 3)), "x": pa.array([[1], None, []])}),
        pa.table(
            {
                "events": pa.array([1.5, None, 3], pa.float32()),
                "logons": pa.array(["1", "b", "3"]).dictionary_encode(),
                "failures": pa.array([True, False, None]),
                "user": pa.nulls(3),
            }
        ),
        pa.table({**_NUMBERS, "user": words.cast(pa.string_view()), "src": pa.array([{"a": 1}, None, {"a": 2}])}),
        pa.table(
            {**_NUMBERS, "user": pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), pa.array(["a", "b"]))}
        ),
    ]
    return (*map(_stream, tables), _stream(tables[0], compression="lz4"), _stream(tables[1], compression="zstd"))
