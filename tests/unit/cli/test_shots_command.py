"""`qscore shots` on a model of a real registry and a labelled file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from scorer.cli.main import build
from scorer.rows.files import write_table
from scorer.training.starter.generator import generate_events
from scorer.wire.errors import BadOption

SHOTS = ("shots", "--model", "lateral", "--label", "label", "--rows", "200", "--repeats", "2")


@pytest.fixture
def data(tmp_path: Path, publish_tiny: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of labelled events, beside a home with the small model in it."""
    publish_tiny(tmp_path / "home")
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    write_table(generate_events("lateral", 600, np.random.default_rng(1), 0.2), tmp_path / "events.csv")
    return str(tmp_path / "events.csv")


def test_the_table_has_a_line_for_each_number_of_shots(data: str) -> None:
    done = CliRunner().invoke(build(), [*SHOTS, "--data", data, "--shots", "100000", "--shots", "16"])
    assert done.exit_code == 0, done.output
    lines = re.findall(r"(exact|16|100000)\s*\S\s*(0\.\d+)", done.output)
    assert [name for name, _ in lines] == ["exact", "16", "100000"], done.output
    exact, few, many = (float(value) for _, value in lines)
    assert abs(many - exact) <= 0.03
    assert abs(many - exact) <= abs(few - exact)
    assert "200 rows" in done.output


def test_a_noisy_circuit_runs_on_aer(data: str) -> None:
    options = [*SHOTS[:-4], "--rows", "20", "--repeats", "1", "--shots", "64", "--cx-error", "0.01", "--data", data]
    done = CliRunner().invoke(build(), options)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--shots", "1"], "1 shots"),
        (["--method", "guess"], "method is 'guess'"),
        (["--cx-error", "2"], "no probability"),
    ],
)
def test_impossible_options_are_refused(data: str, wrong: list[str], message: str) -> None:
    done = CliRunner().invoke(build(), [*SHOTS, "--data", data, *wrong])
    assert isinstance(done.exception, BadOption)
    assert message in str(done.exception)
