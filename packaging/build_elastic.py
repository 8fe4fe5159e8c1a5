"""Build dist/qscore-elastic-<version>.zip, the integration package, and the rules as NDJSON: the same bytes each time.

    python packaging/build_elastic.py [--out FOLDER]

Fleet takes the package by POST /api/fleet/epm/packages (Content-Type: application/zip). Entries are sorted, with one
time for all (SOURCE_DATE_EPOCH, else a constant), files of mode 644.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import tomllib
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from elastic_connector.install.fleet_package import PACKAGE, package_files
from elastic_connector.install.kibana_assets import kibana_files

REPOSITORY = Path(__file__).resolve().parents[1]
_CONSTANT_TIME = 1_700_000_000  # any fixed moment will do
_EARLIEST = 315_532_800  # 1980-01-01, where a zip's calendar begins


def main() -> None:
    """Build the package and print its paths. Raises SystemExit with the reason where it cannot be built."""
    parser = argparse.ArgumentParser(description="Build the Elastic package.")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "dist", help="folder for the archive")
    try:
        built = build(REPOSITORY, parser.parse_args().out)
    except ValueError as error:
        raise SystemExit(f"the package cannot be built: {error}") from None
    for path in built:
        print(path)


def build(repository: Path, out: Path) -> list[Path]:
    """Write the package and Kibana's files; returns their paths. Raises ValueError that says what is wrong."""
    version = str(tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"])
    files = package_files(version, (repository / "LICENSE").read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"{PACKAGE}-elastic-{version}.zip"
    archive.write_bytes(_zip(f"{PACKAGE}-{version}", files))
    made = [archive]
    for name, content in kibana_files().items():
        path = out / name
        path.write_bytes(content)
        made.append(path)
    return made


def _zip(root: str, files: dict[str, bytes]) -> bytes:
    moment = time.gmtime(max(int(os.environ.get("SOURCE_DATE_EPOCH", _CONSTANT_TIME)), _EARLIEST))[:6]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(f"{root}/{name}", moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
