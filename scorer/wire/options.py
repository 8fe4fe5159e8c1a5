"""What a caller may ask of one batch: the options of the search command, of a query string, of a command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Optional

from scorer.wire.errors import BadOption
from scorer.wire.names import check_version

EXPLAIN_CHOICES = ("alerts", "all", "none")


@dataclass(frozen=True)
class ScoreOptions:
    """The wishes of a caller for one batch.

    ``version``: a version or alias. ``threshold``: probability 0-1 at and above which a row alerts; None: the model's
    own line. ``explain``: which rows get a reason. ``write``: hand the scored rows to the configured sink.
    """

    version: str = "live"
    threshold: Optional[float] = None
    explain: str = "alerts"
    write: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, str]) -> ScoreOptions:
        """Read untrusted strings (a query string, a command line); raises BadOption naming value and remedy."""
        unknown = sorted(set(raw) - {"version", "threshold", "explain", "write"})
        if unknown:
            raise BadOption(
                "unknown option %s" % ", ".join(u[:40] for u in unknown),
                "Known options are version, threshold, explain and write.",
            )
        return cls(
            version=check_version(raw.get("version", "live")),
            threshold=_threshold(raw.get("threshold")),
            explain=_explain(raw.get("explain", "alerts")),
            write=parse_bool("write", raw.get("write", "false")),
        )

    def to_query(self) -> Dict[str, str]:
        """Write the options as ``parse`` reads them."""
        query = {"version": self.version, "explain": self.explain, "write": "true" if self.write else "false"}
        if self.threshold is not None:
            query["threshold"] = repr(self.threshold)
        return query


def _threshold(text: Optional[str]) -> Optional[float]:
    if text is None or text == "":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise BadOption("threshold=%s is not a probability" % text[:40], "Give a number from 0 to 1, such as 0.8.")
    return value


def _explain(text: str) -> str:
    chosen = {"true": "all", "t": "all", "1": "all", "false": "none", "f": "none", "0": "none"}.get(
        text.lower(), text.lower()
    )
    if chosen not in EXPLAIN_CHOICES:
        raise BadOption("explain=%s is not known" % text[:40], "Use explain=alerts, explain=all or explain=none.")
    return chosen


def parse_bool(name: str, text: str) -> bool:
    """Read Splunk's spellings of a boolean. Raises BadOption for anything else."""
    lowered = text.lower()
    if lowered in ("true", "t", "1", "yes"):
        return True
    if lowered in ("false", "f", "0", "no"):
        return False
    raise BadOption("%s=%s is neither true nor false" % (name, text[:40]), "Use %s=true or %s=false." % (name, name))
