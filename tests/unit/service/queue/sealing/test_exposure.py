"""Queue servers that others can write to, unsealed: who is told, and in which words."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from typer.testing import CliRunner

from elastic_connector.install.doctor.queue import check_queue
from scorer.cli.main import build
from scorer.service.access.api_keys import KeyFile
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.sealing.exposure import REMEDY, exposures
from scorer.service.queue.sealing.rotation import make_key_file
from scorer.service.settings import Settings, load_settings

FORGE = "can forge batches, scores and rows to write"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rediss://worker:secret@queue.example:6379/0", "others who reach it and have its password"),
        ("rediss://queue.example:6379/0", "others who reach it"),
        ("redis://localhost:6379/0", "other users of this machine"),
        ("redis://:secret@127.0.0.1:6379/0", "other users of this machine and have its password"),
        ("rediss://[::1]:6379/0", "other users of this machine"),
    ],
)
def test_each_kind_of_server_has_its_words(tmp_path: Path, url: str, said: str) -> None:
    (sentence,) = exposures(load_settings(home=tmp_path, broker_url=url))
    assert f": {said} {FORGE}" in sentence
    assert "secret" not in sentence


def test_each_server_is_told_apart_and_a_key_or_a_socket_of_ones_own_ends_it(tmp_path: Path) -> None:
    urls = {"broker_url": "rediss://durable.example/0", "interactive_broker_url": "redis://localhost/0"}
    durable, fast = exposures(load_settings(home=tmp_path, **urls))
    assert "durable.example" in durable
    assert "localhost" in fast
    assert exposures(load_settings(home=tmp_path, **urls, queue_key_file=tmp_path / "queue.key")) == ()
    assert exposures(load_settings(home=tmp_path)) == ()
    (half,) = exposures(load_settings(home=tmp_path, interactive_broker_url="redis://localhost/0"))
    assert "localhost" in half


@pytest.mark.parametrize(
    ("folder_mode", "socket_mode", "told"), [(0o755, 0o777, 1), (0o700, 0o777, 0), (0o755, 0o770, 0)]
)
def test_a_socket_counts_by_who_may_connect(tmp_path: Path, folder_mode: int, socket_mode: int, told: int) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "v.sock"))
        (folder / "v.sock").chmod(socket_mode)
        folder.chmod(folder_mode)
        found = exposures(load_settings(home=tmp_path, broker_url=f"redis+socket://{folder}/v.sock"))
    assert len(found) == told
    assert exposures(load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/absent.sock")) == ()


@pytest.fixture
def settings(tmp_path: Path, client: redis.Redis) -> Settings:
    """A queue with a worker, behind a socket that every user of the machine may open."""
    tmp_path.chmod(0o755)
    (tmp_path / "v.sock").chmod(0o777)
    Exchange(client).beat("score", "worker:1")
    return load_settings(home=tmp_path / "home", broker_url=f"redis+socket://{tmp_path}/v.sock")


def test_a_reader_of_readyz_and_the_doctor_are_warned(settings: Settings, application: Callable[..., Flask]) -> None:
    reader = f"Bearer {KeyFile(settings.api_keys).add(['read'])[1]}"
    asked = application(settings).test_client().get
    told: Any = asked("/readyz", headers={"Authorization": reader}).json
    assert (told["status"], len(told["warnings"])) == ("ready", 1)
    assert FORGE in told["warnings"][0]
    assert told["warnings"][0].endswith(REMEDY)
    assert asked("/readyz").json == {"status": "ready"}
    (finding,) = check_queue(settings)
    assert (finding.state, finding.remedy) == ("warn", REMEDY)
    make_key_file(settings.home / "queue.key")
    sealed = settings.model_copy(update={"queue_key_file": settings.home / "queue.key"})
    told = application(sealed).test_client().get("/readyz", headers={"Authorization": reader}).json
    assert "warnings" not in told
    assert [finding.state for finding in check_queue(sealed)] == ["ok"]


def test_status_warns_and_so_does_every_process_at_its_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"QSCORE_HOME": str(settings.home), "QSCORE_BROKER_URL": settings.broker_url}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said = " ".join(CliRunner().invoke(build(), ["status"]).output.split())
    assert "warn queue: what lies on redis+socket:" in said
    for module, *words in (("scorer.service.worker", "score"), ("scorer.service.gateway",)):
        first = first_line(module, *words, QSCORE_GATEWAY__PORT="0", **variables)
        assert (first["event"], first["level"], first["remedy"]) == ("queue_not_sealed", "warning", REMEDY), module


def first_line(module: str, *words: str, **variables: str) -> dict[str, Any]:
    """The first thing that a process says in its log."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | variables) as process:
        try:
            assert process.stderr is not None
            return dict(json.loads(process.stderr.readline()))
        finally:
            process.kill()
