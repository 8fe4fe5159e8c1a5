from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.registry.arrays import describe, pack, unpack
from scorer.wire.errors import ArtifactRejected

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1.5, 2.5])}


def test_arrays_survive_and_equal_arrays_give_equal_bytes() -> None:
    loaded = unpack(pack(ARRAYS), describe(ARRAYS), "model x")
    assert all(np.array_equal(loaded[name], ARRAYS[name]) for name in ARRAYS)
    assert pack(ARRAYS) == pack(dict(reversed(ARRAYS.items())))


def test_a_changed_byte_is_found() -> None:
    content = bytearray(pack(ARRAYS))
    at = content.find(ARRAYS["b"].tobytes())
    content[at] ^= 1
    with pytest.raises(ArtifactRejected, match="array"):
        unpack(bytes(content), describe(ARRAYS), "model x")


def test_a_pickled_array_never_loads() -> None:
    hostile = {"a": np.array([{"x": 1}], dtype=object)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **hostile)
    described = {"a": {"dtype": "|O", "shape": [1], "sha256": ""}}
    with pytest.raises(ArtifactRejected, match="pickled objects never load"):
        unpack(buffer.getvalue(), described, "model x")
    lying = {"a": {"dtype": "<f4", "shape": [1], "sha256": ""}}
    with pytest.raises(ArtifactRejected):
        unpack(buffer.getvalue(), lying, "model x")


def test_an_array_larger_than_described_is_refused_before_it_is_read() -> None:
    described = {**describe(ARRAYS), "a": {**describe(ARRAYS)["a"], "shape": [1, 3]}}
    with pytest.raises(ArtifactRejected, match="array a of model x is not of the shape"):
        unpack(pack(ARRAYS), described, "model x")


def test_a_compressed_bomb_is_refused() -> None:
    buffer = io.BytesIO()
    big = np.zeros(1_000_000, dtype=np.float32)
    np.savez_compressed(buffer, a=big)
    with pytest.raises(ArtifactRejected, match="compressed"):
        unpack(buffer.getvalue(), describe({"a": big}), "model x")


def test_extra_missing_and_doubled_members_are_refused() -> None:
    with pytest.raises(ArtifactRejected, match="not those that its manifest lists"):
        unpack(pack({**ARRAYS, "c": np.zeros(1)}), describe(ARRAYS), "model x")
    with pytest.raises(ArtifactRejected, match="not those that its manifest lists"):
        unpack(pack({"a": ARRAYS["a"]}), describe(ARRAYS), "model x")
    buffer = io.BytesIO(pack({"a": ARRAYS["a"]}))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("a.npy", b"x")
    with pytest.raises(ArtifactRejected, match="not those that its manifest lists"):
        unpack(buffer.getvalue(), describe({"a": ARRAYS["a"]}), "model x")


def test_a_member_marked_as_encrypted_is_refused() -> None:
    content = bytearray(pack(ARRAYS))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the last member's central record
    with pytest.raises(ArtifactRejected, match="encrypted"):
        unpack(bytes(content), describe(ARRAYS), "model x")


def member(header: bytes, content: bytes = b"") -> bytes:
    """An .npz with one array, of which the header is written by hand."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        line = header + b"\n"
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + content)
    return buffer.getvalue()


@pytest.mark.parametrize("header", [b"(", b"(" * 5000, b"'''", b"  x\n y\n  z", b"{[]: 1}", b"-" * 5000 + b"1", b"\0"])
def test_a_header_that_is_no_python_is_refused_by_name(header: bytes) -> None:
    with pytest.raises(ArtifactRejected, match="array a of model x is not of the shape and type"):
        unpack(member(header), {"a": {"dtype": "<f4", "shape": [2], "sha256": ""}}, "model x")


def test_no_more_is_read_of_an_array_than_described() -> None:
    size = 8 * 1024 * 1024
    content = member(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", bytes(size))
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactRejected, match="differs from the digest"):
            unpack(content, {"a": {"dtype": "<f4", "shape": [2], "sha256": ""}}, "model x")
        assert tracemalloc.get_traced_memory()[1] < size // 2
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_by_name(content: bytes) -> None:
    with pytest.raises(ArtifactRejected):
        unpack(content, describe(ARRAYS), "model x")


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_file_never_loads_as_something_else(position: int, value: int) -> None:
    content = bytearray(pack(ARRAYS))
    position %= len(content)
    content[position] = value
    try:
        loaded = unpack(bytes(content), describe(ARRAYS), "model x")
    except ArtifactRejected:
        return
    assert all(np.array_equal(loaded[name], ARRAYS[name]) for name in ARRAYS)
