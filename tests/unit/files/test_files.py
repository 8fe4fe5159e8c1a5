"""Secrets and other files: read at once, only where they are what they look like."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scorer.files import check_folder, read_file
from scorer.secret_file import read_secret
from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import load_settings
from scorer.wire.errors import ConfigurationError
from tests.unit.registry.test_hostile_files import mount_like


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "mount" / "token"
    path.parent.mkdir()
    path.touch(0o600)
    path.write_text("s3cret\n")
    return path


def test_a_mounted_secret_is_read(secret: Path) -> None:
    assert read_secret(secret, "hec.token_file") == "s3cret"
    mount_like(secret.parent)
    assert secret.is_symlink()
    assert read_secret(secret, "hec.token_file") == "s3cret"


def test_a_secret_elsewhere_is_not_read(secret: Path, tmp_path: Path) -> None:
    link = tmp_path / "other" / "token"
    link.parent.mkdir()
    link.symlink_to(secret)
    with pytest.raises(ConfigurationError, match=r"hec.token_file .* leads out of its folder"):
        read_secret(link, "hec.token_file")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_secret_that_is_not_its_owners_alone_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"can be read by others \(mode {mode:o}\)\. Run: chmod 600"):
        read_secret(secret, "hec.token_file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mode", "read"), [(0o440, True), (0o640, True), (0o444, False), (0o660, False)])
def test_roots_secret_is_read_by_its_group(mode: int, read: bool) -> None:
    """A Secret of Kubernetes belongs to root and to the pod's fsGroup."""
    with tempfile.TemporaryDirectory() as folder:  # not the test's own, which is root's alone
        Path(folder).chmod(0o755)
        secret = Path(folder) / "token"
        secret.write_text("s3cret\n")
        secret.chmod(mode)
        os.chown(secret, 0, 54321)
        said = read_as_stranger(secret)
    assert ("s3cret" in said) is read, said
    assert ("can be read by others" in said) is not read


def read_as_stranger(secret: Path) -> str:
    """What reading a secret says to a user who is in its group alone."""
    code = (
        "import os, sys; from pathlib import Path; from scorer.secret_file import read_secret\n"
        "os.setgroups([54321]); os.setgid(54320); os.setuid(54320)\n"
        "print(read_secret(Path(sys.argv[1]), 'token_file'))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(secret)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_nothing_waits_for_what_is_no_file(tmp_path: Path, make: object) -> None:
    assert callable(make)
    path = tmp_path / "home" / "api_keys.json"
    path.parent.mkdir()
    make(path)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        read_secret(path, "hec.token_file")
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        KeyFile(path).keys()


def test_settings_are_a_file_that_not_everybody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    config = tmp_path / "qscore.toml"
    config.write_text("[gateway]\nport = 9000\n")
    config.chmod(0o664)  # of a group that edits it together
    assert load_settings().gateway.port == 9000
    config.chmod(0o646)
    with pytest.raises(ConfigurationError, match=r"can be written by others\. Run: chmod o-w"):
        load_settings()
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        load_settings()


@pytest.mark.skipif(not os.access("/proc/sys/kernel/hostname", os.R_OK), reason="no /proc")
def test_nobody_writes_a_file_system_that_is_mounted_read_only() -> None:
    mounts = [line.split()[1:4:2] for line in Path("/proc/mounts").read_text().splitlines()]
    folders = [Path(where) for where, options in mounts if "ro" in options.split(",") and Path(where).is_dir()]
    for folder in folders:  # whatever their modes say, as those of a mounted ConfigMap: 0777
        check_folder(folder, ConfigurationError)


def test_a_file_is_read_to_its_cap(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    path.chmod(0o644)
    assert read_file(path, 5, ConfigurationError) == b"12345"
    with pytest.raises(ConfigurationError, match="larger than 4 bytes"):
        read_file(path, 4, ConfigurationError)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_file(tmp_path / "y", 4, ConfigurationError)
