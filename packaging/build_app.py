"""Build dist/qscore-<version>.tar.gz, the Splunk app, byte for byte the same from the same sources.

    python packaging/build_app.py [--out FOLDER]

One folder named as the app, entries sorted, owned by root, folders 755, files 644, one time for all
(SOURCE_DATE_EPOCH, else a constant), gzip without name or time.
"""

from __future__ import annotations

import argparse
import configparser
import gzip
import io
import json
import os
import sys
import tarfile
import tomllib
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pathmap import APP_ID, app_files  # type: ignore[import-not-found]  # a package here would shadow PyPI's packaging

REPOSITORY = Path(__file__).resolve().parents[1]
_CONSTANT_TIME = 1_700_000_000  # any fixed moment will do


def main() -> None:
    """Build the app and print its path. Raises SystemExit with the reason where it cannot be built."""
    parser = argparse.ArgumentParser(description="Build the Splunk app.")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "dist", help="folder for the archive")
    try:
        archive = build(REPOSITORY, parser.parse_args().out)
    except ValueError as error:
        raise SystemExit(f"the app cannot be built: {error}") from None
    print(archive)


def build(repository: Path, out: Path) -> Path:
    """Write the archive and return its path. Raises ValueError that says what is wrong with the sources."""
    version = project_version(repository)
    check_versions(repository, version)
    archive = out / f"{APP_ID}-{version}.tar.gz"
    out.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(_compressed(_tar(app_files(repository), _time())))
    return archive


def project_version(repository: Path) -> str:
    """The version in pyproject.toml, the only place where it is decided."""
    return str(tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"])


def check_versions(repository: Path, version: str) -> None:
    """Raise ValueError where app.conf or app.manifest says another version or another app."""
    conf = configparser.ConfigParser(interpolation=None)
    conf.read(repository / "default" / "app.conf")
    manifest = json.loads((repository / "packaging" / "splunk" / "app.manifest").read_text())["info"]["id"]
    said = {
        "default/app.conf [id] version": (conf["id"]["version"], version),
        "default/app.conf [launcher] version": (conf["launcher"]["version"], version),
        "default/app.conf [id] name": (conf["id"]["name"], APP_ID),
        "default/app.conf [package] id": (conf["package"]["id"], APP_ID),
        "app.manifest info.id.version": (manifest["version"], version),
        "app.manifest info.id.name": (manifest["name"], APP_ID),
    }
    for place, (found, wanted) in said.items():
        if found != wanted:
            raise ValueError(f"{place} is {found}, but it must be {wanted}")


def _time() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH", _CONSTANT_TIME))


def _tar(files: dict[PurePosixPath, Path], moment: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in _folders(files):
            tar.addfile(_entry(folder, moment, tarfile.DIRTYPE, 0o755))
        for place, file in files.items():
            data = file.read_bytes()
            entry = _entry(PurePosixPath(APP_ID) / place, moment, tarfile.REGTYPE, 0o644)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _folders(files: dict[PurePosixPath, Path]) -> list[PurePosixPath]:
    """Every folder of the archive, parents first."""
    places = {parent for place in files for parent in (PurePosixPath(APP_ID) / place).parents}
    return sorted(places - {PurePosixPath()}, key=lambda path: path.as_posix())


def _entry(path: PurePosixPath, moment: int, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.as_posix())
    entry.type, entry.mode, entry.mtime = kind, mode, moment
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0, compresslevel=9) as file:
        file.write(data)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
