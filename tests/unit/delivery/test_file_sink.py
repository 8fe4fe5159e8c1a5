"""The sink that is a file: whole lines, whatever became of whoever wrote before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scorer.delivery.file_sink import FileSink
from tests.unit.delivery.builders import make_rows


def ids(path: Path) -> list[str]:
    return [json.loads(line)["fields"]["qscore_id"] for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("rows", [1, 400])
def test_half_a_line_of_a_killed_worker_spoils_no_other(tmp_path: Path, rows: int, kept: float) -> None:
    path, batch = tmp_path / "events.ndjson", make_rows(rows)
    FileSink(path, "qscore").send(batch)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: max(9, int(kept * len(whole.splitlines()[0])))])
    FileSink(path, "qscore").send(batch)
    assert ids(path) == [*batch.ids, *batch.ids]


def test_what_somebody_else_wrote_stays(tmp_path: Path) -> None:
    path, batch = tmp_path / "events.ndjson", make_rows(2)
    path.write_bytes(b"not ours, without a line end" + b"." * 100_000)
    FileSink(path, "qscore").send(batch)
    first, *events = path.read_bytes().splitlines()
    assert first.startswith(b"not ours, without a line end.")
    assert len(first) == 28 + 100_000
    assert len(events) == 2
