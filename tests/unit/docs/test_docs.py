"""The documentation says what the code does, or these tests fail."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.main import get_command

from scorer.cli.main import build
from scorer.rows import columns
from scorer.service.access.audit import EVENTS
from scorer.service.settings import Settings
from scorer.wire import names

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SYMBOL = re.compile(r"`((?:scorer|splunk_app|elastic_connector)(?:\.\w+)+):(\w+(?:\.\w+)?)`")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
#: `superseded in part by 0016` and the like name the later decision.
STATUS = re.compile(
    r"\A# \d+\. .+\n\n- Status: (?:proposed|accepted|rejected|superseded)\b.*\n- Date: \d{4}-\d\d-\d\d\n\n(?!- )"
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _text(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def _symbols() -> list[tuple[str, str]]:
    return SYMBOL.findall(_text("dataflow.md"))


def test_the_dataflow_page_follows_the_whole_path() -> None:
    modules = {module for module, _ in _symbols()}
    rooms = ("wire", "service", "rows", "scoring", "delivery")
    for part in ("splunk_app", "elastic_connector", *(f"scorer.{room}" for room in rooms)):
        assert any(module.startswith(part) for module in modules), part


@pytest.mark.parametrize(("module", "name"), sorted(set(_symbols())))
def test_every_step_of_the_dataflow_page_is_in_the_code(module: str, name: str) -> None:
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found) or isinstance(found, (str, tuple, dict))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


def test_the_formats_page_has_the_header_of_a_reply() -> None:
    (header,) = [line for line in _text("wire.md").splitlines() if line.startswith("    qscore,")]
    assert header.strip().split(",") == list(names.OUTPUT_COLUMNS)


@pytest.mark.parametrize("name", [*names.STATUS_CODES, *columns.CONTEXT_COLUMNS, *columns.EDGE_COLUMNS])
def test_every_status_and_column_of_a_request_is_on_the_formats_page(name: str) -> None:
    assert f"`{name}`" in _text("wire.md")


@pytest.mark.parametrize("name", names.OUTPUT_COLUMNS)
def test_every_output_column_is_on_the_fields_page(name: str) -> None:
    assert f"`{name}`" in _text("fields.md")


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _settings(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("name", sorted(_settings(Settings)))
def test_every_setting_is_on_the_operations_page(name: str) -> None:
    assert f"`{name}`" in _text("operations.md")


def test_every_event_of_the_audit_record_is_on_the_operations_page() -> None:
    page = _text("operations.md")
    assert [
        f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items() if f"| `{name}` | {meaning} |" not in page
    ] == []


def _commands() -> list[str]:
    found = []
    for name, command in get_command(build()).commands.items():  # type: ignore[attr-defined]
        children = getattr(command, "commands", None)
        found += [f"{name} {child}" for child in children] if children else [name]
    return found


@pytest.mark.parametrize("command", _commands())
def test_every_command_is_documented_somewhere(command: str) -> None:
    everything = "".join(page.read_text() for page in PAGES)
    assert f"qscore {command}" in everything


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(page.name[:4]) for page in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name[:4])
def test_every_decision_has_a_status_and_a_date(page: Path) -> None:
    head = STATUS.match(page.read_text())
    assert head, f"{page.name} begins with its title, then `- Status: accepted` and `- Date: 2026-01-31`"
    later = set(re.findall(r"by (\d{4})\b", head[0]))
    assert later <= {other.name[:4] for other in DECISIONS if other > page}
