"""`bin/qscore.py` is called as the Python package `qscore` is: neither stands in the other's way."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from demo.standins.search_process import SearchProcess
from scorer.wire.release import RELEASE
from tests.acceptance.conftest import InstalledApp

#: The package as whoever imports it sees it, from a process whose path may begin with bin/.
ASKS = "import qscore; print(qscore.__file__, qscore.__version__, qscore.zz(2).qubits)"


def ran(command: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(params=["checkout", "app"])
def bin_folder(request: pytest.FixtureRequest, repository: Path, archive: Path, tmp_path: Path) -> Path:
    """bin/ of the checkout, and of the built app."""
    if request.param == "checkout":
        return repository / "bin"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "qscore" / "bin"


@pytest.mark.parametrize("way", ["PYTHONPATH", "working folder"])
def test_whoever_has_the_apps_bin_on_the_path_imports_the_package(
    bin_folder: Path, repository: Path, tmp_path: Path, way: str
) -> None:
    by_path = way == "PYTHONPATH"
    folder, variables = (tmp_path, {"PYTHONPATH": str(bin_folder)}) if by_path else (bin_folder, {})
    said = ran([sys.executable, "-c", ASKS], folder, **variables)
    assert said.returncode == 0, said.stderr
    file, version, qubits = said.stdout.split()
    assert Path(file) == repository / "qscore" / "__init__.py"
    assert (version, qubits) == (RELEASE, "2")


def test_without_the_package_python_says_so(bin_folder: Path, tmp_path: Path, interpreter: str) -> None:
    """A path of two scripts of that name, in Pythons that have no package installed, and nothing else."""
    program = f"import sys; sys.path.insert(0, {str(bin_folder)!r}); import qscore"
    said = ran([interpreter, "-I", "-c", program], tmp_path)
    outcome = said.returncode, said.stderr.splitlines()[-1:]
    assert outcome == (1, ["ModuleNotFoundError: No module named 'qscore'"])


@pytest.mark.parametrize("before", ["nothing", "bin"])
def test_the_command_runs_beside_the_installed_package(app: InstalledApp, before: str) -> None:
    """As somebody starts it who does not isolate Python, with bin/ on the path once more."""
    script = app.folder / "bin" / "qscore.py"
    variables = {"PYTHONPATH": str(script.parent)} if before == "bin" else {}
    beside = replace(app, interpreter=sys.executable)
    with SearchProcess([beside.interpreter, str(script)], os.environ | variables) as process:
        process.getinfo(["model=lateral"], **beside.searchinfo)
        answer = process.execute(b"logons,failures\n3,1\n", finished=True)
        assert process.finish() == (0, "", b"")
    assert b"logons=3; failures=1" in answer.body


def test_the_console_script_is_the_command_line(tmp_path: Path, repository: Path) -> None:
    script = Path(sys.executable).with_name("qscore")
    said = ran([str(script), "--help"], tmp_path, PYTHONPATH=str(repository / "bin"))
    assert said.returncode == 0, said.stderr
    assert "train" in said.stdout


def test_the_app_holds_no_package_of_that_name(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert [name for name in names if name.endswith("qscore.py")] == ["qscore/bin/qscore.py"]
    assert [name for name in names if "qscore/" in name.removeprefix("qscore/")] == []
