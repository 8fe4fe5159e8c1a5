"""The development server's archive from Maven Central: checked against a digest, within a stated time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import stamina

from scorer.wire.errors import Unavailable

#: A whole download in this time needs 0.6 MB/s; CI systems that end a job after half an hour still see the message.
SECONDS = 1500.0
_TRIES = 3
_TELL_SECONDS = 30.0
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:get"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Artifact:
    """A file that Maven brings.

    ``coordinates``: group:artifact:version:packaging. ``megabytes``: its size, for who waits. ``folder``: what is
    taken out of the archive, the one below its only top folder.
    """

    coordinates: str
    sha256: str
    megabytes: int
    folder: str


def fetch(artifact: Artifact, target: Path, say: Say, seconds: float = SECONDS) -> None:
    """Download and unpack into the new folder ``target``, whole or not at all.

    Maven gets a repository of its own, so that the archive does not stay in the user's. Raises Unavailable when it
    fails three times or takes longer than ``seconds``, and when the archive is not the one that is meant.
    """
    say(f"fetching {artifact.coordinates} from Maven Central ({artifact.megabytes} MB, once) ...")
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as name:
        folder = Path(name)
        archive = _downloaded(artifact, folder / "repository", say, deadline)
        check_digest(archive, artifact.sha256)
        unpacked = folder / "unpacked"
        unpack(archive, artifact.folder, unpacked)
        unpacked.chmod(0o755)
        unpacked.rename(target)


def _downloaded(artifact: Artifact, repository: Path, say: Say, deadline: float) -> Path:
    left = deadline - time.monotonic()
    for attempt in stamina.retry_context(on=Unavailable, attempts=_TRIES, timeout=left, wait_initial=2.0):
        with attempt:
            if attempt.num > 1:
                say(f"Maven did not fetch it; try {attempt.num} of {_TRIES} ...")
            _maven(artifact, repository, say, deadline)
    archives = list(repository.rglob(f"*.{artifact.coordinates.rpartition(':')[2]}"))
    if len(archives) != 1:
        raise Unavailable(f"Maven said nothing, and left {len(archives)} archives", "Look at its settings.xml.")
    return archives[0]


def _maven(artifact: Artifact, repository: Path, say: Say, deadline: float) -> None:
    """One try; strict about Maven's own checksums (-C)."""
    command = [
        "mvn", "-q", "-B", "-C", _PLUGIN, f"-Dartifact={artifact.coordinates}", "-Dtransitive=false",
        f"-Dmaven.repo.local={repository}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            said = _waited(process, artifact, repository, say, deadline)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise _failure(artifact, f"Maven said: {_readable(said)}")


def _waited(process: subprocess.Popen[bytes], artifact: Artifact, repository: Path, say: Say, deadline: float) -> bytes:
    """Wait for Maven's end and give what it said; tells now and then how far it is."""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _failure(artifact, f"there are {_megabytes(repository)} MB of it, and the time for it is over")
        try:
            return process.communicate(timeout=min(left, _TELL_SECONDS))[0]
        except subprocess.TimeoutExpired:
            say(f"  {_megabytes(repository)} of {artifact.megabytes} MB")


def _failure(artifact: Artifact, why: str) -> Unavailable:
    return Unavailable(
        f"{artifact.coordinates} was not fetched: {why}",
        "Check the network and Maven's settings.xml (mirrors, proxies), or set QSCORE_TEST_ELASTICSEARCH_URL to a"
        " server of your own.",
    )


def _readable(said: bytes) -> str:
    """The end of what Maven said, without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode("utf-8", "replace")).strip()[-400:] or "nothing"


def _megabytes(folder: Path) -> int:
    """Count what has arrived; files come and go meanwhile."""
    return sum(_sizes(folder)) // 1_000_000


def _sizes(folder: Path) -> Iterator[int]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            yield path.stat().st_size if path.is_file() else 0


def check_digest(archive: Path, sha256: str) -> None:
    """Raise Unavailable when the file is another one than is meant."""
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise Unavailable(
            f"{archive.name} has the SHA-256 {found}, not {sha256}",
            "Its source is not Maven Central's archive; nothing of it was unpacked.",
        )


def unpack(archive: Path, folder: str, to: Path) -> None:
    """The files below <any>/``folder``/ of the archive, into ``to``."""
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            parts = Path(member.filename).parts
            if member.is_dir() or len(parts) < 3 or parts[1] != folder or ".." in parts:
                continue
            path = to.joinpath(*parts[2:])
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(member) as source, path.open("wb") as out:
                shutil.copyfileobj(source, out)
            mode = (member.external_attr >> 16) & 0o777
            path.chmod((mode | 0o644) if mode else 0o644)
