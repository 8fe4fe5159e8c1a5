"""What became of the rows of one batch that was to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Acknowledgement:
    """What became of one written batch: rows the sink took, rows it already had, rows now in the dead letters."""

    batch_id: str
    written: int
    already_there: int = 0
    dead: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "batch_id": self.batch_id,
            "written": self.written,
            "already_there": self.already_there,
            "dead": self.dead,
        }
