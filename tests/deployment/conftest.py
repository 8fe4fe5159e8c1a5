"""The tools of .venv-deployment, and what is asked of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tools(repository: Path, require: Callable[[bool, str], None]) -> Path:
    """The folder of the checkers' programs."""
    folder = repository / ".venv-deployment" / "bin"
    require((folder / "hadolint").exists(), "the checkers are not installed: `make test-deployment` does it")
    return folder


def said(*command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=300)
