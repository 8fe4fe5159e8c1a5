"""`qscore elastic install`, `diff` and `uninstall` as commands, on a real Elasticsearch."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from demo.standins.kibana_endpoint import KibanaEndpoint
from scorer.cli.main import build
from scorer.wire.errors import QScoreError
from tests.elastic.conftest import Server


@pytest.fixture
def home(elasticsearch: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A qscore home whose settings name the server; the password lies in the file `password`."""
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "qscore.toml").write_text(f'[elastic]\nurl = "{elasticsearch.url}"\n')
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(elasticsearch.dev.password)
    return tmp_path


def test_the_commands_install_and_see_no_difference(installed: Server, home: Path) -> None:
    run, app = CliRunner(), build()
    login = ["--user", installed.dev.user, "--password-file", str(home / "password")]
    dry = run.invoke(app, ["elastic", "install", *login, "--no-keys", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not (home / "kibana").exists()
    done = run.invoke(app, ["elastic", "install", *login, "--no-keys"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (home / "kibana").iterdir()} >= {"qscore_rules.ndjson", "qscore_saved_objects.ndjson"}
    same = run.invoke(app, ["elastic", "diff", *login])
    assert same.exit_code == 0, same.output
    assert "no difference" in same.output
    gone = run.invoke(app, ["elastic", "uninstall", *login, "--dry-run"])
    assert gone.exit_code == 0, gone.output
    assert "qscore@mappings" in gone.output
    assert run.invoke(app, ["elastic", "diff", *login]).exit_code == 0, "a dry run removes nothing"


def test_nothing_is_removed_before_the_question_is_answered(installed: Server, home: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(home / "server.pem"))
    login = ["--user", installed.dev.user, "--password-file", str(home / "password")]
    with KibanaEndpoint(installed.dev.user, installed.dev.password, home / "server.pem") as kibana:
        there = ["--kibana-url", kibana.url, "--kibana-ca", str(home / "ca.pem")]
        made = CliRunner().invoke(build(), ["elastic", "install", *login, "--no-keys", *there])
        assert made.exit_code == 0, made.output
        before = dict(kibana.objects), dict(kibana.rules)
        asked = CliRunner().invoke(build(), ["elastic", "uninstall", *login, *there, "--delete-data"], input="n\n")
        assert asked.exit_code == 1, asked.output
        assert "for good?" in asked.output
        assert (dict(kibana.objects), dict(kibana.rules)) == before
    assert CliRunner().invoke(build(), ["elastic", "diff", *login]).exit_code == 0


def test_a_difference_is_exit_code_1(elasticsearch: Server, home: Path) -> None:
    (home / "qscore.toml").write_text(
        f'[elastic]\nurl = "{elasticsearch.url}"\nstate_index = "e3-{uuid.uuid4().hex[:8]}"\n'
    )
    login = ["--user", elasticsearch.dev.user, "--password-file", str(home / "password")]
    result = CliRunner().invoke(build(), ["elastic", "diff", *login])
    assert result.exit_code == 1
    assert "create" in result.output


def test_printed_keys_are_requests_for_the_console(home: Path) -> None:
    result = CliRunner().invoke(build(), ["elastic", "install", "--print-keys"])
    assert result.exit_code == 0, result.output
    requests = [json.loads(part) for part in result.stdout.split("POST /_security/api_key\n")[1:]]
    assert [request["name"] for request in requests] == ["qscore-installer", "qscore-runtime"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--user", "elastic", "--key-file", "x"], "with one of them"),
        (["--password-file", "x"], "Add --user"),
        ([], "no login"),
        (["--user", "elastic", "--password-file", "/nowhere"], "cannot be read"),
    ],
)
def test_logins_that_cannot_be_are_one_sentence(home: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(build(), ["elastic", "diff", *options])
    assert isinstance(result.exception, QScoreError)
    assert said in result.exception.sentence()
