"""The tutorial is run as it stands: its commands, then all of its Python in one process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = "docs/tutorial-lateral-movement.md"


def blocks(repository: Path, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall((repository / PAGE).read_text()) if name == language]


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {
        "QSCORE_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tutorial's first command has written its flows."""
    made = tmp_path_factory.mktemp("tutorial")
    program, *arguments = shlex.split(blocks(repository, "sh")[0])
    assert program == "qscore"
    run(made, "-m", "scorer.cli.main", *arguments)
    assert (made / "flows.csv").is_file()
    return made


def test_the_python_of_the_tutorial_runs_and_says_what_the_page_says(repository: Path, folder: Path) -> None:
    script = folder / "tutorial.py"
    script.write_text("\n".join(blocks(repository, "python")))
    said = run(folder, "-W", "error::DeprecationWarning:__main__", str(script))
    figures = {
        name: float(value)
        for name, value in re.findall(r"(Qiskit|qscore|RBF twin):(?:[^:]*?)ROC-AUC ([0-9.]+)", said, re.DOTALL)
    }
    assert set(figures) == {"Qiskit", "qscore", "RBF twin"}, said
    assert figures["Qiskit"] > 0.55
    assert abs(figures["Qiskit"] - figures["qscore"]) <= 0.005
    faster = [int(number) for number in re.findall(r"\((\d+) times as fast\)", said)]
    assert len(faster) == 2
    assert min(faster) >= 3, said  # a hundred and thousands; a fit takes milliseconds, and other programs run too
    assert "imported: decision function off by" in said


def test_the_training_command_of_the_tutorial_makes_a_model(repository: Path, folder: Path) -> None:
    program, *arguments = shlex.split(blocks(repository, "sh")[1])
    assert program == "qscore"
    said = run(folder, "-m", "scorer.cli.main", *arguments)
    assert "RBF twin" in said
    assert "Version 1 is live" in said
