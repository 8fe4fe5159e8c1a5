"""Archives that nobody made with `qscore backup`: refused with one sentence, and nothing is left of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.service.backup.restore import restore
from scorer.wire.errors import BadInput, BadOption

CONTENT = b"content"


@dataclass(frozen=True)
class File:
    name: str
    content: bytes = CONTENT
    kind: bytes = tarfile.REGTYPE
    link: str = ""

    def listed(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.content).hexdigest()
        return {"name": self.name, "size": len(self.content), "mode": 0o644, "sha256": digest}


def manifest(files: Sequence[dict[str, Any]], **more: Any) -> bytes:
    whole = {"format": 1, "version": "0.2.0", "made": 1.0, "private_keys": False, "moved": [], "files": files}
    return json.dumps(whole | more).encode()


def add(archive: tarfile.TarFile, file: File, pax: dict[str, str] | None = None) -> None:
    entry = tarfile.TarInfo(file.name)
    entry.type, entry.linkname, entry.pax_headers = file.kind, file.link, pax or {}
    entry.size = len(file.content) if file.kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
    archive.addfile(entry, io.BytesIO(file.content))


def packed(listed: bytes, files: Sequence[File], first: str = "MANIFEST.json") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        add(archive, File(first, listed))
        for file in files:
            add(archive, file)
    return out.getvalue()


def of_files(*files: File) -> bytes:
    return packed(manifest([file.listed() for file in files]), files)


def refused(tmp_path: Path, content: bytes, words: str) -> None:
    """The archive is refused with ``words``; no home is there, and nothing beside it."""
    archive, folder = tmp_path / "archive", tmp_path / "in"
    archive.write_bytes(content)
    folder.mkdir()
    with pytest.raises(BadInput, match=words) as caught:
        restore(archive, folder / "home")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(archive))
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "in"]


def test_the_maker_of_these_makes_sound_ones_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(of_files(File("qscore.toml"), File("registry/lateral/1/manifest.json")))
    restore(tmp_path / "a", tmp_path / "home")
    assert (tmp_path / "home" / "registry" / "lateral" / "1" / "manifest.json").read_bytes() == CONTENT


NAMES = [
    "../out",
    "a/../../out",
    "/etc/out",
    "a//b",
    "a/./b",
    "",
    "a/",
    ".ssh/authorized_keys",
    "a\\b",
    "a\x1b[2J",
    "a\nb",
]


@pytest.mark.parametrize("name", [*NAMES, "x" * 300, "/".join(["y" * 200] * 9)])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    refused(tmp_path, of_files(File(name)), "damaged at 'files.0.name'")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_what_is_no_regular_file(tmp_path: Path, kind: bytes) -> None:
    file = File("registry", kind=kind, link="/etc")
    empty = file.listed() | {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    for listed in (file.listed(), empty):
        (tmp_path / str(listed["size"])).mkdir()
        refused(tmp_path / str(listed["size"]), packed(manifest([listed]), [file]), "sound backup")


def test_a_link_first_and_a_file_through_it(tmp_path: Path) -> None:
    link, through = File("registry", kind=tarfile.SYMTYPE, link="/etc"), File("registry/out")
    refused(tmp_path, packed(manifest([through.listed()]), [link, through]), "'registry' is not on its list")


LISTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a changed byte": (
        lambda: packed(manifest([File("a").listed()]), [File("a", b"Content")]),
        "'a' does not have the SHA-256",
    ),
    "a longer file": (lambda: packed(manifest([File("a").listed()]), [File("a", CONTENT * 2)]), "'a' is not the file"),
    "a file too few": (lambda: packed(manifest([File("a").listed()]), []), "1 files of its list are missing"),
    "a file too many": (lambda: packed(manifest([]), [File("a")]), "'a' is not on its list"),
    "a file twice in the archive": (
        lambda: packed(manifest([File("a").listed()]), [File("a"), File("a")]),
        "'a' is not on its list",
    ),
    "a file twice on the list": (lambda: of_files(File("a"), File("a")), "names one file twice"),
    "a file and a folder of one name": (lambda: of_files(File("a"), File("a/b")), "as a file and as a folder"),
    "no list": (lambda: packed(b"", [File("a")], first="a"), "does not begin with MANIFEST.json"),
    "an empty list": (lambda: packed(b"", []), "damaged at 'its start'"),
    "another format": (lambda: packed(manifest([], format=2), []), "damaged at 'format'"),
    "a wish more": (lambda: packed(manifest([], run="rm"), []), "damaged at 'run'"),
    "a version for the terminal": (lambda: packed(manifest([], version="\x1b[2J"), []), "damaged at 'version'"),
    "a setuid file": (lambda: packed(manifest([File("a").listed() | {"mode": 0o4755}]), [File("a")]), "files.0.mode"),
    "an endless list": (lambda: packed(b"[" * 100_000, []), "damaged at"),
    "more than the disk holds": (lambda: packed(manifest([File("a").listed() | {"size": 2**49}]), []), "are free here"),
    "nothing": (lambda: b"", "neither with gzip nor"),
    "another program's": (lambda: b"PK\x03\x04" + bytes(100), "neither with gzip nor"),
    "half a gzip": (lambda: of_files(File("a", bytes(100_000)))[:-200], "sound backup"),
    "gzip of nothing": (lambda: gzip.compress(b""), "sound backup"),
    "gzip of zeros": (lambda: gzip.compress(bytes(50_000_000)), "sound backup"),
    "zstd of nothing": (lambda: b"\x28\xb5\x2f\xfd" + bytes(20), "sound backup"),
}


@pytest.mark.parametrize("made", LISTS.values(), ids=LISTS)
def test_lists_and_archives_that_do_not_fit_together(tmp_path: Path, made: tuple[Callable[[], bytes], str]) -> None:
    content, words = made
    refused(tmp_path, content(), words)


def test_a_header_that_unpacks_to_much_is_given_up_early(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        add(archive, File("MANIFEST.json", manifest([File("a").listed()])))
        add(archive, File("a"), pax={"comment": "x" * 40_000_000})
    assert len(out.getvalue()) < 1_000_000
    refused(tmp_path, out.getvalue(), "holds more than its list says")


def test_an_archive_of_another_digest_is_refused(tmp_path: Path) -> None:
    content = of_files(File("a"))
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(BadInput, match="not the one given"):
        restore(tmp_path / "archive", tmp_path / "home", "0" * 64)
    restore(tmp_path / "archive", tmp_path / "home", hashlib.sha256(content).hexdigest().upper() + "\n")


@pytest.mark.parametrize("there", ["file", "link", "full"])
def test_a_home_that_holds_something_is_left_alone(tmp_path: Path, there: str) -> None:
    home = tmp_path / "home"
    (tmp_path / "elsewhere").mkdir()
    if there == "file":
        home.write_text("mine")
    elif there == "link":
        home.symlink_to(tmp_path / "elsewhere")
    else:
        home.mkdir()
        (home / ".hidden").write_text("mine")
    (tmp_path / "archive").write_bytes(of_files(File("a")))
    with pytest.raises(BadOption):
        restore(tmp_path / "archive", home)
    assert not (tmp_path / "elsewhere" / "a").exists()


def test_an_empty_home_is_taken(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    (tmp_path / "archive").write_bytes(of_files(File("a")))
    restore(tmp_path / "archive", tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700


SOUND = of_files(File("qscore.toml"), replace(File("registry/a/1/arrays.npz"), content=bytes(range(256)) * 40))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_changed_bytes_are_refused_or_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], inside: bool
) -> None:
    content = bytearray(gzip.decompress(SOUND) if inside else SOUND)
    for place, value in changes:
        content[place % len(content)] = value
    folder = tmp_path_factory.mktemp("changed")
    (folder / "archive").write_bytes(gzip.compress(content, 1) if inside else content)
    try:
        restore(folder / "archive", folder / "home")
    except BadInput:
        assert [path.name for path in folder.iterdir()] == ["archive"]
    else:
        assert (folder / "home" / "qscore.toml").read_bytes() == CONTENT
