from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scorer.cli import delivery as delivery_cli
from scorer.cli import splunk as splunk_cli
from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.file_sink import FileSink
from scorer.delivery.sink import Refused
from scorer.splunk_preview.errors import ConfError
from scorer.splunk_preview.notable import App, read_events
from scorer.wire.errors import BadOption, DeliveryFailed
from tests.unit.delivery.builders import make_rows


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    app = typer.Typer()
    splunk_cli.register(app)
    delivery_cli.register(app)
    return app


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.ndjson"
    FileSink(path, "qscore").send(make_rows(4))
    return path


def test_preview_shows_each_notable_and_says_what_it_is(command: typer.Typer, events: Path) -> None:
    result = CliRunner().invoke(command, ["splunk", "preview", "--events", str(events)], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "It was not run on Splunk" in " ".join(result.output.split())
    assert "Lateral movement: user3 from 10.0.0.1 to srv03 (risk 80)" in result.output
    assert "T1021" in result.output
    assert "user user3 +50" in result.output
    assert "2 notable events from 4 score events" in result.output


def test_preview_as_json(command: typer.Typer, events: Path) -> None:
    arguments = ["splunk", "preview", "--events", str(events), "--json", "--limit", "1"]
    result = CliRunner().invoke(command, arguments)
    shown = [json.loads(line) for line in result.output.splitlines()]
    assert [n["entities"]["user"] for n in shown] == ["user3"]


def test_preview_without_events_says_what_to_give(command: typer.Typer) -> None:
    result = CliRunner().invoke(command, ["splunk", "preview"])
    assert isinstance(result.exception, BadOption)
    assert "--events" in result.exception.remedy


def test_markup_in_an_entity_is_shown_not_obeyed(command: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    FileSink(path, "qscore").send(make_rows(2, user=["a", "[red]eve[/nope]"]))
    result = CliRunner().invoke(command, ["splunk", "preview", "--events", str(path)], env={"COLUMNS": "160"})
    assert "[red]eve[/nope]" in result.output


@pytest.mark.parametrize("line", ["not json", "[]", '{"fields": {}}', "[" * 100_000])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"event": "e"}\n' + line + "\n")
    with pytest.raises(ConfError, match="line 2"):
        read_events(path)


def test_an_unknown_search_or_app_is_named(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(ConfError, match="no search 'x'"):
        App.read(repository).rule("x")
    with pytest.raises(ConfError, match=r"macros\.conf"):
        App.read(tmp_path)


def test_dead_letters_are_listed_replayed_and_purged(
    command: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner().invoke
    assert "no dead letters" in run(command, ["dead", "list"]).output
    store = DeadLetters(tmp_path / "home" / "dead_letters.sqlite")
    store.add("file", [Refused(make_rows(3), "disk full")])
    listed = run(command, ["dead", "list", "--limit", "2"], env={"COLUMNS": "200"}).output
    assert "disk full" in listed
    assert "3 dead letters (2 shown)" in listed
    assert len(run(command, ["dead", "list", "--json"]).output.splitlines()) == 3
    assert isinstance(run(command, ["dead", "purge"]).exception, BadOption)

    monkeypatch.setenv("QSCORE_SINK", "file")
    monkeypatch.setenv("QSCORE_SINK_FILE", str(tmp_path / "out.ndjson"))
    assert "3 dead letters would be sent" in run(command, ["dead", "replay", "--dry-run"]).output
    assert "3 sent, 0 refused again, 0 left" in run(command, ["dead", "replay"]).output
    assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 3
    assert store.counts() == {}

    store.add("file", [Refused(make_rows(2), "again")])
    (tmp_path / "in-the-way").write_text("")
    monkeypatch.setenv("QSCORE_SINK_FILE", str(tmp_path / "in-the-way" / "out.ndjson"))
    failed = run(command, ["dead", "replay"])
    assert isinstance(failed.exception, DeliveryFailed)
    assert store.counts() == {"file": 2}
    assert "2 dead letters deleted" in run(command, ["dead", "purge", "--yes"]).output
