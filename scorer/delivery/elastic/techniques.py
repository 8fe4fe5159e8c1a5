"""ATT&CK techniques as ECS ``threat`` fields. Names and tactics: MITRE ATT&CK for Enterprise, version 16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

FRAMEWORK = "MITRE ATT&CK"


@dataclass(frozen=True)
class Tactic:
    id: str
    name: str


_LATERAL_MOVEMENT = Tactic("TA0008", "Lateral Movement")
_CREDENTIAL_ACCESS = Tactic("TA0006", "Credential Access")
_DISCOVERY = Tactic("TA0007", "Discovery")
_COMMAND_AND_CONTROL = Tactic("TA0011", "Command and Control")
_EXFILTRATION = Tactic("TA0010", "Exfiltration")

#: Technique -> its name and the tactic under which a detection of it is filed.
TECHNIQUES: Mapping[str, tuple[str, Tactic]] = MappingProxyType(
    {
        "T1021": ("Remote Services", _LATERAL_MOVEMENT),
        "T1210": ("Exploitation of Remote Services", _LATERAL_MOVEMENT),
        "T1534": ("Internal Spearphishing", _LATERAL_MOVEMENT),
        "T1550": ("Use Alternate Authentication Material", _LATERAL_MOVEMENT),
        "T1563": ("Remote Service Session Hijacking", _LATERAL_MOVEMENT),
        "T1570": ("Lateral Tool Transfer", _LATERAL_MOVEMENT),
        "T1110": ("Brute Force", _CREDENTIAL_ACCESS),
        "T1558": ("Steal or Forge Kerberos Tickets", _CREDENTIAL_ACCESS),
        "T1046": ("Network Service Discovery", _DISCOVERY),
        "T1071": ("Application Layer Protocol", _COMMAND_AND_CONTROL),
        "T1568": ("Dynamic Resolution", _COMMAND_AND_CONTROL),
        "T1041": ("Exfiltration Over C2 Channel", _EXFILTRATION),
        "T1048": ("Exfiltration Over Alternative Protocol", _EXFILTRATION),
    }
)


@lru_cache(maxsize=256)
def threat(techniques: tuple[str, ...]) -> dict[str, Any]:
    """Write ``threat`` of a document; a technique that the table lacks keeps its id. One object for the same models."""
    known = [TECHNIQUES.get(technique.partition(".")[0]) for technique in techniques]
    names = [entry[0] for entry in known if entry]
    tactics = list(dict.fromkeys(entry[1] for entry in known if entry))
    found: dict[str, Any] = {
        "framework": FRAMEWORK,
        "technique": {"id": list(techniques)},
    }
    if names:
        found["technique"]["name"] = names
    if tactics:
        found["tactic"] = {"id": [tactic.id for tactic in tactics], "name": [tactic.name for tactic in tactics]}
    return found
