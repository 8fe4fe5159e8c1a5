"""Releases on both sides of the wire: which is old, and what to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from scorer.wire.release import COMMAND, GATEWAY, RELEASE, SENDER, SILENT, WORKER, minor, skew, stated


def test_the_release_is_that_of_the_project(repository: Path) -> None:
    assert tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"] == RELEASE


@pytest.mark.parametrize(
    ("sides", "old", "not_old"),
    [
        ({COMMAND: "0.1.0", GATEWAY: "0.2.0", WORKER: "0.2.3"}, [COMMAND], [GATEWAY, WORKER]),
        ({COMMAND: "0.2.0", GATEWAY: "0.1.0", WORKER: "0.2.0"}, [GATEWAY], [COMMAND, WORKER]),
        ({COMMAND: "0.2.0", GATEWAY: "0.2.0", WORKER: "0.1.9"}, [WORKER], [COMMAND, GATEWAY]),
        ({COMMAND: "0.10.0", GATEWAY: "0.9.0", WORKER: "0.9.0"}, [WORKER, GATEWAY], [COMMAND]),
        ({COMMAND: "1.0.0", GATEWAY: "0.99.0"}, [GATEWAY], [COMMAND, WORKER]),
        ({SENDER: "0.1.0", WORKER: "0.2.0"}, [SENDER], [WORKER]),
    ],
)
def test_the_older_side_is_named_with_what_to_do(sides: dict[str, str], old: list[str], not_old: list[str]) -> None:
    said = skew(sides)
    newest = max(sides.values(), key=minor)
    for side in old:
        assert f"{side} is of version {sides[side]}" in said
    for side in not_old:
        assert f"{side} is of version" not in said
    assert said.count(f"install qscore {newest}") + said.count(f"install version {newest}") == len(old)


def test_what_differs_in_the_last_part_alone_is_one_version() -> None:
    assert skew({COMMAND: "0.2.0", GATEWAY: "0.2.7", WORKER: "0.2.1rc1"}) == ""
    assert skew({}) == ""


@pytest.mark.parametrize("header", [None, "", "2", "0.2.0\nx", "é", "0.2.0 <script>", "0." + "9" * 60, "nan.nan"])
def test_nonsense_counts_as_a_side_that_says_nothing(header: str | None) -> None:
    assert stated(header) == SILENT


def test_a_release_is_read_as_it_is() -> None:
    assert [stated(text) for text in ("0.2.0", "1.14", "0.3.0rc1")] == ["0.2.0", "1.14", "0.3.0rc1"]
