"""docs/dataflow.svg is what its script draws, and its steps are in the code and on docs/dataflow.md."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"


def _script() -> ModuleType:
    """Load the script that draws; packaging/ is no package."""
    spec = importlib.util.spec_from_file_location("draw_dataflow", ROOT / "packaging" / "draw_dataflow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()
CODE = sorted({step.where for step in SCRIPT.STEPS if step.is_code})


def test_the_drawing_is_what_the_script_makes() -> None:
    assert (DOCS / "dataflow.svg").read_text("utf-8") == SCRIPT.drawing(), "run `make drawing`"


def test_every_process_of_the_path_holds_code() -> None:
    inside = {
        band.title
        for band in SCRIPT.BANDS
        for step in SCRIPT.STEPS
        if step.is_code and band.left <= step.column <= band.right and band.top <= step.row <= band.bottom
    }
    assert inside == {"Search head", "Gateway", "Queue", "Worker", "Delivery", "Connector"}


@pytest.mark.parametrize("where", CODE)
def test_every_name_in_the_drawing_is_in_the_code(where: str) -> None:
    module, _, name = where.partition(":")
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)


@pytest.mark.parametrize("where", CODE)
def test_every_name_in_the_drawing_is_on_the_page(where: str) -> None:
    assert f"`{where}`" in (DOCS / "dataflow.md").read_text("utf-8")


@pytest.mark.parametrize("mark", sorted({step.mark for step in SCRIPT.STEPS if step.mark}))
def test_every_mark_in_the_drawing_begins_a_line_of_the_page(mark: str) -> None:
    page = (DOCS / "dataflow.md").read_text("utf-8")
    starts = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")}
    assert mark in starts


def test_the_drawing_is_well_formed_and_runs_no_script() -> None:
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(SCRIPT.drawing()).iter()}  # noqa: S314 - made here
    assert "text" in tags
    assert "script" not in tags
