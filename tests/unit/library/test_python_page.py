"""docs/python.md runs as it stands, says what it prints, and lists every parameter."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

import qscore

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def space() -> dict[str, Any]:
    """The names that the page has made so far."""
    return {}


def block(beginning: str) -> str:
    found: list[str] = [text for text in BLOCKS if beginning in text]
    assert len(found) == 1
    return found[0]


def run(text: str, space: dict[str, Any]) -> None:
    exec(compile(text, "docs/python.md", "exec"), space)  # noqa: S102 - our own page


def test_the_five_lines_say_what_the_page_says(space: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run(block("GridSearchCV, cross_val_score"), space)
    said = float(re.findall(r"AUC (\S+);", capsys.readouterr().out)[0])
    stated = float(re.findall(r"^    AUC (\S+);", PAGE, re.MULTILINE)[0])
    assert said == pytest.approx(stated, abs=0.003)


def test_the_estimators_of_the_page_do_what_it_says(space: dict[str, Any]) -> None:
    run(block("NystromFeatures"), space)
    assert space["linear"].score(space["X"], space["y"]) > 0.9
    values = space["values"]
    assert np.array_equal(values, values.T)
    assert np.abs(np.diag(values) - 1.0).max() < 1e-12
    assert 0.03 < space["outliers"][space["y"] == 0].mean() < 0.07


def test_the_circuit_of_the_page_is_searched_beside_others(space: dict[str, Any]) -> None:
    run(block("def rings"), space)
    assert space["search"].best_score_ > 0.85
    assert len(space["search"].cv_results_["params"]) == 9


def test_the_plots_of_the_page_are_drawn(space: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    mpl.use("Agg")
    plt.close("all")
    run(block("plot_spectrum"), space)
    assert capsys.readouterr().out.startswith("zz: x = 1 z")
    assert len(plt.get_fignums()) == 3
    plt.close("all")


@pytest.mark.parametrize("name", [name for name in qscore.__all__ if name != "__version__"])
def test_every_name_is_on_the_page(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE)


def test_the_signed_model_of_the_page_scores(
    tmp_path: Path, publish_tiny: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    publish_tiny(tmp_path)
    found: dict[str, Any] = {"qscore": qscore}
    run(block("load_model").replace("~/.local/share/qscore", str(tmp_path)), found)
    assert (found["scored"]["qscore"] >= 0.0).all()
    assert "400 random rows of a test" in capsys.readouterr().out


def test_every_public_estimator_and_shared_parameter_is_on_the_page() -> None:
    estimators = [name for name in qscore.__all__ if hasattr(getattr(qscore, name), "get_params")]
    assert len(estimators) == 4
    shared = set.intersection(*(set(getattr(qscore, name)().get_params()) for name in estimators))
    stated = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE, re.MULTILINE))
    assert set(estimators) | shared <= set(stated)
    assert shared == {"feature_map", "bandwidth", "map_parameters", "scale"}
    assert stated["feature_map"] == '`"auto"`'
