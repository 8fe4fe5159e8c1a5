"""Training from a file as a program does it: no terminal, progress by a callback, errors raised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scorer.registry.cards import CardStore
from scorer.rows.builder import Columns
from scorer.rows.files import write_table
from scorer.rows.recipe import load_recipe
from scorer.training.from_file import TrainRequest, train_file
from scorer.training.options import TrainOptions
from scorer.training.starter.generator import generate_events
from scorer.training.starter.model import train_starter
from scorer.wire.errors import BadTrainingData

RECIPE = load_recipe("lateral")
OPTIONS = TrainOptions(qubits=2, fpr=0.02, fit_rows=300)

#: A program of somebody's: with neither typer nor rich to be had, from a file to a signed, live model.
PROGRAM = """
import sys
sys.modules["typer"] = sys.modules["rich"] = None
from pathlib import Path
from scorer.registry.publish import publish
from scorer.registry.store import Registry
from scorer.rows.builder import Columns
from scorer.rows.recipe import load_recipe
from scorer.training.from_file import TrainRequest, train_file
from scorer.training.options import TrainOptions

home, data = Path(sys.argv[1]), Path(sys.argv[2])
options = TrainOptions(qubits=2, fpr=0.02, fit_rows=300)
columns = Columns("label", None, "activity")
model = train_file(TrainRequest(recipe=load_recipe("lateral"), data=data, columns=columns, options=options))
print(publish(model, Registry(home / "registry", home / "trusted_keys"), home / "key.pem").version)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough rows for a held-out third, so that one fit does instead of six."""
    file = tmp_path_factory.mktemp("data") / "events.csv"
    write_table(generate_events("lateral", 2000, np.random.default_rng(0), 0.12), file)
    return file


def test_a_program_trains_and_publishes_without_a_terminals_libraries(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "1\n", done.stderr
    card = CardStore(tmp_path / "registry", tmp_path / "trusted_keys").card("lateral")
    assert card.trained_on.endswith("rows (window grain) of events.csv, malicious where label")


@pytest.mark.parametrize("module", ["scorer.training.qsvc.from_file", "scorer.training.shots.from_file"])
def test_importing_and_measuring_need_no_terminal_either(module: str) -> None:
    code = f"import sys; sys.modules['typer'] = sys.modules['rich'] = None; import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_who_waits_hears_of_the_file_and_of_every_stage(data: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    request = TrainRequest(
        recipe=RECIPE, data=data, columns=Columns(), options=TrainOptions(family="density", qubits=2)
    )
    model = train_file(request, lambda *step: heard.append(step))
    assert heard[0] == ("reading events.csv", 0, 1)
    assert heard[-1] == ("done", 3, 3)
    assert model.facts["trained_on"].endswith("of events.csv, all taken for normal")


@pytest.mark.parametrize(
    ("columns", "grain", "options", "message"),
    [
        (Columns("label"), "day", OPTIONS, "--grain day is not known"),
        (Columns("label"), None, TrainOptions(family="forest"), "family 'forest' is not known"),
        (Columns(), None, OPTIONS, "--data without --label"),
        (Columns("label"), None, OPTIONS, r"absent\.csv cannot be read"),
    ],
)
def test_mistakes_are_named_before_the_file_is_read(
    columns: Columns, grain: str | None, options: TrainOptions, message: str
) -> None:
    request = TrainRequest(recipe=RECIPE, data=Path("absent.csv"), columns=columns, grain=grain, options=options)
    with pytest.raises(BadTrainingData, match=message):
        train_file(request)


def test_a_starter_of_an_unknown_family_is_refused_before_its_rows_are_made() -> None:
    heard: list[str] = []
    with pytest.raises(BadTrainingData, match="family 'forest' is not known; known are svc"):
        train_starter(RECIPE, TrainOptions(family="forest"), lambda text, _done, _total: heard.append(text))
    assert heard == []
