"""Whoever meets the word "quantum" for the first time, in whichever page or file, reads there that it is simulated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scorer.cli.main import build

ROOT = Path(__file__).resolve().parents[3]
NEAR = 300  # characters before and behind
#: What people see who have not read any of our pages, beside the pages themselves.
SHOWN = (
    "README.md",
    "pyproject.toml",
    "default/app.conf",
    "default/searchbnf.conf",
    "packaging/splunk/README.md",
    "packaging/splunk/app.manifest",
    "packaging/docker/Dockerfile",
    "packaging/helm/qscore/Chart.yaml",
    "elastic_connector/assets/package/README.md",
    "elastic_connector/assets/package/manifest.yml",
    "elastic_connector/assets/dashboard.toml",
    "elastic_connector/assets/fields.toml",
    "scorer/service/gateway/contract/schemas.py",
)
PAGES = [*SHOWN, *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]


def said_near_the_first_mention(text: str) -> bool:
    """Whether a text does not speak of quantum anything, or says near the first mention that it is simulated."""
    first = re.search("quantum", text, re.IGNORECASE)
    if first is None:
        return True
    around = text[max(0, first.start() - NEAR) : first.end() + NEAR]
    return re.search(r"\bsimulat", around, re.IGNORECASE) is not None


@pytest.mark.parametrize("page", PAGES)
def test_the_first_mention_says_that_it_is_simulated(page: str) -> None:
    assert said_near_the_first_mention((ROOT / page).read_text("utf-8"))


def test_no_page_that_people_see_is_missing_from_the_list() -> None:
    places = [
        *(ROOT / "default").rglob("*"),
        *(ROOT / "packaging").rglob("*"),
        *(ROOT / "elastic_connector").rglob("*"),
    ]
    shown = {".conf", ".manifest", ".md", ".yml", ".yaml", ".toml", ".xml", ".json", ".spec", ".html"}
    speaking = {
        str(path.relative_to(ROOT))
        for path in places
        if path.is_file() and path.suffix in shown and "quantum" in path.read_text("utf-8").lower()
    }
    assert speaking <= set(PAGES)


def test_a_text_that_is_silent_on_it_is_found() -> None:
    assert not said_near_the_first_mention("Quantum-kernel scores. " + "x" * NEAR + " simulated")


@pytest.mark.parametrize("command", [[], ["train"], ["shots"], ["import-qsvc"], ["models"]])
def test_the_commands_say_it_too(command: list[str]) -> None:
    told = CliRunner().invoke(build(), [*command, "--help"]).output
    assert said_near_the_first_mention(told)
