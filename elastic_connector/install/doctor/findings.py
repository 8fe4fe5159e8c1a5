"""What a check of the installation found: one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from scorer.elastic_client.failures import Missing, printable
from scorer.wire.errors import Forbidden, QScoreError

_ITSELF = "Set elastic.url to Elasticsearch itself; something before it may answer in its place."
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


def attempt(check: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """All that ``look`` finds; a failure of the look itself is a finding too.

    What the login may not see is skipped, because the runtime key is meant to see little.
    """
    found: list[Finding] = []
    try:
        found.extend(look())
    except Forbidden:
        remedy = "For this check run doctor with --user NAME or with the installer key (--key-file)."
        found.append(Finding(check, "skip", "this login may not look", remedy))
    except Missing as error:
        found.append(Finding(check, "skip", f"this server cannot tell: {error.detail}"))
    except QScoreError as error:
        found.append(Finding(check, "fail", error.detail, error.remedy or _ITSELF))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # an answer that was not looked into
        said = f"an answer of the server has not its form ({type(error).__name__}: {printable(str(error), 80)})"
        found.append(Finding(check, "fail", said, _ITSELF))
    return found


def failed(findings: list[Finding]) -> bool:
    """Whether anything must be mended before scoring works as it should."""
    return any(finding.state == "fail" for finding in findings)
