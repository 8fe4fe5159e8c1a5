"""Artifacts that somebody changed, also somebody who may sign: what loads is what was signed, or nothing does."""

from __future__ import annotations

import io
import json
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorer.models.trained import TrainedModel
from scorer.registry.arrays import describe, pack
from scorer.registry.keys import Signer
from scorer.registry.store import Registry, canonical
from scorer.wire.errors import ArtifactRejected, UnknownModel
from tests.conftest import make_tiny_model

VERSION = "1-starter"
#: Seeds of changes to each file; what each changes is a matter of its seed alone.
FLIPS = range(60)


@pytest.fixture(scope="module")
def signed_home(tmp_path_factory: pytest.TempPathFactory, tiny_model: TrainedModel) -> Path:
    home = tmp_path_factory.mktemp("signed")
    signer, _ = Signer.load_or_create(home / "private" / "key.pem", home / "trusted")
    Registry(home / "registry", home / "trusted").publish(tiny_model, signer)
    return home


@pytest.fixture
def home(signed_home: Path, tmp_path: Path) -> Path:
    shutil.copytree(signed_home, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def signer(home: Path) -> Signer:
    return Signer.load(home / "private" / "key.pem")


def registry_of(home: Path) -> Registry:
    """A registry as a process sees it that has read nothing yet."""
    return Registry(home / "registry", home / "trusted")


def file(home: Path, name: str) -> Path:
    return home / "registry" / "lateral" / VERSION / name


def load(home: Path) -> TrainedModel:
    return registry_of(home).load("lateral", VERSION)


def sign_again(home: Path, signer: Signer, **parts: Any) -> None:
    """What somebody does who may sign: the manifest says something else, under a right signature."""
    content = canonical(manifest(home) | parts)
    file(home, "manifest.json").write_bytes(content)
    file(home, "manifest.sig").write_bytes(signer.sign(content))


def manifest(home: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(file(home, "manifest.json").read_bytes())
    return raw


def describe_again(home: Path, signer: Signer, name: str, **said: Any) -> None:
    """The same for what the manifest says of one array."""
    described = manifest(home)["arrays"]
    sign_again(home, signer, arrays=described | {name: described[name] | said})


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "arrays.npz"])
def test_bits_that_were_changed_stop_the_model_or_change_nothing(
    home: Path, tiny_model: TrainedModel, name: str
) -> None:
    original = file(home, name).read_bytes()
    Z = np.random.default_rng(0).random((20, len(tiny_model.feature_names)))
    expected, refused = tiny_model.scores(Z), 0
    for seed in FLIPS:
        content, rng = bytearray(original), np.random.default_rng(seed)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        file(home, name).write_bytes(content)
        try:
            found = load(home)
        except ArtifactRejected:
            refused += 1
        else:  # a bit that means nothing: of an archive's dates, behind the last digit of a signature
            assert np.array_equal(found.scores(Z), expected), seed
    assert refused > len(FLIPS) * 0.8
    file(home, name).write_bytes(original)
    assert np.array_equal(load(home).scores(Z), expected)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "arrays.npz"])
def test_a_file_that_is_gone_cut_or_of_another_kind_stops_the_model(home: Path, name: str) -> None:
    original = file(home, name).read_bytes()
    for content in (b"", original[:-1], original[1:], b"\x00" * 64, b"[" * 100_000, b"\x80\x04N."):
        file(home, name).write_bytes(content)
        with pytest.raises(ArtifactRejected):
            load(home)
    file(home, name).unlink()
    with pytest.raises((ArtifactRejected, UnknownModel)):
        load(home)


class Runs:
    """What a pickle can do when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def members(home: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file(home, "arrays.npz")) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def write_members(home: Path, content: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(file(home, "arrays.npz"), "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def npy(header: str, data: bytes, version: bytes = b"\x01\x00") -> bytes:
    """A member by hand: NumPy's magic, a header, and what follows."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + text + data


def test_an_object_in_the_place_of_numbers_never_runs_though_it_is_signed(
    home: Path, signer: Signer, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    hostile = np.array([Runs(ran)], dtype=object)
    content = members(home)
    first = sorted(content)[0]
    buffer = io.BytesIO()
    np.save(buffer, hostile, allow_pickle=True)
    for dtype in ("|O", "object", "<f4", "O"):
        describe_again(home, signer, first[:-4], dtype=dtype, shape=[1])
        write_members(home, content | {first: buffer.getvalue()})
        with pytest.raises(ArtifactRejected):
            load(home)
    # In the place of the archive itself, and of the manifest.
    for name in ("arrays.npz", "manifest.json", "manifest.sig"):
        before = file(home, name).read_bytes()
        file(home, name).write_bytes(hostile.dumps())
        with pytest.raises(ArtifactRejected):
            load(home)
        file(home, name).write_bytes(before)
    assert not ran.exists()


def test_members_that_were_added_doubled_renamed_or_packed_stop_the_model(home: Path) -> None:
    content = members(home)
    first = sorted(content)[0]
    for changed in (
        {**content, "more.npy": content[first]},
        {**content, "../../../etc/cron.d/x": b"x"},
        {**content, first[:-4]: content[first]},
        {name: data for name, data in content.items() if name != first},
        {name.upper(): data for name, data in content.items()},
        {f"x/{name}": data for name, data in content.items()},
        {},
    ):
        write_members(home, changed)
        with pytest.raises(ArtifactRejected):
            load(home)
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        write_members(home, content, compression)
        with pytest.raises(ArtifactRejected, match="compressed"):
            load(home)
    write_members(home, content)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file(home, "arrays.npz"), "a") as archive:
        archive.writestr(first, content[first])
    with pytest.raises(ArtifactRejected):
        load(home)
    write_members(home, content)
    assert load(home).name == "lateral"


def test_other_numbers_in_a_sound_archive_stop_the_model(home: Path) -> None:
    """By somebody who may write the registry and not sign: the archive's own checksums are right, the digests not."""
    arrays = {name[:-4]: np.load(io.BytesIO(data)) for name, data in members(home).items()}
    assert len(arrays) > 5
    for name, array in arrays.items():
        changed = array.copy()
        changed.reshape(-1)[-1] += 1
        file(home, "arrays.npz").write_bytes(pack(arrays | {name: changed}))
        with pytest.raises(ArtifactRejected, match=f"array {name} .* differs from the digest"):
            load(home)
    file(home, "arrays.npz").write_bytes(pack(arrays))
    assert load(home).name == "lateral"


def test_arrays_of_another_signed_version_are_not_this_ones(home: Path, signer: Signer) -> None:
    other = registry_of(home).publish(make_tiny_model(seed=6), signer)
    folder = home / "registry" / "lateral"
    for name in ("arrays.npz", "manifest.sig"):
        kept = file(home, name).read_bytes()
        file(home, name).write_bytes((folder / other / name).read_bytes())
        with pytest.raises(ArtifactRejected):
            load(home)
        file(home, name).write_bytes(kept)
    assert load(home).name == "lateral"


SHAPES: dict[str, Any] = {
    "a million million": [10**12],
    "beyond a word": [2**63],
    "overflowing to nothing": [2**32, 2**32],
    "below zero": [-1],
    "many dimensions": [1] * 70,
    "of floats": [3.0],
    "of texts": ["3"],
    "a text": "3",
    "nothing": None,
    "of truths": [True],
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_signed_shape_that_is_none_is_refused_before_anything_is_made_of_it(
    home: Path, signer: Signer, name: str
) -> None:
    shape = SHAPES[name]
    content = members(home)
    first = sorted(content)[0]
    for said in (shape, [len(content)]):
        describe_again(home, signer, first[:-4], shape=shape)
        described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {said if said is None else tuple(said)!r}, }}"
        write_members(home, content | {first: npy(described, b"\x00" * 12)})
        with pytest.raises(ArtifactRejected):
            load(home)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|V4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '>f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 2000 + ")" * 2000 + "}",
        "__import__('os').system('touch ran')",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9**9**9,)}",
        "{'descr': (), 'fortran_order': False, 'shape': (3,)}",
        "{'descr': [()], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': " + "(" * 150 + "'<f4'" + ",)" * 150 + ", 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': " + "-" * 5000 + "3}",
        "[" * 5000,
        "",
        "\x00" * 40,
    ],
    ids=lambda header: header[:30],
)
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\xff\xff"])
def test_a_header_of_an_array_is_read_as_numbers_alone(home: Path, signer: Signer, header: str, version: bytes) -> None:
    content = members(home)
    first = sorted(content)[0]
    describe_again(home, signer, first[:-4], shape=[3], dtype="<f4")
    write_members(home, content | {first: npy(header, b"\x00" * 12, version)})
    with pytest.raises(ArtifactRejected):
        load(home)


NUMBERS = [float("nan"), float("inf"), -float("inf"), 1e308, 1e-320]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_no_score_can_be_made_of_are_refused_or_scored(
    home: Path, signer: Signer, tiny_model: TrainedModel, number: float
) -> None:
    """By somebody who may sign: whatever he puts into the arrays, no score is anything but a number from 0 to 1."""
    content = members(home)
    arrays = {name[:-4]: np.load(io.BytesIO(data)) for name, data in content.items()}
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        changed = array.copy()
        with np.errstate(over="ignore"):
            changed.reshape(-1)[:1] = number
        hostile = arrays | {name: changed}
        sign_again(home, signer, arrays=describe(hostile))
        file(home, "arrays.npz").write_bytes(pack(hostile))
        try:
            model = load(home)
        except ArtifactRejected:
            continue
        Z = np.random.default_rng(0).random((20, len(tiny_model.feature_names)))
        assert np.isfinite(model.scores(Z)).all(), name


PATHS = ["../../../../etc/passwd", "..", "/etc/passwd", "\x00" * 16, "a/b", "*" * 16, "0" * 15, "0" * 17, "０" * 16]


@pytest.mark.parametrize("key_id", PATHS)
def test_a_key_id_that_could_be_a_path_is_no_key(home: Path, key_id: str) -> None:
    path = file(home, "manifest.sig")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key_id": key_id}))
    with pytest.raises(ArtifactRejected):
        load(home)


def test_a_key_of_a_stranger_signs_nothing_here_not_even_under_a_known_id(home: Path, tmp_path: Path) -> None:
    stranger, _ = Signer.load_or_create(tmp_path / "other" / "key.pem", tmp_path / "elsewhere")
    content = file(home, "manifest.json").read_bytes()
    known = json.loads(file(home, "manifest.sig").read_text())["key_id"]
    signature = json.loads(stranger.sign(content))
    for document in (signature, signature | {"key_id": known}):
        file(home, "manifest.sig").write_text(json.dumps(document))
        with pytest.raises(ArtifactRejected):
            load(home)
    # Nor does a key's file that lies beside the models, and not among the trusted ones.
    shutil.copytree(tmp_path / "elsewhere", home / "registry" / "trusted")
    file(home, "manifest.sig").write_text(json.dumps(signature))
    with pytest.raises(ArtifactRejected, match="not among the trusted keys"):
        load(home)


@pytest.mark.parametrize("name", ["other", "lateral_flow", "a"])
def test_a_folder_under_another_name_or_version_is_not_that_model(home: Path, name: str) -> None:
    root = home / "registry"
    shutil.copytree(root / "lateral", root / name)
    for registry, asked in ((registry_of(home), name), (registry_of(home), "lateral")):
        if asked == "lateral":
            shutil.copytree(root / "lateral" / VERSION, root / "lateral" / "7")
        version = "7" if asked == "lateral" else VERSION
        for work in (registry.load, registry.card):
            with pytest.raises(ArtifactRejected):
                work(asked, version)
    assert [(card.name, card.version) for card in registry_of(home).cards()] == [("lateral", VERSION)]


def test_a_thousand_versions_of_nothing_hide_and_delay_no_model(home: Path) -> None:
    folder = home / "registry" / "lateral"
    for number in range(2, 1002):
        (folder / str(number)).mkdir(mode=0o755)
        (folder / str(number) / "manifest.json").write_bytes(b"{}")
    registry, started = registry_of(home), time.process_time()
    assert registry.load("lateral", registry.resolve("lateral")).name == "lateral"
    assert registry.card("lateral").version == VERSION
    alone = time.process_time() - started
    assert [card.version for card in registry.cards()] == [VERSION]
    assert len(registry.rejected()) == 1000
    assert alone < 5.0, "a batch does not look at versions that nobody asked for"
