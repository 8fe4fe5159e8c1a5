"""The notebooks run from the first cell to the last, and what they compute is what they say."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

mpl.use("Agg")

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@dataclass(frozen=True)
class Ran:
    """A notebook after its last cell: its names, what it printed, and how many figures it drew."""

    names: dict[str, Any]
    said: str
    figures: int


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Run the code cells of a notebook in one namespace, in a folder of their own, with the commands of this Python."""
    (path,) = [path for path in NOTEBOOKS if path.name.startswith(name)]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("QSCORE_HOME", str(folder))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, Any] = {"__name__": "__main__"}
    said = io.StringIO()
    plt.close("all")
    with redirect_stdout(said):
        for number, cell in enumerate(cells(path, "code")):
            exec(compile("".join(cell["source"]), f"{path.name}, code cell {number + 1}", "exec"), names)  # noqa: S102 - ours
    figures = len(plt.get_fignums())
    plt.close("all")
    return Ran(names, said.getvalue(), figures)


def test_there_are_notebooks() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == ["01-", "02-", "03-"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_a_notebook_is_of_the_format_without_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert {(cell["execution_count"], len(cell["outputs"])) for cell in cells(path, "code")} == {(None, 0)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name[:2])
def test_a_notebook_says_first_that_circuits_are_simulated(path: Path) -> None:
    first = "".join(cells(path, "markdown")[0]["source"])
    assert "**Circuits are simulated exactly on classical processors here" in first


def test_the_first_steps_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("01", tmp_path, monkeypatch)
    assert ran.names["accuracy"] > 0.85
    assert "q0: ─H──P(2 x0)──●" in ran.said
    # A bandwidth too small and one too large are worse than one between them, and the twin is as good as any.
    curve = ran.names["held_out"].mean(axis=1)
    assert curve.max() > curve[-1] + 0.05
    assert ran.names["twin_auc"] > curve.max() - 0.01
    assert ran.names["linear_auc"] > 0.9
    assert ran.names["novelty_auc"] > 0.6
    assert f"isolation forest {ran.names['isolation_auc']:.3f}" in ran.said
    assert ran.figures == 1


def test_the_diagnostics_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("02", tmp_path, monkeypatch)
    narrow, right, wide = ran.names["ranks"]
    assert narrow < 3 < right < wide
    # Falling by about the same factor with every qubit, as the page says; not so where the bandwidth shrinks.
    assert (np.diff(np.log(ran.names["fixed"])) < -0.2).sum() >= 6
    assert ran.names["shrinking"][-1] > 10 * ran.names["fixed"][-1]
    assert ran.names["quantum_auc"] > ran.names["rbf_auc"] + 0.02
    assert ran.figures == 4


def test_a_machine_of_a_notebook_becomes_a_signed_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("03", tmp_path, monkeypatch)
    assert (ran.names["model"].name, ran.names["model"].version) == ("lateral", "1")
    assert ran.names["held_out_auc"] > 0.7
    assert ran.names["signed_auc"] == pytest.approx(ran.names["held_out_auc"], abs=0.01)
    assert "RBF" in ran.said
    assert "refused: " in ran.said.splitlines()[-1]
