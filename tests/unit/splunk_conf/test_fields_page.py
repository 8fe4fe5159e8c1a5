"""docs/fields.md names what is there, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from scorer.models.decision import DecisionRule
from scorer.rows.columns import BANDS
from scorer.splunk_preview.conf import read_conf
from scorer.wire.names import OUTPUT_COLUMNS
from tests.unit.delivery.builders import INDEXED_FIELDS


@pytest.fixture(scope="module")
def sections(repository: Path) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (repository / "docs" / "fields.md").read_text("utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def first_cells(section: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", section, flags=re.M)


def test_output_columns(sections: dict[str, str]) -> None:
    assert first_cells(sections["On every row of `| qscore`"]) == list(OUTPUT_COLUMNS)


def test_indexed_fields(sections: dict[str, str]) -> None:
    assert first_cells(sections["In the index, with `write=true`"]) == list(INDEXED_FIELDS)


def test_bands_and_risks_are_those_of_the_decision(sections: dict[str, str]) -> None:
    section, rule = sections["Band and risk"], DecisionRule(np.linspace(0.0, 1.0, 9_999), 0.01)
    examples = re.findall(r"^\| ([\d.]+) \| `(\w+)` \| (\d+) \|$", section, flags=re.M)
    assert {band for _, band, _ in examples} == set(BANDS)
    for text, band, risk in examples:
        p = np.array([float(text)])
        edge = 1.0 - p  # the score with that p-value
        assert (BANDS[rule.bands(p)[0]], rule.risks(edge, p)[0]) == (band, int(risk)), text


def test_the_table_of_bands_holds_their_edges(sections: dict[str, str]) -> None:
    section, rule = sections["Band and risk"], DecisionRule(np.linspace(0.0, 1.0, 9_999), 0.01)
    table = re.findall(r"^\| `(\w+)` \| (above|at most) ([\d.]+) times [^|]*\| (\d+)-(\d+) \|$", section, flags=re.M)
    assert [band for band, *_ in table] == list(BANDS)
    widest = {"low": 1.0, **{band: float(times) * rule.fpr for band, side, times, *_ in table if side == "at most"}}
    for band, _, _, floor, top in table:
        p = np.array([widest[band]])
        assert BANDS[rule.bands(p)[0]] == band
        assert rule.risks(np.array([-np.inf]), p)[0] == int(floor)
        assert BANDS[rule.bands(p * 1.001)[0]] != band or band == "low"
        highest = rule.risks(np.array([1e12]), np.array([1e-9])) if band == "critical" else None
        assert highest is None or highest[0] in (int(top) - 1, int(top))


def test_macros(sections: dict[str, str], repository: Path) -> None:
    assert sorted(first_cells(sections["Macros"])) == sorted(read_conf(repository / "default" / "macros.conf"))


def test_searches(repository: Path) -> None:
    page = (repository / "docs" / "fields.md").read_text("utf-8")
    names = list(read_conf(repository / "default" / "savedsearches.conf"))
    assert names
    assert [name for name in names if f"`{name}`" not in page] == []


def test_cim_fields_that_the_page_names_are_in_props(repository: Path) -> None:
    props = read_conf(repository / "default" / "props.conf")["qscore:score"]
    page = (repository / "docs" / "fields.md").read_text("utf-8")
    named = set(re.findall(r"CIM `(\w+)`", page))
    assert named
    assert {f"EVAL-{name}" for name in named} <= set(props)
