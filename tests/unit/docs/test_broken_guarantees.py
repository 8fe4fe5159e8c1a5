"""The table of guarantees that can be broken on purpose fits the code, the tests and docs/reliability.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.broken.__main__ import missed
from tests.broken.guarantees import GUARANTEES, Guarantee

ROOT = Path(__file__).resolve().parents[3]
SECTION = "## Guarantees, broken on purpose"


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda guarantee: guarantee.name)
def test_what_is_broken_is_there_and_has_its_tests(guarantee: Guarantee) -> None:
    for edit in guarantee.edits:
        assert (ROOT / edit.file).read_text("utf-8").count(edit.sound) == 1, edit.file
        assert edit.sound != edit.broken
    assert guarantee.tests
    for test in guarantee.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), test


def row(guarantee: Guarantee) -> str:
    names = dict.fromkeys(test.partition("[")[0].rpartition("::")[2] for test in guarantee.tests)
    return f"| {guarantee.name} | {guarantee.how} | {', '.join(f'`{name}`' for name in names)} |"


def test_the_page_has_the_same_table() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    section = page.partition(SECTION)[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]  # the first names the columns
    assert rows == [row(guarantee) for guarantee in GUARANTEES]
    assert len({guarantee.name for guarantee in GUARANTEES}) == len(GUARANTEES)


def test_a_test_that_passes_would_be_told() -> None:
    guarantee = Guarantee("x", "y", (), ("a.py::one", "a.py::two[p]", "a.py::three"))
    assert missed(guarantee, {"a.py::one[1]", "a.py::two[p]"}) == ["a.py::three"]
    assert missed(guarantee, {"a.py::one_more", "a.py::two[q]", "a.py::three"}) == ["a.py::one", "a.py::two[p]"]
