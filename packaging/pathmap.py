"""What the Splunk app is made of: one table from places in the repository to places in the app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

APP_ID = "qscore"

#: (file or folder in the repository, where it lies in the app). Nothing else enters the app.
PATHS = (
    ("default", "default"),
    ("bin", "bin"),
    ("splunk_app", "lib/splunk_app"),
    ("scorer/__init__.py", "lib/scorer/__init__.py"),
    ("scorer/wire", "lib/scorer/wire"),
    ("packaging/splunk", "."),
    ("LICENSE", "LICENSE"),
)

#: What a Splunk app consists of. A file of another kind stops the build: it was not meant to be published.
_SUFFIXES = {".conf", ".css", ".csv", ".html", ".js", ".json", ".manifest", ".md", ".meta", ".png", ".py", ".spec"}
_SUFFIXES |= {".xml"}
_NAMES = {"LICENSE"}


def app_files(repository: Path) -> dict[PurePosixPath, Path]:
    """Path in the app -> file, sorted by path. Raises ValueError for a missing source, a clash or a stray file."""
    files: dict[PurePosixPath, Path] = {}
    for source, place in PATHS:
        for relative, file in _walk(repository / source):
            target = PurePosixPath(place) / relative
            if target in files:
                raise ValueError(f"{file} and {files[target]} both become {target}")
            files[target] = file
    return dict(sorted(files.items(), key=lambda item: item[0].as_posix()))


def _walk(source: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    if source.is_file():
        yield PurePosixPath(), source
        return
    if not source.is_dir():
        raise ValueError(f"{source} does not exist")
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if file.is_dir() or any(part == "__pycache__" or part.startswith(".") for part in relative.parts):
            continue
        if file.is_symlink() or (file.suffix not in _SUFFIXES and file.name not in _NAMES):
            raise ValueError(f"{file} is not a kind of file that a Splunk app holds; move it or extend the path map")
        yield PurePosixPath(relative.as_posix()), file
