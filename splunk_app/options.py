"""The options of `| qscore`, from the words that a searcher typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from scorer.wire.errors import BadOption
from scorer.wire.names import check_model_name
from scorer.wire.options import ScoreOptions

_SCORE_OPTIONS: Tuple[str, ...] = ("version", "threshold", "explain", "write")
KNOWN = ("model", "version", "threshold", "fields", "explain", "write", "timeout")
DEFAULT_TIMEOUT = 30.0
_TIMEOUT_RANGE = (1.0, 300.0)

# own=feature; an own name with spaces, commas or equals signs stands in single quotes, as in eval.
_PAIR = re.compile(r"\s*(?:'([^']+)'|([^\s=,'\"]+))\s*=\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(?:,|\s|\Z)")


@dataclass(frozen=True)
class CommandOptions:
    """The options of one `| qscore`.

    ``fields``: the model's column -> the name that the searcher's rows give it. ``timeout``: seconds for one request.
    """

    model: str
    score: ScoreOptions = field(default_factory=ScoreOptions)
    fields: Mapping[str, str] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT

    @classmethod
    def parse(cls, args: Any) -> CommandOptions:
        """Read searchinfo.args. Raises BadOption or UnknownModel with a sentence for the searcher."""
        raw = _split(args)
        if "model" not in raw:
            raise BadOption("the option model is missing", "Write | qscore model=lateral.")
        wanted: Dict[str, str] = {name: raw[name] for name in _SCORE_OPTIONS if name in raw}
        return cls(
            model=check_model_name(raw["model"]),
            score=ScoreOptions.parse(wanted),
            fields=parse_fields(raw.get("fields", "")),
            timeout=_timeout(raw.get("timeout")),
        )


def _split(args: Any) -> Dict[str, str]:
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise BadOption("the search passed no list of options", "Write | qscore model=lateral.")
    raw: Dict[str, str] = {}
    for arg in args:
        name, equals, value = arg.partition("=")
        name = name.strip()
        if not equals:
            raise BadOption("%s is not an option" % arg[:60], "Write name=value, such as model=lateral.")
        if name not in KNOWN:
            raise BadOption("unknown option %s=" % name[:40], "Known options are %s." % _listed(KNOWN))
        if name in raw:
            raise BadOption("the option %s is given twice" % name, "Give it once.")
        raw[name] = _unquoted(value.strip())
    return raw


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1].replace('\\"', '"')
    return value


def _timeout(text: Any) -> float:
    if text is None:
        return DEFAULT_TIMEOUT
    low, high = _TIMEOUT_RANGE
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not low <= seconds <= high:
        raise BadOption("timeout=%s is not possible" % text[:40], "Give seconds from %d to %d." % (low, high))
    return seconds


def parse_fields(text: str) -> Dict[str, str]:
    """Parse ``own=feature own2=feature2`` to {feature: own}. Raises BadOption.

    Pairs are separated by spaces or commas; ``'Failed Logons'=failures`` names a field with spaces.
    """
    mapping: Dict[str, str] = {}
    at = 0
    text = text.strip()
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            raise BadOption(
                "fields= cannot be read at %r" % text[at : at + 40],
                'Write fields="own=feature own2=feature2", with own names that hold spaces in single quotes.',
            )
        feature = match.group(3)
        if feature in mapping:
            raise BadOption("fields= names %s twice" % feature[:60], "Give one of your fields for each feature.")
        mapping[feature] = match.group(1) or match.group(2)
        at = match.end()
    return mapping


def check_fields(mapping: Mapping[str, str], model: str, columns: Sequence[str]) -> None:
    """Raise BadOption where ``mapping`` names a column that the model does not have."""
    unknown = [feature for feature in mapping if feature not in columns]
    if unknown:
        raise BadOption(
            "fields= names %s, which model %s does not have" % (_listed([u[:60] for u in unknown]), model),
            "Its columns are %s." % _listed(columns),
        )


def own_names(mapping: Mapping[str, str], columns: Sequence[str]) -> Tuple[str, ...]:
    """List the searcher's names of the model's columns, each once, in the model's order."""
    names: List[str] = []
    for column in columns:
        own = mapping.get(column, column)
        if own not in names:
            names.append(own)
    return tuple(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
