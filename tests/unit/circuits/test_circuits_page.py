"""docs/circuits.md names every map, parameter and gate, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorer.circuits.circuit import Circuit
from scorer.circuits.expressions import UNARY
from scorer.circuits.gates import SIGNATURES
from scorer.circuits.plugins import installed, parameters_of
from scorer.circuits.steps.kinds import Hadamards, Phases
from scorer.training.qsvc.file import read_qsvc

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "circuits.md").read_text()
TABLE = PAGE.split("## The maps that come with qscore")[1].split("## ")[0]
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OURS = sorted(name for name, point in installed().items() if point.value.startswith("scorer."))


def _row(name: str) -> str:
    (row,) = (line for line in TABLE.splitlines() if line.startswith(f"| `{name}` |"))
    return row


@pytest.mark.parametrize("name", OURS)
def test_every_map_stands_there_with_its_parameters_and_defaults(name: str) -> None:
    stated = re.findall(r"`(\w+)` \(([^)]*)\)", _row(name).rsplit("|", 2)[1])
    taken = parameters_of(name)
    assert [parameter for parameter, _ in stated] == list(taken)
    for parameter, text in stated:
        default = taken[parameter]
        if isinstance(default, tuple):
            assert text == ", ".join(default)
        elif default is not None:
            assert text == str(default).lower()


def test_every_gate_stands_there() -> None:
    (listed,) = re.findall(r"angles first: ([^.]*)\.", PAGE)
    assert set(re.split(r",\s*", listed)) == set(SIGNATURES)
    (functions,) = re.findall(r"`apply` of ([^.]*)\.", PAGE)
    assert set(re.split(r",\s*", functions)) == set(UNARY) - {"neg"}


def test_its_plug_in_is_a_map() -> None:
    space: dict[str, object] = {}
    exec(BLOCKS[0], space)  # noqa: S102 - our own page
    made = space["breathing"](3)  # type: ignore[operator]
    assert isinstance(made, Circuit)
    assert made.features == 3


def test_its_way_from_qiskit_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    space: dict[str, object] = {}
    exec(BLOCKS[1], space)  # noqa: S102 - our own page
    first, second, last = space["mine"].plan.steps  # type: ignore[attr-defined]
    assert isinstance(first, Hadamards)
    assert isinstance(second, Phases)
    assert [mask for mask, _ in last.terms] == [0]
    assert space["stored"] == space["mine"].plan  # type: ignore[attr-defined]
    assert "OPENQASM 3.0" in str(space["text"])
    assert capsys.readouterr().out


def test_its_way_from_a_trained_qsvc_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(BLOCKS[2], space)  # noqa: S102 - our own page
    stored = read_qsvc(tmp_path / "machine.json")
    scores = stored.machine.collapsed().exact_scores(stored.machine.plan, stored.scaler.apply(space["values"]))
    assert np.abs(scores - space["qsvc"].decision_function(space["inputs"])).max() <= 1e-10
    assert list(stored.features) == space["features"]
