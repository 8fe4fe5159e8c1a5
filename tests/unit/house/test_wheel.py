"""What is published holds the product and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def names(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Paths inside the wheel, built as `make wheel` builds it."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=120)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_product_alone(names: list[str]) -> None:
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {
        "scorer",
        "splunk_app",
        "elastic_connector",
    }


@pytest.mark.parametrize("word", ["demo", "standin", "devserver", "devfetch", "elasticsearch_server", "small_model"])
def test_the_wheel_holds_no_equipment_of_demos_and_tests(names: list[str], word: str) -> None:
    assert [name for name in names if word in name.lower()] == []


def test_the_wheel_holds_what_its_code_reads(names: list[str]) -> None:
    wanted = {
        "scorer/rows/recipes/lateral.toml",
        "scorer/_app/default/macros.conf",
        "elastic_connector/assets/fields.toml",
    }
    assert wanted <= set(names)
