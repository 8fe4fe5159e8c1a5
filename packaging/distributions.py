"""What requirements/run.txt installs, with the licence that each distribution names: JSON on standard output.

    python packaging/distributions.py

Runs where they are installed, with the standard library alone. packaging/sbom.py makes a bill of materials of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements" / "run.txt"
_LINE = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?", re.MULTILINE)
#: Libraries of GCC that wheels carry: GPL with the runtime library exception, which lets any program use them.
_OF_GCC = re.compile(r"(libgfortran|libquadmath|libgomp|libgcc_s|libstdc\+\+)[-.0-9a-z]*\.so")
#: What older metadata says, as SPDX has it; one that SPDX does not tell apart stays as it is.
_SPDX = {
    "MIT License": "MIT",
    "BSD License": "BSD License",
    "New BSD": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "ISC License": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "BSD": "BSD License",
    "Dual License": "",
}
_LONG = 60  # characters from which a field holds a licence's text, not its name


@dataclass(frozen=True)
class Distribution:
    """One installed distribution. ``licence``: an SPDX expression, or a name where there is none.

    ``needs``: names of distributions that it asks for. ``of_gcc``: libraries of GCC in its wheel.
    """

    name: str
    version: str
    licence: str
    summary: str
    needs: tuple[str, ...]
    of_gcc: tuple[str, ...]


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> Iterator[tuple[str, str, bool]]:
    """Name, version, and whether a marker leaves it out on some machines, for each line of a lock."""
    for found in _LINE.finditer(text):
        yield found["name"], found["version"], found["marker"] is not None


def licence_of(about: Any) -> str:
    """The licence that a distribution names: its expression, its field, or its classifiers."""
    if expression := about.get("License-Expression"):
        return str(expression)
    field = str(about.get("License") or "").strip()
    if field and len(field) < _LONG and "\n" not in field and _SPDX.get(field, field):
        return _SPDX.get(field, field)
    found = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or [] if line.startswith("License :: ")]
    return " OR ".join(_SPDX.get(name, name) for name in found)


def distributions(text: str) -> list[Distribution]:
    """All that a lock installs here. Raises SystemExit for one that is not installed, or in another version."""
    found: dict[str, Distribution] = {}
    for name, version, sometimes in locked(text):
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if not sometimes:
                raise SystemExit(f"{name} is not installed: run `make setup`") from None
            continue
        if installed.version == version:
            found[normal(name)] = _described(installed)
        elif not sometimes:
            raise SystemExit(f"{name} {installed.version} is installed, {version} is locked: run `make setup`")
    return [found[name] for name in sorted(found)]


def _described(installed: metadata.Distribution) -> Distribution:
    about: Any = installed.metadata  # a message; its type does not say all that it has
    needs = {normal(re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0]) for line in installed.requires or ()}
    files = {Path(str(file)).name for file in installed.files or ()}
    of_gcc = sorted(file for file in files if _OF_GCC.match(file))
    summary = str(about.get("Summary") or "")[:200]
    return Distribution(
        normal(about["Name"]), installed.version, licence_of(about), summary, tuple(sorted(needs)), tuple(of_gcc)
    )


if __name__ == "__main__":
    print(json.dumps([asdict(one) for one in distributions(REQUIREMENTS.read_text("utf-8"))], indent=1))
