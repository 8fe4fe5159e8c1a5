from __future__ import annotations

import json
import multiprocessing
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scorer.delivery.file_sink import FileSink
from scorer.service.settings import HecSettings, Settings
from scorer.service.worker.sinks import make_sink
from scorer.wire.errors import ConfigurationError
from tests.unit.delivery.builders import make_rows


def settings(**changes: object) -> Settings:
    return Settings.model_construct(**{**Settings().model_dump(), "hec": HecSettings(), **changes})


def test_the_file_sink_writes_what_hec_would_get(tmp_path: Path) -> None:
    path = tmp_path / "out" / "events.ndjson"
    sink = make_sink(settings(sink="file", sink_file=path))
    rows = make_rows(3)
    assert sink.send(rows).taken == 3
    assert sink.send(rows[:1]).taken == 1
    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [event["fields"]["qscore_id"] for event in events] == [*rows.ids, rows.ids[0]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sink": "none"}, "writes nothing"),
        ({"sink": "kafka"}, "no sink is called 'kafka'"),
        ({"sink": "file"}, "sink_file"),
        ({"sink": "hec"}, "hec.url"),
        ({"sink": "hec", "hec": HecSettings(url="https://h:8088")}, "hec.token_file"),
    ],
)
def test_a_sink_that_is_not_set_up_says_what_to_set(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_sink(settings(**changes))
    assert says in caught.value.detail


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("token\n", 0o644, "chmod 600"),
        ("", 0o600, "holds no token"),
        ("two words", 0o600, "holds no token"),
        ("a\nb", 0o600, "holds no token"),
    ],
)
def test_a_token_file_is_checked(tmp_path: Path, text: str, mode: int, says: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(mode)
    hec = HecSettings(url="https://h:8088", token_file=file)
    with pytest.raises(ConfigurationError) as caught:
        make_sink(settings(sink="hec", hec=hec))
    assert says in caught.value.sentence()
    file.write_text("good-token\n")
    file.chmod(0o600)
    assert make_sink(settings(sink="hec", hec=hec)).name == "hec"


def test_a_package_that_the_elastic_sink_lacks_is_named() -> None:
    """urllib3 comes with the extra as well."""
    lines = (
        "import sys; sys.modules['urllib3'] = None",
        "from scorer.service.settings import Settings",
        "from scorer.service.worker.sinks import make_sink",
        "make_sink(Settings(), 'elastic')",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert "ConfigurationError: the sink elastic needs the package urllib3, which is not installed" in done.stderr
    assert "pip install 'qscore[elastic]'" in done.stderr


def append_some(path: Path) -> None:
    sink = FileSink(path, "qscore")
    for _ in range(20):
        sink.send(make_rows(5))


def test_processes_write_whole_lines_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    workers = [multiprocessing.get_context("spawn").Process(target=append_some, args=(path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    # Batches of five stay together: a lock, not luck.
    assert [event["fields"]["dest"] for event in events] == [f"srv{i:02d}" for i in range(5)] * 40
