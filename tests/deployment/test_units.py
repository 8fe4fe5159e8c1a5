"""The systemd units, as systemd itself reads and judges them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.service.queue.lanes import LANES
from scorer.service.settings import Settings
from tests.deployment.conftest import said

UNITS = ("qscore.service", "qscore-gateway.service", "qscore-worker@.service", "qscore-connector.service")
#: Of `systemd-analyze security`, which says OK from 0 (nothing is allowed) to 4.9 (ten: everything is).
MOST_EXPOSED = 1.5


@pytest.fixture(scope="session")
def analyze(require: Callable[[bool, str], None]) -> str:
    found = shutil.which("systemd-analyze")
    require(found is not None, "systemd-analyze is not installed (Debian: systemd)")
    return str(found)


@pytest.fixture
def unit(request: pytest.FixtureRequest, repository: Path, tmp_path: Path) -> Path:
    """A unit whose program is there, as an instance where it is a template."""
    text = (repository / "packaging" / "systemd" / request.param).read_text()
    path: Path = tmp_path / request.param.replace("@.", "@score.")
    path.write_text(re.sub(r"/opt/qscore/bin/(qscore|python)", "/bin/true", text))
    return path


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_systemd_understands_every_line(analyze: str, unit: Path) -> None:
    checked = said(analyze, "verify", "--man=no", str(unit))
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_line_that_it_does_not_know_is_told(analyze: str, repository: Path, tmp_path: Path) -> None:
    broken = tmp_path / "qscore.service"
    text = (repository / "packaging" / "systemd" / "qscore.service").read_text()
    broken.write_text(text.replace("ProtectSystem=strict", "ProtectSystem=very"))
    assert "Failed to parse protect system value" in said(analyze, "verify", "--man=no", str(broken)).stderr


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_little_is_allowed(analyze: str, unit: Path) -> None:
    judged = said(analyze, "security", "--offline=true", f"--threshold={round(10 * MOST_EXPOSED)}", str(unit))
    assert judged.returncode == 0, judged.stdout[-300:]


def test_a_unit_without_its_walls_is_over_the_line(analyze: str, repository: Path, tmp_path: Path) -> None:
    text = (repository / "packaging" / "systemd" / "qscore.service").read_text()
    open_unit = tmp_path / "qscore.service"
    open_unit.write_text(re.sub(r"^(Protect|Private|Restrict|SystemCall|Capability).*\n", "", text, flags=re.MULTILINE))
    judged = said(analyze, "security", "--offline=true", f"--threshold={round(10 * MOST_EXPOSED)}", str(open_unit))
    assert judged.returncode == 1


def test_a_unit_waits_for_the_work_under_way(repository: Path) -> None:
    text = (repository / "packaging" / "systemd" / "qscore-worker@.service").read_text()
    seconds = int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0])
    assert seconds > max(lane.clock(Settings()).task_seconds for lane in LANES)


def test_users_and_folders_are_read(repository: Path) -> None:
    folder = repository / "packaging" / "systemd"
    if sysusers := shutil.which("systemd-sysusers"):
        made = said(sysusers, "--dry-run", str(folder / "qscore.sysusers"))
        assert made.returncode == 0, made.stderr
    rows = [line.split() for line in (folder / "qscore.tmpfiles").read_text().splitlines() if line[0] != "#"]
    assert rows == [["d", path, "0700", "qscore", "qscore", "-"] for path in ("/var/lib/qscore", "/var/cache/qscore")]
