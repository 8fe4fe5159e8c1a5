"""The list of a backup's files: the first member of the archive, against which every other one is checked."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from scorer.wire.errors import BadInput

#: Name of the member that holds the list.
MANIFEST = "MANIFEST.json"
#: Bytes of the list at most.
MANIFEST_CAP = 16 * 1024 * 1024
_LONGEST = 1024  # characters of a name
# No absolute path, no empty, hidden or parent part, nothing that a terminal obeys.
_PART = r"[^\x00-\x1f\x7f-\x9f/\\.][^\x00-\x1f\x7f-\x9f/\\]{0,254}"
_NAME = rf"{_PART}(/{_PART})*"
_CONFIG = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=_CONFIG)
class Member:
    """One file. ``name``: its path in the home. ``size`` in bytes; ``mode``: permission bits."""

    name: Annotated[str, StringConstraints(pattern=rf"^{_NAME}$", max_length=_LONGEST)]
    size: Annotated[int, Field(ge=0, le=2**50)]
    mode: Annotated[int, Field(ge=0, le=0o777)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, config=_CONFIG)
class Manifest:
    """All files of a backup. ``version``: of the qscore that made it, at ``made`` (epoch seconds).

    ``private_keys``: whether keys are among the files. ``moved``: settings that named another place than the home for
    what now lies in it.
    """

    version: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z.+-]{1,40}$")]
    made: float
    private_keys: bool
    moved: Annotated[tuple[Literal["registry_dir", "trusted_keys_dir", "QSCORE_CONFIG"], ...], Field(strict=False)]
    files: Annotated[tuple[Member, ...], Field(strict=False, max_length=200_000)]
    format: Literal[1] = 1

    def pack(self) -> bytes:
        """Write the list as ``read_manifest`` takes it."""
        return _MANIFEST.dump_json(self, indent=1)


_MANIFEST = TypeAdapter(Manifest)
_MEMBER_NAME = re.compile(_NAME)


def is_member_name(name: str) -> bool:
    """Tell whether a backup may hold a file under ``name``."""
    return len(name) <= _LONGEST and _MEMBER_NAME.fullmatch(name) is not None


def read_manifest(content: bytes) -> Manifest:
    """Read an untrusted list. Raises BadInput where it is none, or names a file twice."""
    try:
        manifest = _MANIFEST.validate_json(content)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise BadInput(f"the backup's list of files is damaged at {where[:80] or 'its start'!r}") from None
    names = {member.name for member in manifest.files}
    if len(names) < len(manifest.files):
        raise BadInput("the backup's list names one file twice")
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    if names & folders:
        raise BadInput(f"the backup's list has {min(names & folders)[:80]!r} as a file and as a folder")
    return manifest
