"""Pages are wrapped, their links into pages lead to a heading, and the glossary is kept in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *DOCS]
WIDTH = 100
_ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
_WORD = re.compile(r"^- \*\*([^*]+)\*\*: ", re.MULTILINE)


def _prose(text: str) -> Iterator[str]:
    """Yield the lines that are no table, image or code. Code is fenced, or indented after an empty line."""
    fenced = indented = False
    before = ""
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif line.strip():
            indented = line.startswith("    ") and (indented or not before.strip())
            if not (fenced or indented or line.startswith(("|", "![", "[!["))):
                yield line
        before = line


def _breakable(line: str) -> bool:
    """Tell whether a line that is too long could be broken: code and addresses cannot."""
    return " " in re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", "", line.strip().removeprefix("- ")).strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_is_wrapped(page: Path) -> None:
    assert [line for line in _prose(page.read_text("utf-8")) if len(line) > WIDTH and _breakable(line)] == []


def test_the_wrapping_is_looked_at_in_prose_alone() -> None:
    """What the test above lets pass, and what not."""
    long = "word " * 25
    page = f"{long}\n\n| {long} |\n\n    {long}\n\n```\n{long}\n```\n- item\n    {long}\n- `{long}`\n"
    assert [line.strip() for line in _prose(page) if len(line) > WIDTH and _breakable(line)] == [long.strip()] * 2


def _headings(page: Path) -> set[str]:
    """Find the anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_a_heading_lead_to_one(page: Path) -> None:
    for target, anchor in _ANCHOR.findall(page.read_text("utf-8")):
        if not target.startswith(("http:", "https:")):
            assert anchor in _headings(page.parent / target if target else page), f"{target}#{anchor}"


def _glossary() -> str:
    return (ROOT / "docs" / "glossary.md").read_text("utf-8")


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    words = _WORD.findall(_glossary())
    assert len(words) >= 20
    assert words == sorted(set(words), key=str.casefold)


@pytest.mark.parametrize("word", _WORD.findall(_glossary()))
def test_every_word_of_the_glossary_is_used(word: str) -> None:
    """A word that no other page uses needs no explanation. Plural and singular count alike."""
    others = " ".join(page.read_text("utf-8") for page in PAGES if page.name != "glossary.md")
    assert re.search(rf"\b{re.escape(word.removesuffix('s'))}", " ".join(others.split()), re.IGNORECASE)


@pytest.mark.parametrize("page", ["README.md", "docs/dataflow.md", "docs/models.md", "docs/operations.md"])
def test_the_glossary_is_linked_where_its_words_are_met(page: str) -> None:
    assert "glossary.md" in (ROOT / page).read_text("utf-8")
