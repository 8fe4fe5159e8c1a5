"""The development server's archive: tried again, checked, unpacked whole or not at all, never waited for for ever.

A script stands for Maven on PATH; it gets the arguments that Maven gets.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina

from demo.elasticsearch_archive import Artifact, fetch
from scorer.wire.errors import Unavailable

MakeMaven = Callable[[str], None]


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("sonar-1/elasticsearch/lib/one.jar", "one")
        packed.writestr("sonar-1/elasticsearch/../../outside", "never")
        packed.writestr("sonar-1/web/index.html", "not asked for")
        run = zipfile.ZipInfo("sonar-1/elasticsearch/bin/run")
        run.external_attr = 0o755 << 16
        packed.writestr(run, "#!/bin/sh\n")
    return path


@pytest.fixture
def artifact(archive: Path) -> Artifact:
    return Artifact("g:a:1:zip", hashlib.sha256(archive.read_bytes()).hexdigest(), 1, "elasticsearch")


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeMaven:
    """Puts an `mvn` on PATH: ``body`` is shell; the tries so far are in $tries, Maven's repository in $repository."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(body: str) -> None:
        count = tmp_path / "tries"
        head = f"echo x >> {count}; tries=$(wc -l < {count})\n"
        head += 'for repository; do :; done; repository="${repository#-Dmaven.repo.local=}"; mkdir -p "$repository/g"\n'
        (folder / "mvn").write_text("#!/bin/sh\n" + head + body)
        (folder / "mvn").chmod(0o755)

    return make


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_try_that_fails_is_repeated_and_nothing_but_the_server_stays(
    maven: MakeMaven, archive: Path, artifact: Artifact, tmp_path: Path
) -> None:
    maven(f'[ $tries -ge 3 ] || exit 1\ncp {archive} "$repository/g/a-1.zip"\n')
    cache, said = tmp_path / "cache", list[str]()
    cache.mkdir()
    fetch(artifact, cache / "server", said.append)
    assert left_in(cache) == {"server"}
    assert (cache / "server/lib/one.jar").read_text() == "one"
    assert (cache / "server/bin/run").stat().st_mode & 0o777 == 0o755
    assert {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()} == {
        "server/lib/one.jar",
        "server/bin/run",
    }
    assert [line for line in said if "try" in line] == [
        "Maven did not fetch it; try 2 of 3 ...",
        "Maven did not fetch it; try 3 of 3 ...",
    ]


def test_another_archive_than_the_one_that_is_meant_is_not_unpacked(
    maven: MakeMaven, archive: Path, artifact: Artifact, tmp_path: Path
) -> None:
    maven(f'cp {archive} "$repository/g/a-1.zip"; echo more >> "$repository/g/a-1.zip"\n')
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(Unavailable, match=rf"a-1\.zip has the SHA-256 [0-9a-f]{{64}}, not {artifact.sha256}"):
        fetch(artifact, cache / "server", lambda _: None)
    assert left_in(cache) == set()


def test_what_maven_says_is_said_without_its_colours(maven: MakeMaven, artifact: Artifact, tmp_path: Path) -> None:
    maven("printf '\\033[1;31mERROR\\033[m no route to host\\n'; exit 1\n")
    with pytest.raises(Unavailable, match="Maven said: ERROR no route to host") as caught:
        fetch(artifact, tmp_path / "server", lambda _: None)
    assert "settings.xml" in caught.value.sentence()
    assert (tmp_path / "tries").read_text().count("x") == 3


def test_a_maven_that_hangs_is_ended_with_its_children(maven: MakeMaven, artifact: Artifact, tmp_path: Path) -> None:
    maven(f'head -c 3000000 /dev/zero > "$repository/g/a-1.zip.part"\nsleep 600 & echo $! > {tmp_path}/child\nwait\n')
    with pytest.raises(Unavailable, match="there are 3 MB of it, and the time for it is over"):
        fetch(artifact, tmp_path / "server", lambda _: None, seconds=1.0)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}")
    assert not child.exists() or "Z" in (child / "stat").read_text().split()[2]
    assert not (tmp_path / "server").exists()
