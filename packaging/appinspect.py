"""Run AppInspect on the built app and fail on anything but a clean bill.

    python packaging/appinspect.py dist/qscore-0.2.0.tar.gz

AppInspect lives in an environment of its own (.venv-appinspect, requirements/appinspect.txt): its dependencies are old.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
#: Results that no release may have.
_FORBIDDEN = ("failure", "error")


@dataclass(frozen=True)
class Inspection:
    """The result of an inspection.

    ``summary``: result -> number of checks. ``findings``: (result, check, message) of what did not pass.
    """

    summary: dict[str, int]
    findings: tuple[tuple[str, str, str], ...]

    @property
    def clean(self) -> bool:
        return not any(self.summary.get(kind, 0) for kind in _FORBIDDEN)


def find_appinspect() -> str | None:
    """The program, in its own environment or on PATH; None where it is not installed."""
    own = REPOSITORY / ".venv-appinspect" / "bin" / "splunk-appinspect"
    return str(own) if own.is_file() else shutil.which("splunk-appinspect")


def inspect(program: str, archive: Path, *tags: str) -> Inspection:
    """Run it; ``tags`` narrow the checks (none: all of them). Raises RuntimeError."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [program, "inspect", str(archive), "--mode", "precert", "--data-format", "json"]
        command += ["--output-file", str(report)]
        for tag in tags:
            command += ["--included-tags", tag]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.is_file():
            raise RuntimeError(f"AppInspect wrote no report: {ran.stderr[-2000:]}")
        return _read(json.loads(report.read_text()))


def _read(report: dict[str, Any]) -> Inspection:
    findings = [
        (check["result"], check["name"], message["message"])
        for part in report["reports"]
        for group in part["groups"]
        for check in group["checks"]
        if check["result"] not in ("success", "not_applicable", "skipped")
        for message in check["messages"] or [{"message": ""}]
    ]
    return Inspection(dict(report["summary"]), tuple(findings))


def main() -> None:
    """Inspect the archive that the command line names. Raises SystemExit."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python packaging/appinspect.py ARCHIVE")
    program = find_appinspect()
    if program is None:
        raise SystemExit("splunk-appinspect is not installed: see requirements/appinspect.txt")
    result = inspect(program, Path(sys.argv[1]))
    for kind, check, message in result.findings:
        print(f"{kind:16} {check}: {message}")
    print(", ".join(f"{kind} {count}" for kind, count in sorted(result.summary.items())))
    if not result.clean:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
