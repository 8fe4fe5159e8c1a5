"""docs/fields.md names what is there, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scorer.delivery.hec.event import INDEXED_FIELDS
from scorer.splunk_preview.conf import read_conf
from scorer.wire.names import OUTPUT_COLUMNS


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


def test_macros(sections: dict[str, str], repository: Path) -> None:
    assert sorted(first_cells(sections["Macros"])) == sorted(read_conf(repository / "default" / "macros.conf"))


def test_searches(repository: Path) -> None:
    page = (repository / "docs" / "fields.md").read_text("utf-8")
    for name in read_conf(repository / "default" / "savedsearches.conf"):
        assert f"`{name}`" in page


def test_cim_fields_that_the_page_names_are_in_props(repository: Path) -> None:
    props = read_conf(repository / "default" / "props.conf")["qscore:score"]
    page = (repository / "docs" / "fields.md").read_text("utf-8")
    named = set(re.findall(r"CIM `(\w+)`", page))
    assert named
    assert {f"EVAL-{name}" for name in named} <= set(props)
