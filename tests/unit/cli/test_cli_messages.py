"""Names with brackets, which Rich would take for markup, and files that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scorer.cli.elastic.login import Login
from scorer.cli.main import build
from scorer.wire.errors import BadTrainingData, ConfigurationError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str) -> str:
    result = CliRunner().invoke(build(), words, catch_exceptions=False, env={"COLUMNS": "200"})
    return result.output


def test_a_key_s_note_is_shown_as_it_is(home: Path) -> None:
    run("key", "new", "--note", "[/x] search head [1]")
    assert "[/x] search head [1]" in run("key", "list")


def test_a_file_name_with_brackets_is_shown_as_it_is(home: Path, tmp_path: Path) -> None:
    events, rows = tmp_path / "events[raw].csv", tmp_path / "rows[final].csv"
    assert "events[raw].csv" in run(
        "generate", "--model", "lateral", "--rows", "400", "--attack-share", "0.3", "--out", str(events)
    )
    assert "rows[final].csv" in run("rows", "--model", "lateral", "--data", str(events), "--out", str(rows))
    words = ("--label", "label", "--qubits", "1", "--fpr", "0.1", "--fit-rows", "100")
    run("rows", "--model", "lateral", "--data", str(events), "--out", str(rows), "--label", "label")
    assert "rows[final].csv" in run("train", "--model", "lateral", "--data", str(rows), *words)
    assert "[final]" in run("models")


@pytest.mark.parametrize("words", [("rows", "--data", "absent.csv"), ("generate", "--rows", "5")])
def test_rows_are_not_made_for_a_file_that_cannot_be_written(home: Path, words: tuple[str, ...]) -> None:
    """Said before anything is read or made: a month of events takes minutes."""
    with pytest.raises(BadTrainingData, match=r"cannot write rows\.txt"):
        run(words[0], "--model", "lateral", *words[1:], "--out", "rows.txt")


def test_settings_that_cannot_be_read_are_named_before_a_model_is_trained(home: Path) -> None:
    home.mkdir()
    (home / "qscore.toml").write_text("workers = [\n")
    with pytest.raises(ConfigurationError, match=r"qscore\.toml"):
        run("train", "--model", "lateral", "--data", "absent.csv", "--label", "y")


def test_a_password_file_that_others_may_read_or_that_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"--password-file .* can be read by others"):
        Login.of("admin", file, None)
    file.chmod(0o600)
    assert Login.of("admin", file, None) == Login("admin", "secret")
    file.write_text("")
    with pytest.raises(ConfigurationError, match=r"holds no password\. It must hold the password alone"):
        Login.of("admin", file, None)


def test_scores_are_not_made_for_a_file_that_cannot_be_written(home: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("events\n1\n")
    with pytest.raises(BadTrainingData, match=r"cannot write scored\.txt"):
        run("score", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "scored.txt"))
