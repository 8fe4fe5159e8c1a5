"""What is published holds the product and nothing else, and works where there is no checkout."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `make wheel` builds it."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=120)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    """Paths inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_product_alone(names: list[str]) -> None:
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {
        "qscore",
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
        "qscore/py.typed",
        "scorer/py.typed",
    }
    assert wanted <= set(names)


def python_with(wheel: Path, folder: Path) -> Path:
    """A Python that has the wheel and, of what this one has installed, the other distributions: not the checkout."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # A path file names a folder; path files in there, such as that of an editable install, are not read.
    others = [entry for entry in sys.path if entry.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(others) + "\n")
    return folder / "bin" / "python"


def test_the_wheel_does_what_the_readme_shows_in_python(wheel: Path, repository: Path, tmp_path: Path) -> None:
    readme = (repository / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example + "\nprint(qscore.__file__)\n")
    python = python_with(wheel, tmp_path / "environment")
    said = subprocess.run([str(python), str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    *figures, file = said.stdout.split("\n")[:-1]
    assert file.startswith(str(tmp_path / "environment"))
    stated = [float(number) for number in re.findall(r"\b0\.9\d\d\b", readme)]
    assert [float(line.split()[-1]) for line in figures] == pytest.approx(stated, abs=0.006)
    assert [line.rpartition(" ")[0] for line in figures] == ["simulated quantum kernel", "its RBF twin"]
