"""Searches that are shown to people begin with events, and find every kind of event that a row counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scorer.training.starter.authentication import KINDS

PAGES = ("README.md", "docs/splunk.md", "packaging/splunk/README.md", "default/searchbnf.conf")


@pytest.mark.parametrize("page", PAGES)
def test_examples_begin_with_events(repository: Path, page: str) -> None:
    """A macro of fields or rows begins with ``eval``, which cannot stand first in a search."""
    text = (repository / page).read_text("utf-8").replace("\n    |", " |")
    examples = re.findall(r"^(?:    |example\d = )(\S.*\| qscore model=.*)$", text, flags=re.M)
    assert examples
    starts = [example.partition("|")[0].strip() for example in examples]
    assert [start for start in starts if not re.match(r"`qscore_\w+_source`$|index=", start)] == []


@pytest.mark.parametrize("page", ["README.md", "default/macros.conf"])
def test_the_source_finds_every_kind_of_event_that_a_starter_has_seen(repository: Path, page: str) -> None:
    text = (repository / page).read_text("utf-8")
    codes = re.search(r"EventCode IN \(([\d, ]+)\)", text)
    assert codes is not None
    assert {kind.signature for kind in KINDS.values()} <= set(re.split(r", ?", codes[1]))
