"""The integration package against Elastic's own public checks (package-spec), which need Go."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import go
from tests.conftest import build

LINT = Path(__file__).parent / "package_lint"


@pytest.fixture(scope="session")
def linter(tmp_path_factory: pytest.TempPathFactory, require: Callable[[bool, str], None]) -> Path:
    """The checker, compiled."""
    return go.built(LINT, tmp_path_factory.mktemp("lint"), require)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `make package-elastic` builds it."""
    return build("build_elastic.py", tmp_path_factory.mktemp("dist"))


def check(linter: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(linter), str(path)], capture_output=True, text=True, timeout=120, check=False)


def test_the_package_passes_package_spec(linter: Path, package: Path) -> None:
    checked = check(linter, package)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.strip() == "no fault"


def test_a_package_with_a_fault_does_not(linter: Path, package: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    manifest = folder / "manifest.yml"
    manifest.write_text(manifest.read_text().replace("type: integration", "type: nonsense"))
    assert check(linter, folder).returncode == 1
