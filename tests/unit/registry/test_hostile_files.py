"""Pipes, links and open doors in the registry and among the trusted keys: refused at once, with a remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.wire.errors import QScoreError, UnknownModel

FILES = ("registry/lateral/aliases.json", "registry/lateral/1-starter/manifest.json",
         "registry/lateral/1-starter/manifest.sig", "registry/lateral/1-starter/arrays.npz", "key")  # fmt: skip
FOLDERS = ("registry", "registry/lateral", "registry/lateral/1-starter", "trusted")


@pytest.fixture
def place(tmp_path: Path, signer: Signer, registry: Registry) -> Callable[[str], Path]:
    """The path of a file or folder by its name in the lists above."""
    assert registry.versions("lateral")
    return lambda name: tmp_path / (f"trusted/{signer.key_id}.json" if name == "key" else name)


def load(registry: Registry) -> None:
    """Load the live model as a worker does, within seconds or never."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            registry.load("lateral", registry.resolve("lateral"))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for whoever opens the other end"
    if failed:
        raise failed[0]


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:  # its whole path may be too long
        made.bind(path.name)


def _folder(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _leads_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [_pipe, _socket, _folder, _device, _leads_out, _loop])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_refused_at_once(
    registry: Registry, place: Callable[[str], Path], name: str, make: Callable[[Path], None]
) -> None:
    load(registry)
    place(name).unlink()
    make(place(name))
    with pytest.raises(QScoreError) as refused:
        load(registry)
    assert "root:" not in str(refused.value)
    if not name.endswith(("manifest.json", "key")):  # a folder without a manifest is no version
        assert not isinstance(refused.value, UnknownModel)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_others_may_write_is_refused(
    registry: Registry, place: Callable[[str], Path], name: str, mode: int
) -> None:
    load(registry)
    place(name).chmod(mode)
    if name.endswith("arrays.npz"):  # its digest was compared when the model was loaded
        registry = Registry(registry.root, registry.trusted_keys)
    with pytest.raises(QScoreError, match=rf"can be written by others \(mode {mode:o}\)\. Run: chmod go-w"):
        load(registry)
    place(name).chmod(0o644)
    load(registry)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_others_may_write_is_refused(
    registry: Registry, place: Callable[[str], Path], name: str, mode: int
) -> None:
    load(registry)
    place(name).chmod(mode)
    with pytest.raises(QScoreError, match=rf"can be written by others \(mode {mode:o}\)\. Run: chmod go-w"):
        load(registry)
    place(name).chmod(0o755)
    load(registry)


def test_a_folder_above_the_keys_that_others_may_write_is_refused(registry: Registry, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(QScoreError, match=r"chmod o-w"):
        load(registry)
    tmp_path.chmod(0o1777)  # sticky, as /tmp: nobody exchanges what is another's
    load(registry)


def mount_like(folder: Path) -> None:
    """Turn a folder's files into links to links, as Kubernetes mounts Secrets and ConfigMaps."""
    data = folder / "..2026_11_30_12_00_00.123456789"
    data.mkdir()
    (folder / "..data").symlink_to(data.name)
    for file in [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]:
        shutil.move(file, data / file.name)
        file.symlink_to(f"..data/{file.name}")


def test_mounted_keys_and_models_load(registry: Registry) -> None:
    mount_like(registry.trusted_keys)
    mount_like(registry.root / "lateral" / "1-starter")
    mount_like(registry.root / "lateral")
    load(registry)
    # An update exchanges ..data: the keys are gone with it.
    (registry.trusted_keys / "..data").unlink()
    (registry.trusted_keys / "..2027").mkdir()
    (registry.trusted_keys / "..data").symlink_to("..2027")
    with pytest.raises(QScoreError, match="not among the trusted keys"):
        load(registry)


def test_a_registry_may_itself_be_a_link(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(registry.root)
    load(Registry(tmp_path / "link", registry.trusted_keys))


def test_folders_are_made_for_their_owner_alone(tmp_path: Path, tiny_model: TrainedModel) -> None:
    before = os.umask(0)
    try:
        signer, _ = Signer.load_or_create(tmp_path / "private" / "key.pem", tmp_path / "trusted")
        registry = Registry(tmp_path / "registry", tmp_path / "trusted")
        registry.publish(tiny_model, signer)
    finally:
        os.umask(before)
    load(registry)


@pytest.mark.parametrize("name", FILES)
def test_a_good_file_outside_of_its_folder_is_refused(
    registry: Registry, place: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / place(name).name
    shutil.move(place(name), moved)
    place(name).symlink_to(moved)
    with pytest.raises(QScoreError, match="is a link that leads out of its folder"):
        load(registry)
