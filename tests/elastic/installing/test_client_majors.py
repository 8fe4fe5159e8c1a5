"""The client of the next major, really installed, against the real server: one sentence, not a stack of headers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.elastic_client.client import connect, server_info
from scorer.elastic_client.settings import ElasticSettings
from tests.elastic.conftest import Server

PROGRAM = """
import sys
from pathlib import Path
import elasticsearch
from scorer.elastic_client.client import connect, server_info
from scorer.elastic_client.settings import ElasticSettings
from scorer.wire.errors import QScoreError

print(elasticsearch.__version__[0])
try:
    print(server_info(connect(ElasticSettings(url=sys.argv[1], api_key_file=Path(sys.argv[2])))).number)
except QScoreError as error:
    print(type(error).__name__, error.sentence())
"""


@pytest.fixture(scope="module")
def next_major(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the locked 9.x client alone."""
    folder = tmp_path_factory.mktemp("elastic9")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    lock = repository / "requirements" / "elastic9.txt"
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--require-hashes",
        "-r",
        str(lock),
    ]
    subprocess.run(pip, check=True)
    return python


def test_the_locked_client_speaks_to_the_server(elasticsearch: Server, key_file: Callable[[str], Path]) -> None:
    info = server_info(
        connect(ElasticSettings(url=elasticsearch.url, api_key_file=key_file(elasticsearch.runtime_key())))
    )
    assert info.number.startswith(("8.", "9."))
    assert info.uuid


def test_a_client_that_is_too_new_says_so(
    elasticsearch: Server, key_file: Callable[[str], Path], next_major: Path, repository: Path, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    key = key_file(elasticsearch.runtime_key())
    command = [str(next_major), str(program), elasticsearch.url, str(key)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(repository)}, timeout=60)
    assert done.returncode == 0, done.stderr
    major, said = done.stdout.splitlines()
    assert major == "9"
    if elasticsearch.admin.info()["version"]["number"].startswith("8."):
        assert said.startswith(
            "ConfigurationError could not ask Elasticsearch for its version: the client elasticsearch 9."
        )
        assert said.endswith("pip install 'elasticsearch>=8.19,<9'")
