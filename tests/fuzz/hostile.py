"""Bodies that once took gigabytes or all of a task's seconds: `python -m tests.fuzz.hostile` reads each and measures.

Each is as large as the gate lets pass for 50,000 declared rows, and is read in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa

from scorer.models.trained import TrainedModel
from scorer.scoring.decode import decode
from scorer.wire.errors import BadInput
from scorer.wire.limits import body_limit
from scorer.wire.names import MAX_ROWS, MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON

LARGE = body_limit(MAX_ROWS, MEDIA_JSON) - 100
_CONTEXT = ("user", "src", "dest", "host", "port_class", "origin_id", "index", "sourcetype")
_HEADER = b"events,logons,failures\n"


def json_bodies() -> dict[str, bytes]:
    """Make bodies of JSON; none is one of rows."""
    return {
        "objects": b'{"columns":{"events":[' + b"{}," * (LARGE // 3) + b"{}]}}",
        "lists": b'{"columns":{"events":[' + b"[]," * (LARGE // 3) + b"[]]}}",
        "lists in one": b'{"columns":{"events":[[' + b"[]," * (LARGE // 3) + b"[]]]}}",
        "nested": b"[" * LARGE,
        "nested inside": b'{"columns":{"events":' + b"[" * LARGE,
        "nested objects": b'{"a":' * (LARGE // 5),
        "numbers": b'{"columns":{"events":[' + b"1," * (LARGE // 2) + b"1]}}",
        "keys": b'{"columns":{' + b'"a":[],' * (LARGE // 7) + b'"a":[]}}',
        "keys beside": b"{" + b'"a":1,' * (LARGE // 6) + b'"a":1}',
        "one number": b'{"columns":{"events":[' + b"1" * LARGE + b"]}}",
        "huge numbers": b'{"columns":{"events":[' + (b"9" * 4000 + b",") * (LARGE // 4001) + b"1]}}",
        "backslashes": b'{"columns":{"events":["' + b"\\" * LARGE + b'"]}}',
        "quotes": b'{"columns":{"events":[' + b'"",' * (LARGE // 3) + b'""]}}',
        "empty": b"",
        "spaces": b" " * LARGE,
        "another encoding": '{"columns":{"events":[1]}}'.encode("utf-16"),
    }


def csv_bodies() -> dict[str, bytes]:
    """Make bodies of CSV: far more records than rows, or one that is far too long."""
    return {
        "line ends": _HEADER + b"\n" * LARGE,
        "returns": _HEADER + b"\r" * LARGE,
        "rows": _HEADER + b"1,1,1\n" * (LARGE // 6),
        "a stray quote": _HEADER + b'x",' + b"\n" * LARGE,
        "one cell": _HEADER + b"1,1," + b"x" * LARGE,
        "commas": _HEADER + b"," * LARGE,
    }


def arrow_bodies() -> dict[str, bytes]:
    """Make Arrow streams of a few megabytes, or bytes, that decode to gigabytes."""
    codes, words = pa.array(np.zeros(MAX_ROWS, np.int8)), pa.array(["u" * 5_000])
    inputs = {name: np.ones(MAX_ROWS) for name in ("events", "logons", "failures")}
    columns = {name: pa.DictionaryArray.from_arrays(codes, words) for name in _CONTEXT}
    return {
        "dictionaries": stream(pa.table(inputs | columns)),
        "rows": stream(pa.table({"events": pa.nulls(2**31 - 1)})),
    }


def stream(table: Any, **options: Any) -> bytes:
    """Write a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _measured(model: TrainedModel, body: bytes, media_type: str) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        decode(body, media_type, MAX_ROWS, model, model_name="m", batch_id="b" * 8, write=True)
        said = "read"
    except BadInput as error:
        said = f"{error.status}: {error.detail[:60]}"
    seconds, grown = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(f"{len(body) / 1e6:7.1f} MB {seconds:7.2f} s {grown / 1024:6.0f} MiB  {said}\n")


def main() -> None:
    """Print a line for each body."""
    from tests.conftest import make_tiny_model

    model, context = make_tiny_model(), multiprocessing.get_context("fork")
    for media_type, bodies in ((MEDIA_CSV, csv_bodies()), (MEDIA_JSON, json_bodies()), (MEDIA_ARROW, arrow_bodies())):
        for name, body in bodies.items():
            sys.stdout.write(f"{media_type.split('/')[1][:16]:16} {name:18}")
            sys.stdout.flush()
            process = context.Process(target=_measured, args=(model, body, media_type))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
