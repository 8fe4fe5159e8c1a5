"""What a check of the installation found: one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from scorer.elastic_client.failures import Missing
from scorer.printable import printable
from scorer.wire.errors import Forbidden, QScoreError

_ITSELF = "Set elastic.url to Elasticsearch itself; something before it may answer in its place."
#: What an answer that was not looked into raises.
_NO_FORM = (AttributeError, IndexError, KeyError, TypeError, ValueError)
State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True)
class Finding:
    """One check. ``detail``: what is so; ``remedy``: what to do, empty where nothing is to be done."""

    check: str
    state: State
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def ok(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


class Examination:
    """What was found so far, check after check. ``findings``: in the order in which they were made."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def look(self, check: str, find: Callable[[], Iterable[Finding]]) -> bool:
        """Add all that ``find`` finds; whether it came to its end. A failure of the look itself is a finding too.

        What the login may not see is skipped, because the runtime key is meant to see little.
        """
        try:
            self.findings.extend(find())
        except (QScoreError, *_NO_FORM) as error:
            self.findings.append(_failure(check, error))
            return False
        return True


def _failure(check: str, error: Exception) -> Finding:
    if isinstance(error, Forbidden):
        remedy = "For this check run doctor with --user NAME or with the installer key (--key-file)."
        return Finding(check, "skip", "this login may not look", remedy)
    if isinstance(error, Missing):
        return Finding(check, "skip", f"this server cannot tell: {error.detail}")
    if isinstance(error, QScoreError):
        return Finding(check, "fail", error.detail, error.remedy or _ITSELF)
    said = f"an answer of the server has not its form ({type(error).__name__}: {printable(str(error), 80)})"
    return Finding(check, "fail", said, _ITSELF)


def failed(findings: list[Finding]) -> bool:
    """Tell whether anything must be mended before scoring works as it should."""
    return any(finding.state == "fail" for finding in findings)
