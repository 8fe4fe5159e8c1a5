"""A home goes into an archive and comes out as it was; what must not go along, does not."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from scorer.service.backup.copying import Withheld, copy
from scorer.service.backup.home_files import Source, is_secret
from scorer.service.backup.restore import restore
from scorer.service.backup.save import back_up
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import BadOption


@pytest.fixture
def home(tmp_path: Path, publish_tiny: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    publish_tiny(folder)
    monkeypatch.setenv("QSCORE_HOME", str(folder))
    (folder / "qscore.toml").write_text('sink = "none"\n')
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def settings_of(home: Path) -> Settings:
    return load_settings(home=home)


@pytest.mark.parametrize("end", [".tar.gz", ".tar.zst"])
def test_a_restored_home_holds_the_very_bytes(home: Path, tmp_path: Path, end: str) -> None:
    archive = tmp_path / f"backup{end}"
    saved = back_up(settings_of(home), archive, private_keys=True)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    restore(archive, tmp_path / "new", saved.sha256)
    expected = {name: data for name, data in contents(home).items() if not name.endswith(".lock")}
    assert contents(tmp_path / "new") == expected
    folders = [tmp_path / "new", *(path for path in (tmp_path / "new").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert stat.S_IMODE((tmp_path / "new" / "private" / "signing_key.pem").stat().st_mode) == 0o600


def test_private_keys_stay_at_home_unless_asked_for(home: Path, tmp_path: Path) -> None:
    (home / "tokens").mkdir()
    (home / "tokens" / "hec").write_text("not-for-others")
    (home / "tls").mkdir()
    (home / "tls" / "ca_key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (home / "tls" / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (home / "qscore.toml").write_text(f'[hec]\ntoken_file = "{home}/tokens/hec"\n')
    saved = back_up(settings_of(home), tmp_path / "b.tar.gz", private_keys=False)
    assert sorted(saved.keys) == ["private/signing_key.pem", "tls/ca_key.pem", "tokens/hec"]
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    restored = contents(tmp_path / "new")
    assert "tls/ca.pem" in restored
    assert not set(saved.keys) & set(restored)


def test_no_byte_of_what_stays_at_home_is_written_elsewhere(tmp_path: Path) -> None:
    """What lay on the backup's disk for a moment can be read from it for long."""
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    source, target = Source(tmp_path / "key.pem", tmp_path, "key.pem"), tmp_path / "copies" / "key.pem"
    with pytest.raises(Withheld):
        copy(source, target, lambda source, start: is_secret(source, start, frozenset()))
    assert not target.parent.exists()
    assert copy(source, target, lambda _source, _start: False).name == "key.pem"


def test_a_key_that_a_link_names_is_a_key_all_the_same(home: Path, tmp_path: Path) -> None:
    """Where settings and home spell its place differently, too: a home is often reached by a link to another disk."""
    (home / "tokens").mkdir()
    (home / "tokens" / "2026").write_text("not-for-others")
    (home / "tokens" / "hec").symlink_to("2026")
    (tmp_path / "by-a-link").symlink_to(home)
    (home / "qscore.toml").write_text(f'[hec]\ntoken_file = "{home}/tokens/hec"\n')
    saved = back_up(settings_of(tmp_path / "by-a-link"), tmp_path / "b.tar.gz", private_keys=False)
    assert set(saved.keys) >= {"tokens/hec", "tokens/2026"}
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    assert b"not-for-others" not in b"".join(contents(tmp_path / "new").values())


def test_a_database_in_use_is_copied_with_what_stands_in_its_journal_alone(home: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(home / "dead_letters.sqlite", isolation_level=None)) as live:
        live.execute("PRAGMA journal_mode = WAL")
        live.execute("CREATE TABLE letters (number INTEGER)")
        live.executemany("INSERT INTO letters VALUES (?)", [(n,) for n in range(1000)])
        assert (home / "dead_letters.sqlite-wal").stat().st_size
        back_up(settings_of(home), tmp_path / "b.tar.gz", private_keys=False)
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    assert not list((tmp_path / "new").glob("*-wal"))
    with closing(sqlite3.connect(tmp_path / "new" / "dead_letters.sqlite")) as copy:
        assert copy.execute("SELECT count(*), max(number) FROM letters").fetchone() == (1000, 999)


def test_what_is_no_file_of_the_home_is_left_out_and_named(home: Path, tmp_path: Path) -> None:
    os.mkfifo(home / "registry" / "pipe")
    (home / "secrets").symlink_to("/etc")
    (home / "logs").mkdir()
    (home / "logs" / "passwd").symlink_to("/etc/passwd")
    (home / "logs" / "circle").symlink_to("circle")
    (home / "broken.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    (home / "name\x1b[2J").write_text("")
    saved = back_up(settings_of(home), tmp_path / "b.tar.gz", private_keys=False)
    left = {skipped.name: skipped.reason for skipped in saved.skipped}
    assert left.keys() == {"registry/pipe", "logs/passwd", "logs/circle", "broken.sqlite", "name\x1b[2J"}
    assert left["registry/pipe"] == "no regular file"
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    assert b"root:" not in b"".join(contents(tmp_path / "new").values())


def test_a_registry_mounted_as_links_elsewhere_comes_into_the_restored_home(home: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    (mounted / "..data").mkdir(parents=True)
    for file in (home / "trusted_keys").iterdir():
        file.rename(mounted / "..data" / file.name)
        (mounted / file.name).symlink_to(f"..data/{file.name}")
    settings = load_settings(home=home, trusted_keys_dir=mounted)
    back_up(settings, tmp_path / "b.tar.gz", private_keys=False)
    manifest = restore(tmp_path / "b.tar.gz", tmp_path / "new")
    assert manifest.moved == ("trusted_keys_dir",)
    (key,) = (tmp_path / "new" / "trusted_keys").iterdir()
    assert not key.is_symlink()
    assert key.read_bytes() == (mounted / key.name).read_bytes()


@pytest.mark.parametrize("name", ["b.zip", "b", "there.tar.gz", "home/b.tar.gz", "home/registry/b.tar.gz"])
def test_an_archive_that_would_replace_or_hold_itself_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "there.tar.gz").write_text("mine")
    with pytest.raises(BadOption):
        back_up(settings_of(home), tmp_path / name, private_keys=False)
    assert (tmp_path / "there.tar.gz").read_text() == "mine"
    assert not list(tmp_path.glob("**/b.*"))


@pytest.mark.parametrize("place", ["scores.ndjson", "out/scores.ndjson"])
def test_scores_of_the_file_sink_are_no_part_of_it(home: Path, tmp_path: Path, place: str) -> None:
    (home / place).parent.mkdir(exist_ok=True)
    (home / place).write_text("{}\n")
    settings = load_settings(home=home, sink="file", sink_file=home / place)
    back_up(settings, tmp_path / "b.tar.gz", private_keys=False)
    restore(tmp_path / "b.tar.gz", tmp_path / "new")
    assert not (tmp_path / "new" / place).exists()
