"""The bill of materials and the licences of what requirements/run.txt installs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.conftest import said

ONE = {"name": "one", "version": "1", "licence": "MIT", "summary": "", "needs": [], "of_gcc": []}


def write(tools: Path, repository: Path, out: Path, distributions: str) -> tuple[int, str]:
    script = str(repository / "packaging" / "sbom.py")
    done = said(str(tools / "python"), script, "--version", "0.2.0", "--out", str(out), given=distributions)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="session")
def distributions(repository: Path) -> str:
    listed = said(sys.executable, str(repository / "packaging" / "distributions.py"))
    assert listed.returncode == 0, listed.stderr
    return listed.stdout


@pytest.fixture(scope="session")
def written(tools: Path, repository: Path, distributions: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both documents."""
    out = tmp_path_factory.mktemp("sbom")
    code, said_so = write(tools, repository, out, distributions)
    assert code == 0, said_so
    return out


def test_every_locked_distribution_is_in_it(repository: Path, written: Path) -> None:
    bom: dict[str, Any] = json.loads((written / "qscore-0.2.0.cdx.json").read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    lock = (repository / "requirements" / "run.txt").read_text()
    always = set(re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+) \\$", lock, re.MULTILINE))
    assert len(always) > 50
    assert always <= {(part["name"], part["version"]) for part in bom["components"]}
    assert all(part["licenses"] for part in bom["components"])
    assert len(bom["dependencies"]) == 1 + len(bom["components"])


def test_libraries_of_gcc_and_images_are_told_apart(written: Path) -> None:
    report = (written / "licences.md").read_text()
    _, of_gcc, rest = re.split(r"^## (?:Libraries of GCC|Servers inside).*$", report, flags=re.MULTILINE)
    for name, library in (("numpy", "libgfortran"), ("scipy", "libquadmath"), ("scikit-learn", "libgomp")):
        assert re.search(rf"^- {name} .*{library}", of_gcc, re.MULTILINE)
    for image in ("valkey", "python"):
        assert image in rest.partition("## Images")[2]


FORBIDDEN = [
    "GPL-3.0-only",
    "AGPL-3.0-or-later",
    "GNU General Public License v3",
    "SSPL-1.0",
    "MIT AND GPL-2.0-only",
    "",
]


def test_a_licence_that_is_not_allowed_fails(tools: Path, repository: Path, tmp_path: Path) -> None:
    wrong = [ONE | {"name": f"bad{number}", "licence": licence} for number, licence in enumerate(FORBIDDEN)]
    code, said_so = write(tools, repository, tmp_path, json.dumps([ONE, *wrong]))
    assert code == 1
    assert all(f"bad{number} 1" in said_so for number in range(len(FORBIDDEN)))
    assert "one 1" not in said_so
    assert list(tmp_path.iterdir()) == []


def test_others_pass(tools: Path, repository: Path, tmp_path: Path) -> None:
    others = ["LGPL-2.1-only", "MPL-2.0", "Apache-2.0 WITH LLVM-exception"]
    named = [ONE | {"name": f"n{number}", "licence": licence} for number, licence in enumerate(others)]
    code, said_so = write(tools, repository, tmp_path, json.dumps(named))
    assert code == 0, said_so
