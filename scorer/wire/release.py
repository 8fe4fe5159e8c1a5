"""Which release of qscore stands on each side of the wire, and what to do where they differ.

Sides of one minor version understand each other whole. Others go on working as far as the older one knows, and say so.
"""

from __future__ import annotations

import re
from typing import Dict, Optional, Tuple

#: The release of this code, as in pyproject.toml (a test compares).
RELEASE = "0.2.0"
#: What a side is that says nothing of its release: those before 0.2.0 did not.
SILENT = "0.1.0"
_FORM = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(\.[0-9A-Za-z.+-]{1,40})?\Z")

COMMAND, GATEWAY, WORKER, SENDER = "the caller", "the gateway", "the worker", "the sender of the message"
#: What brings each side up to date. Workers come first: each reads what older sides send.
_REMEDIES = {
    WORKER: "install qscore %s for the workers and start them again, delivery workers first",
    GATEWAY: "install qscore %s on the gateway's host and start it again, after the workers",
    SENDER: "install qscore %s where the message came from: gateway or connector",
    COMMAND: "install version %s of the app on the search head, or of qscore where the command runs",
}


def minor(release: str) -> Tuple[int, int]:
    """Take major and minor of a release; (0, 0) for what is none."""
    found = _FORM.match(release)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def stated(header: Optional[str]) -> str:
    """Read the release that the other side states, which may be hostile: SILENT where it states none, or nonsense."""
    return header if header is not None and _FORM.match(header) else SILENT


def skew(sides: Dict[str, str]) -> str:
    """Say which sides are older than the newest, and what to do; empty where all are of one minor version.

    ``sides``: COMMAND, GATEWAY or WORKER to its release; those that are not known are left out.
    """
    newest = max(sides.values(), key=minor, default="")
    old = [side for side in _REMEDIES if side in sides and minor(sides[side]) < minor(newest)]
    if not old:
        return ""
    told = " and ".join("%s is of version %s" % (side, sides[side]) for side in old)
    leading = ", ".join(side for side in sides if side not in old)
    remedies = "; ".join(_REMEDIES[side] % newest for side in old)
    return "%s, older than %s (%s). To do: %s." % (told, leading, newest, remedies)
