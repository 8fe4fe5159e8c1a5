"""The example package installed for real, into a folder of the test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent


def install_into(target: Path) -> Path:
    """Builds a wheel of the package, without network, and installs it: a folder for ``sys.path`` or PYTHONPATH."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target), str(SOURCE)]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=120)
    return target
