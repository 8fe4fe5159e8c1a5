"""What a caller hears of a fault on this side: never where files lie."""

from __future__ import annotations

import ast
import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from scorer.registry.trusted import revoke
from scorer.service.access.api_keys import KeyFile, Terms
from scorer.service.access.disclosure import disclosed, roots_of, without_paths
from scorer.service.settings import Settings
from scorer.wire.errors import BadInput, Problem, QScoreError

MARKER = "q score-home"


@pytest.fixture
def settings(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> Settings:
    made = Settings(home=tmp_path / MARKER)
    publish_tiny(made.home)
    return made


@pytest.fixture
def client(settings: Settings, application: Callable[..., Flask]) -> FlaskClient:
    client = application(settings).test_client()
    secret = KeyFile(settings.api_keys).add(["read", "score"])[1]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client


def _aliases(settings: Settings) -> Path:
    return settings.registry / "lateral" / "aliases.json"


def _version(settings: Settings, name: str) -> Path:
    return settings.registry / "lateral" / "1-starter" / name


def _key(settings: Settings) -> Path:
    return next(settings.trusted_keys.glob("*.json"))


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _lead_out(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


FAULTS: dict[str, tuple[Callable[[Settings], Any], int]] = {
    "aliases damaged": (lambda s: _aliases(s).write_text("{"), 500),
    "aliases a pipe": (lambda s: _replace_by_pipe(_aliases(s)), 500),
    "aliases open to all": (lambda s: _aliases(s).chmod(0o666), 500),
    "aliases lead out": (lambda s: _lead_out(_aliases(s)), 500),
    "registry open to all": (lambda s: s.registry.chmod(0o777), 500),
    "version open to all": (lambda s: _version(s, "").chmod(0o777), 500),
    "manifest changed": (lambda s: _version(s, "manifest.json").write_text("{}"), 500),
    "manifest too large": (lambda s: _version(s, "manifest.json").write_bytes(b" " * (2**21 + 1)), 500),
    "signature gone": (lambda s: _version(s, "manifest.sig").unlink(), 500),
    "signature damaged": (lambda s: _version(s, "manifest.sig").write_text("x"), 500),
    "key gone": (lambda s: _key(s).unlink(), 500),
    "key damaged": (lambda s: _key(s).write_text("[" * 3000), 500),
    "key open to all": (lambda s: _key(s).chmod(0o666), 500),
    "keys open to all": (lambda s: s.trusted_keys.chmod(0o777), 500),
    "key revoked": (lambda s: revoke(_key(s).stem, s.trusted_keys), 410),
    "API keys open to all": (lambda s: s.api_keys.chmod(0o644), 500),
    "API keys damaged": (lambda s: s.api_keys.write_text("[" * 100_000), 500),
}


@pytest.mark.parametrize("name", FAULTS)
def test_no_answer_says_where_files_lie(
    settings: Settings, client: FlaskClient, name: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    break_it, status = FAULTS[name]
    assert client.get("/v1/models/lateral").status_code == 200
    break_it(settings)
    headers = {"X-QScore-Rows": "1", "Content-Type": "text/csv"}
    for answer in (
        client.get("/v1/models/lateral"),
        client.post("/v1/models/lateral/score", data=b"events\n1\n", headers=headers),
    ):
        assert answer.status_code == status, answer.text
        assert answer.content_type == "application/problem+json"
        problem = json.loads(answer.data)
        assert MARKER not in answer.text
        assert str(tmp_path) not in answer.text
        assert problem["code"] == ("model_revoked" if status == 410 else problem["code"])
        assert problem["remedy"]


def test_the_log_says_where(settings: Settings, client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().setLevel(logging.INFO)
    settings.trusted_keys.chmod(0o777)
    client.get("/v1/models/lateral")
    assert str(settings.trusted_keys) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scopes", "models", "told"),
    [(["read", "score"], (), True), (["score"], (), False), (["read", "score"], ("absent",), False)],
)
def test_other_models_are_named_to_those_alone_who_may_list_them(
    settings: Settings,
    application: Callable[..., Flask],
    scopes: list[str],
    models: tuple[str, ...],
    told: bool,
) -> None:
    client = application(settings).test_client()
    key = KeyFile(settings.api_keys).add(scopes, terms=Terms(models=models))[1]
    headers = {"X-QScore-Rows": "1", "Content-Type": "text/csv", "Authorization": f"Bearer {key}"}
    answers = [client.post("/v1/models/absent/score", data=b"events\n1\n", headers=headers)]
    answers += [client.get("/v1/models/absent", headers=headers)] if "read" in scopes else []
    for answer in answers:
        assert (answer.status_code, "lateral" in answer.text) == (404, told)


def _raised(tree: ast.Module) -> Iterator[tuple[str, list[ast.expr]]]:
    """Errors that a module makes: the name of each and its arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield name, node.args


def _filled(node: ast.expr) -> str:
    """A message with a path wherever something is filled in."""
    path = f"/srv/{MARKER}/registry/lateral/aliases.json"
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_filled(part) if isinstance(part, ast.Constant) else path for part in node.values)
    return path


def _messages(repository: Path) -> list[tuple[type[QScoreError], str, str]]:
    """Every message of an error of this side, in the whole scorer."""
    errors = importlib.import_module("scorer.wire.errors")
    found = []
    for path in sorted((repository / "scorer").rglob("*.py")):
        for name, arguments in _raised(ast.parse(path.read_text())):
            kind = getattr(errors, name, None)
            if (
                isinstance(kind, type)
                and issubclass(kind, QScoreError)
                and not issubclass(kind, BadInput)
                and arguments
            ):
                texts = [_filled(argument) for argument in arguments]
                found.append((kind, texts[0], texts[1] if len(texts) > 1 else ""))
    return found


def test_no_error_of_this_side_keeps_a_path(repository: Path) -> None:
    roots = roots_of(Settings(home=Path("/srv") / MARKER))
    messages = [one for one in _messages(repository) if one[0].status >= 500]
    assert len(messages) > 100
    assert sum(MARKER in detail + remedy for _, detail, remedy in messages) > 60
    for kind, detail, remedy in messages:
        problem = Problem.of(disclosed(kind(detail, remedy), roots))
        assert MARKER not in problem.to_json().decode(), detail
        assert "/srv/" not in problem.detail + problem.remedy


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a/b.json is damaged", "<path> is damaged"),
        ("'/a/b c' is damaged", "'<path> c' is damaged"),
        ("Run: chmod go-w /home/x/y.", "Run: chmod go-w <path>"),
        ("a body of type 'text/csv' or application/json", "a body of type 'text/csv' or application/json"),
        ("https://host:8088/services and rediss://u@h:1/0", "https://host:8088/services and rediss://u@h:1/0"),
        ("2 and/or 3; 1/2", "2 and/or 3; 1/2"),
        ('(/a/b): ~/c/d, "/e"', '(<path>): <path>, "<path>"'),
        ("<registry>/lateral/aliases.json", "<registry>/lateral/aliases.json"),
    ],
)
def test_paths_are_told_from_other_slashes(text: str, shown: str) -> None:
    assert without_paths(text, {}) == shown


def test_known_folders_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    settings = Settings(home=tmp_path / "link", registry_dir=tmp_path / "models")
    text = f"{tmp_path}/home/x, {tmp_path}/link/y and {tmp_path}/models/z"
    assert without_paths(text, roots_of(settings)) == "<home>/x, <home>/y and <registry>/z"
