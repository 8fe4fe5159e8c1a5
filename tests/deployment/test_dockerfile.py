"""The Dockerfile: hadolint's rules, and those of ours that it does not know."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest

from tests.deployment.conftest import said


@pytest.fixture
def dockerfile(repository: Path) -> Path:
    return repository / "packaging" / "docker" / "Dockerfile"


def test_hadolint_finds_nothing(tools: Path, dockerfile: Path) -> None:
    checked = said(str(tools / "hadolint"), "--failure-threshold", "style", str(dockerfile))
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout + checked.stderr


def test_hadolint_finds_faults_where_there_are_some(tools: Path, dockerfile: Path) -> None:
    worse = dockerfile.read_text().replace("RUN groupadd", "RUN sudo apt-get install curl && cd /tmp && groupadd")
    checked = said(str(tools / "hadolint"), "-", given=worse)
    assert checked.returncode == 1
    assert "DL3004" in checked.stdout


def test_the_base_is_pinned_and_nobody_is_root(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases == ["${PYTHON_IMAGE}@${PYTHON_DIGEST}"] * 2
    assert re.search(r"^ARG PYTHON_DIGEST$", text, re.MULTILINE), "a default digest would grow old unseen"
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in text
    assert not re.search(r"index-url|extra-index|find-links|https?://", text)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("requirements/run.txt", True),
        ("dist/qscore-0.2.0-py3-none-any.whl", True),
        ("packaging/compose/secrets/gateway.toml", False),
        (".git/config", False),
        ("qscore.toml", False),
        ("requirements/dev.txt", False),
    ],
)
def test_nothing_but_the_lock_and_the_wheel_reaches_the_builder(repository: Path, path: str, sent: bool) -> None:
    """As Docker reads the file: the last line that fits decides."""
    ignored = False
    for line in (repository / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and (line == "*" or fnmatch.fnmatch(path, line.lstrip("!"))):
            ignored = not line.startswith("!")
    assert ignored is not sent
