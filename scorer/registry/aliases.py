"""``aliases.json``: which version of a model is live and which is shadow, signed, with a counter that never goes back.

    {"counter": 1796052315123, "live": {"version": "2"}, "model": "lateral", "shadow": {"version": "1-starter"},
     "signature": {"algorithm": "ed25519", "key_id": ..., "signature": ...}}

The signature is over a line of its own, so that no manifest's passes for one, and canonical JSON of model, counter and
aliases. The counter is the epoch millisecond of signing, or one more than the counter before; where it lies behind the
end of the key that signed, they were signed too late. Files of 0.1.0 have neither; they count until the first signed
one.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.chain import canonical
from scorer.registry.keys import Signer, verify
from scorer.registry.trusted import json_object
from scorer.wire.errors import ArtifactRejected, UnknownModel
from scorer.wire.names import ALIASES, check_version

ALIAS_FILE = "aliases.json"
ALIAS_CAP = 64 * 1024
_HEADING = b"qscore aliases\n"
_MOST = 10**15
_NS = 1_000_000  # in a millisecond
REMEDY = "Where the signing key lies, set them again: `qscore promote MODEL VERSION`."


@dataclass(frozen=True)
class Aliases:
    """The aliases of one model. ``counter``: 0 where they are unsigned. ``sha256``: of what was signed. ``late``:
    signed after the end of the key that did."""

    versions: Mapping[str, str]
    counter: int = 0
    sha256: str = ""
    key_id: str = ""
    late: bool = False

    @property
    def live(self) -> str:
        """The version that is live, "" where none is."""
        return self.versions.get("live", "")


def next_counter(before: int) -> int:
    """Choose the counter of new aliases: above every earlier one, also where those are not known here."""
    return max(before + 1, time.time_ns() // _NS)


def signed(name: str, versions: Mapping[str, str], counter: int, signer: Signer) -> bytes:
    """Write the file of a model's aliases."""
    document = {alias: {"version": version} for alias, version in versions.items()}
    signature = json_object(signer.sign(_payload(name, versions, counter)))
    return json.dumps({**document, "counter": counter, "model": name, "signature": signature}, sort_keys=True).encode()


def read(name: str, content: bytes, trusted_keys: Path) -> Aliases:
    """Read and verify what a model's file of aliases holds.

    Raises ArtifactRejected where it is damaged, or its signature is not a trusted key's over just these aliases.
    """
    raw = json_object(content)
    try:
        versions = {alias: _version(raw[alias]["version"]) for alias in ALIASES if alias in raw}
        counter = raw.get("counter", 0)
        if not raw or type(counter) is not int or not 0 <= counter <= _MOST:
            raise ValueError
    except (ValueError, TypeError, KeyError, UnknownModel):
        raise ArtifactRejected(f"the {ALIAS_FILE} of {name} is damaged", REMEDY) from None
    if "signature" not in raw and not counter:
        return Aliases(versions)
    return _verified(name, versions, counter, raw, trusted_keys)


def _verified(
    name: str, versions: Mapping[str, str], counter: int, raw: Mapping[str, Any], trusted_keys: Path
) -> Aliases:
    payload = _payload(name, versions, counter)
    what = f"the {ALIAS_FILE} of {name}"
    if raw.get("model") != name or not counter:
        raise ArtifactRejected(f"{what} is another model's, or has no counter", REMEDY)
    key = verify(payload, json.dumps(raw.get("signature")).encode(), trusted_keys, what)
    return Aliases(versions, counter, hashlib.sha256(payload).hexdigest(), key.key_id, key.ended(counter / 1000))


def _version(text: Any) -> str:
    """Check what an alias names: a version, not another alias."""
    if not isinstance(text, str) or text in ALIASES:
        raise ValueError
    return check_version(text)


def _payload(name: str, versions: Mapping[str, str], counter: int) -> bytes:
    return _HEADING + canonical({"aliases": dict(versions), "counter": counter, "model": name})
