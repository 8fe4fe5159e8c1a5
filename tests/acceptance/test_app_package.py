"""The built archive: the same bytes each time, nothing in it that does not belong, and AppInspect's clean bill."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from scorer.wire.names import OUTPUT_COLUMNS
from splunk_app.options import KNOWN
from tests.conftest import build


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "qscore"


def load(repository: Path, name: str) -> ModuleType:
    """A script of packaging/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"qscore_packaging_{name}", repository / "packaging" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def conf(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    # A backslash continues a line there; configparser wants the rest indented, which ours is.
    parser.read(path)
    return parser


def test_the_same_sources_give_the_same_bytes(archive: Path, repository: Path, tmp_path: Path) -> None:
    os.utime(repository / "default" / "app.conf")
    built = build("build_app.py", tmp_path, TZ="Pacific/Auckland")
    assert built.name == archive.name
    assert built.read_bytes() == archive.read_bytes()


def test_source_date_epoch_is_the_time_of_every_entry(tmp_path: Path) -> None:
    with tarfile.open(build("build_app.py", tmp_path, SOURCE_DATE_EPOCH="1234567890")) as tar:
        assert {entry.mtime for entry in tar} == {1234567890}


def test_entries_are_sorted_plain_and_owned_by_root(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        entries = tar.getmembers()
    files = [entry.name for entry in entries if entry.isfile()]
    assert files == sorted(files)
    assert len(set(files)) == len(files)
    assert {entry.mode for entry in entries if entry.isdir()} == {0o755}
    assert {entry.mode for entry in entries if entry.isfile()} == {0o644}
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {(0, 0, "root", "root")}
    assert all(entry.isdir() or entry.isfile() for entry in entries)
    assert {name.split("/")[0] for name in files} == {"qscore"}
    assert not [name for name in files if "__pycache__" in name or "/." in name or "/local/" in name]


def test_the_archive_names_no_machine(archive: Path) -> None:
    assert archive.read_bytes()[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 255])


def test_one_version_everywhere(repository: Path, unpacked: Path, archive: Path) -> None:
    version = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    app_conf = conf(unpacked / "default" / "app.conf")
    manifest = json.loads((unpacked / "app.manifest").read_text())
    assert archive.name == f"qscore-{version}.tar.gz"
    assert app_conf["id"]["version"] == app_conf["launcher"]["version"] == manifest["info"]["id"]["version"] == version
    assert app_conf["id"]["name"] == app_conf["package"]["id"] == manifest["info"]["id"]["name"] == "qscore"


def test_another_version_stops_the_build(repository: Path) -> None:
    with pytest.raises(ValueError, match=r"is 0\.2\.0, but it must be 9\.9\.9"):
        load(repository, "build_app").check_versions(repository, "9.9.9")


def test_a_stray_file_stops_the_build(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "notes.bak").write_text("x")
    with pytest.raises(ValueError, match="not a kind of file that a Splunk app holds"):
        load(repository, "pathmap").app_files(tmp_path)


def test_the_app_loads_nothing_but_itself_and_the_standard_library(unpacked: Path, interpreter: str) -> None:
    program = (
        "import sys, runpy; before = set(sys.modules)\n"
        f"sys.path.insert(0, {str(unpacked / 'lib')!r})\n"
        "import splunk_app.command\n"
        "files = [getattr(sys.modules[name], '__file__', None) or '' for name in set(sys.modules) - before]\n"
        "print('\\n'.join(sorted(files)))\n"
        "print(sys.base_prefix)"
    )
    ran = subprocess.run([interpreter, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    *files, base = ran.stdout.splitlines()
    strangers = [f for f in files if f and not f.startswith((base, str(unpacked)))]
    assert strangers == []
    assert not [f for f in files if "site-packages" in f]


FORBIDDEN_CALLS = re.compile(
    r"_create_unverified_context|CERT_NONE|verify\s*=\s*False|\bsubprocess\b|os\.system|\beval\(|\bexec\(|\bpickle\b|"
    r"shell\s*=\s*True|urllib\.request|\bmktemp\b"
)


def test_no_code_that_appinspect_does_not_flag_but_should(unpacked: Path) -> None:
    programs = list(unpacked.rglob("*.py"))
    assert len(programs) > 10
    for path in programs:
        source = path.read_text()
        assert FORBIDDEN_CALLS.search(source) is None, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
                assert modes in ([], ["r"], ["rb"]), f"{path}:{node.lineno} writes a file"


def test_no_conf_file_holds_a_secret_or_hands_out_system_rights(unpacked: Path) -> None:
    confs = list(unpacked.rglob("*.conf"))
    assert {path.name for path in confs} >= {"app.conf", "commands.conf", "macros.conf", "savedsearches.conf"}
    for path in confs:
        text = path.read_text()
        assert re.search(r"(?im)^\s*(password|token|api_?key|secret|session_?key)\s*=\s*\S", text) is None, path
        assert "passSystemAuth" not in text, path
        assert "admin_all_objects" not in text, path


def test_the_command_is_set_up_for_both_pythons_and_every_timeout(unpacked: Path) -> None:
    stanza = conf(unpacked / "default" / "commands.conf")["qscore"]
    assert stanza["chunked"] == "true"
    assert stanza["python.version"] == "python3"
    assert [part.strip() for part in stanza["python.required"].split(",")] == ["3.9", "3.13"]
    assert (unpacked / "bin" / stanza["filename"]).is_file()
    assert int(stanza["maxwait"]) > 300


def test_every_setting_is_documented(unpacked: Path) -> None:
    settings = conf(unpacked / "default" / "qscore.conf")
    spec = conf_like(unpacked / "README" / "qscore.conf.spec")
    assert {name: set(settings[name]) for name in settings.sections()} == spec


def conf_like(path: Path) -> dict[str, set[str]]:
    """Stanzas and their settings of a .spec file."""
    found: dict[str, set[str]] = {}
    stanza = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            stanza = line.strip("[]")
            found[stanza] = set()
        elif "=" in line and not line.startswith(("#", "*")):
            found[stanza].add(line.split("=")[0].strip())
    return found


def test_the_search_assistant_teaches_every_option_and_column(unpacked: Path) -> None:
    text = (unpacked / "default" / "searchbnf.conf").read_text()
    syntax = next(line for line in text.splitlines() if line.startswith("syntax"))
    assert [option for option in KNOWN if f"{option}=" not in syntax] == []
    assert [option for option in KNOWN if text.count(option) < 2] == []
    assert [column for column in OUTPUT_COLUMNS if column not in text] == []


def test_icons_have_the_sizes_that_splunk_asks_for(unpacked: Path) -> None:
    for name, size in (("appIcon.png", 36), ("appIcon_2x.png", 72)):
        data = (unpacked / "static" / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) == (size, size)


@pytest.mark.parametrize("tags", [(), ("cloud",)], ids=["all", "cloud"])
def test_appinspect_finds_no_failure(
    archive: Path, repository: Path, require: Callable[[bool, str], None], tags: tuple[str, ...]
) -> None:
    appinspect = load(repository, "appinspect")
    program = appinspect.find_appinspect()
    require(program is not None, "splunk-appinspect is not installed (requirements/appinspect.txt)")
    inspection = appinspect.inspect(program, archive, *tags)
    assert inspection.clean, [finding for finding in inspection.findings if finding[0] in ("failure", "error")]
    assert inspection.summary["success"] > 0
    assert not [finding for finding in inspection.findings if finding[0] == "future_failure"]


def test_appinspect_would_find_a_failure(
    archive: Path, repository: Path, require: Callable[[bool, str], None], unpacked: Path, tmp_path: Path
) -> None:
    appinspect = load(repository, "appinspect")
    program = appinspect.find_appinspect()
    require(program is not None, "splunk-appinspect is not installed (requirements/appinspect.txt)")
    spoiled = tmp_path / "qscore.tar.gz"
    with tarfile.open(archive) as tar, tarfile.open(spoiled, "w:gz") as out:
        for entry in tar:
            out.addfile(entry, tar.extractfile(entry) if entry.isfile() else None)
        extra = tarfile.TarInfo("qscore/default/limits.conf")
        out.addfile(extra)
    assert not appinspect.inspect(program, spoiled).clean
