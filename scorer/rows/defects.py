"""What is wrong with one row: a code that everybody knows, and words for people."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.wire.names import STATUS_CODES

#: Characters of a status that came from outside; the rest is cut off.
LONGEST_STATUS = 500


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a row has no score, or is not written. ``code``: one of STATUS_CODES; ``text``: what is wrong and what to do.

    Its text form, "code: text", is what stands in qscore_status and in qscore_defect. Raises ValueError for a code that
    nobody knows.
    """

    code: str
    text: str

    def __post_init__(self) -> None:
        if self.code not in STATUS_CODES:
            raise ValueError(f"{self.code!r} is no status code; known are {', '.join(STATUS_CODES)}")

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"

    @classmethod
    def read(cls, status: str) -> Defect:
        """Read a text form from outside as one line of limited length; words without a known code are `not_scored`."""
        line = " ".join(status.split())[:LONGEST_STATUS]
        code, _, text = line.partition(":")
        return cls(code, text.strip()) if code in STATUS_CODES else cls("not_scored", line)
