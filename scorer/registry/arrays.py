"""``arrays.npz``: written without pickles, and read only after every size in it has been checked."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from scorer.wire.errors import ArtifactRejected

FILE_CAP = 256 * 1024 * 1024
_DTYPES = frozenset({"<f4", "<f8", "<i4", "<i8", "|u1"})
_REMEDY = "Take the model from where it was signed; qscore does not load arrays that its manifest does not describe."

Arrays = Mapping[str, np.ndarray[Any, Any]]


def pack(arrays: Arrays) -> bytes:
    """Write the arrays as the bytes of an uncompressed .npz; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    contents: dict[str, Any] = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    np.savez(buffer, **contents)
    return buffer.getvalue()


def describe(arrays: Arrays) -> dict[str, dict[str, Any]]:
    """Write what the manifest says of each array: dtype, shape and the SHA-256 of its bytes."""
    return {name: _description(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _description(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }


def unpack(content: bytes, described: Mapping[str, Any], what: str) -> dict[str, np.ndarray[Any, Any]]:
    """Read an .npz whose members must be exactly those that ``described`` (from a verified manifest) lists.

    Headers are compared with the description before any array is read, and no more of it is read than described.
    Raises ArtifactRejected naming ``what`` and the array.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if set(members) != {f"{name}.npy" for name in described} or len(members) != len(archive.infolist()):
                raise ArtifactRejected(f"the arrays of {what} are not those that its manifest lists", _REMEDY)
            return {name: _member(archive, members[f"{name}.npy"], described[name], what) for name in described}
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
        raise ArtifactRejected(f"the arrays of {what} cannot be read: {error}", _REMEDY) from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, wanted: Any, what: str) -> np.ndarray[Any, Any]:
    name = f"array {info.filename.removesuffix('.npy')} of {what}"
    if not isinstance(wanted, dict) or str(wanted.get("dtype")) not in _DTYPES:
        raise ArtifactRejected(f"{name} has a type that models do not use (pickled objects never load)", _REMEDY)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > FILE_CAP:
        raise ArtifactRejected(f"{name} is compressed or larger than {FILE_CAP} bytes", _REMEDY)
    with archive.open(info) as stream:
        if _stated(stream) != _header(wanted["dtype"], wanted.get("shape")):
            raise ArtifactRejected(f"{name} is not of the shape and type that the manifest states", _REMEDY)
        raw = stream.read(np.dtype(wanted["dtype"]).itemsize * math.prod(wanted["shape"]) + 1)
    if hashlib.sha256(raw).hexdigest() != wanted.get("sha256"):
        raise ArtifactRejected(f"{name} differs from the digest in the manifest", _REMEDY)
    return np.frombuffer(raw, dtype=wanted["dtype"]).reshape(wanted["shape"])


def _stated(stream: IO[bytes]) -> bytes:
    """Read the header of a member, without the blanks behind it. Raises ValueError where it is none of version 1.0."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("unknown header")
    return stream.read(int.from_bytes(stream.read(2), "little")).rstrip(b" \n")


def _header(dtype: str, shape: Any) -> bytes:
    """Write the header that an array has: compared, so that none is read, which would be a literal of Python."""
    if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
        return b""
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}".encode()
