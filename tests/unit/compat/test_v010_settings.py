"""qscore.toml and the variables of 0.1.0 mean what they meant."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from scorer.service.settings import load_settings
from tests.v010 import FOLDER, content

#: Settings that exclude another one of the file.
ELSEWHERE = {"elastic.cloud_id"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("QSCORE_")]:
        monkeypatch.delenv(name)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of settings and their values; a list is one value."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_the_file_names_every_setting_of_0_1_0_and_no_default() -> None:
    written = dict(leaves(tomllib.loads((FOLDER / "qscore.toml").read_text())))
    assert {name for name, _ in leaves(content("settings_of_file.json"))} == set(written) | ELSEWHERE
    assert set(written["elastic.sources"][0]) == {
        "name", "index", "query", "model", "version", "namespace", "fields", "copy", "time_field",
    }  # fmt: skip
    variables = content("variables.json")
    named = {"QSCORE_" + name.replace(".", "__").upper() for name in set(written) | ELSEWHERE}
    assert named == set(variables)


def test_the_operations_page_explains_every_setting_of_0_1_0() -> None:
    page = (FOLDER.parents[2] / "docs" / "operations.md").read_text()
    missing = [name for name, _ in leaves(content("settings_of_file.json")) if f"`{name}`" not in page]
    assert missing == []


def unlike(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings of 0.1.0 that are read otherwise; settings that came later do not count."""
    now = dict(leaves(found))
    differ = {name: (now.get(name), value) for name, value in leaves(expected) if now.get(name) != value}
    present, before = differ.pop("elastic.sources", ([], []))
    for number, (one, other) in enumerate(zip(present or (), before, strict=True)):
        differ |= {f"sources[{number}].{name}": (one.get(name), v) for name, v in other.items() if one.get(name) != v}
    return differ


def test_the_file_is_read_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCORE_CONFIG", str(FOLDER / "qscore.toml"))
    assert unlike(load_settings().model_dump(mode="json"), content("settings_of_file.json")) == {}


def test_variables_are_read_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in content("variables.json").items():
        monkeypatch.setenv(name, value)
    assert unlike(load_settings().model_dump(mode="json"), content("settings_of_variables.json")) == {}


def test_a_variable_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCORE_CONFIG", str(FOLDER / "qscore.toml"))
    monkeypatch.setenv("QSCORE_HEC__INDEX", "other")
    found = load_settings().model_dump(mode="json")
    assert unlike(found, content("settings_of_file.json")) == {"hec.index": ("other", "scores")}
