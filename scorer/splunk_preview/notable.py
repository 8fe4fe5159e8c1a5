"""What Splunk would raise: a correlation search's results as notable events and risk, tokens filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scorer
from scorer.splunk_preview.conf import Conf, read_conf
from scorer.splunk_preview.environment import Environment, hec_rows
from scorer.splunk_preview.errors import ConfError, SplError
from scorer.splunk_preview.language.values import Row, number, several, text
from scorer.splunk_preview.pipeline import run

NOTICE = (
    "Preview: the app's own search, run by a small interpreter of an SPL subset over the HEC events of this file. "
    "It was not run on Splunk; the schedule, its time range and throttling do not apply here."
)
_TOKEN = re.compile(r"\$(?:result\.)?([A-Za-z_][\w.]*)\$")
_NOTABLE = "action.notable.param."


@dataclass(frozen=True)
class RiskObject:
    """An entity that gains ``score`` points of risk."""

    kind: str
    name: str
    score: int


@dataclass(frozen=True)
class Notable:
    """One notable event as an analyst would see it. ``time``: epoch seconds of the activity."""

    rule: str
    title: str
    description: str
    severity: str
    security_domain: str
    mitre: tuple[str, ...]
    time: float
    entities: Mapping[str, str]
    risk: tuple[RiskObject, ...]
    risk_message: str
    drilldown_name: str
    drilldown_search: str
    next_steps: str
    row: Row


@dataclass(frozen=True)
class SplunkApp:
    """The searches and macros of one app folder."""

    macros: Conf
    searches: Conf

    @classmethod
    def read(cls, folder: Path | None = None) -> SplunkApp:
        """Read ``folder`` (an app or its default/); default: the app that this package ships."""
        root = folder or shipped_app()
        default = root / "default" if (root / "default").is_dir() else root
        return cls(read_conf(default / "macros.conf"), read_conf(default / "savedsearches.conf"))

    def rule(self, name: str | None = None) -> str:
        """Find the stanza called ``name``, or the one that raises notables. Raises ConfError naming what there is."""
        rules = [stanza for stanza, keys in self.searches.items() if keys.get("action.notable") == "1"]
        if name is None and len(rules) == 1:
            return rules[0]
        if name is not None and name in self.searches:
            return name
        what = f"there is no search {name!r}" if name else "say which search"
        raise ConfError(what, f"Known are: {'; '.join(self.searches)}.")


def shipped_app() -> Path:
    """Find the app's folder: inside the installed package, or the checkout's root."""
    package = Path(scorer.__file__).parent
    return package / "_app" if (package / "_app" / "default").is_dir() else package.parent


def read_events(path: Path) -> list[Mapping[str, object]]:
    """Read HEC events from NDJSON. Raises ConfError naming the line that is none."""
    events: list[Mapping[str, object]] = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfError(
            f"{path} cannot be read: {error}", "Write events with sink = 'file', or record those of HEC."
        ) from None
    for number_, line in enumerate(lines, 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or "event" not in event:
            raise ConfError(f"{path}, line {number_} is no HEC event", "Give one JSON object a line.")
        events.append(event)
    return events


def preview(
    app: SplunkApp, events: Sequence[Mapping[str, object]], now: float, search: str | None = None
) -> list[Notable]:
    """Preview the notables that the app's correlation search would raise, run at ``now``, after the events came."""
    name = app.rule(search)
    stanza = app.searches[name]
    full, indexed = hec_rows(events, now - 1.0)
    results = run(stanza.get("search", ""), Environment(full, indexed, app.macros, now=now))
    return [_notable(name, stanza, row) for row in results]


def _notable(name: str, stanza: Mapping[str, str], row: Row) -> Notable:
    def parameter(key: str) -> str:
        return fill(stanza.get(_NOTABLE + key, ""), row)

    fields = [field.strip() for field in stanza.get(_NOTABLE + "nes_fields", "").split(",") if field.strip()]
    return Notable(
        rule=stanza.get("action.correlationsearch.label", name),
        title=parameter("rule_title"),
        description=parameter("rule_description"),
        severity=text(row.get("severity")) or parameter("severity"),
        security_domain=parameter("security_domain"),
        mitre=_mitre(stanza),
        time=float(number(row.get("_time")) or 0.0),
        entities={field: _joined(row, field) for field in fields if row.get(field) is not None},
        risk=_risk(stanza, row),
        risk_message=fill(stanza.get("action.risk.param._risk_message", ""), row),
        drilldown_name=parameter("drilldown_name"),
        drilldown_search=parameter("drilldown_search"),
        next_steps=fill(_next_steps(stanza), row),
        row=row,
    )


def fill(template: str, row: Row) -> str:
    """Fill in ``$field$`` and ``$result.field$`` from the row; a field that is not there becomes nothing."""
    return _TOKEN.sub(lambda match: _joined(row, match.group(1)), template).strip()


def _joined(row: Row, field: str) -> str:
    return ", ".join(text(value) for value in several(row.get(field)))


def _mitre(stanza: Mapping[str, str]) -> tuple[str, ...]:
    annotations = _json(stanza, "action.correlationsearch.annotations", "{}")
    techniques = annotations.get("mitre_attack", []) if isinstance(annotations, dict) else []
    return tuple(str(technique) for technique in techniques)


def _risk(stanza: Mapping[str, str], row: Row) -> tuple[RiskObject, ...]:
    """Risk objects whose field has a value; one for each of several values."""
    if stanza.get("action.risk") != "1":
        return ()
    wanted = _json(stanza, "action.risk.param._risk", "[]")
    return tuple(
        RiskObject(str(entry["risk_object_type"]), text(value), int(entry["risk_score"]))
        for entry in wanted
        if "risk_object_field" in entry
        for value in several(row.get(entry["risk_object_field"]))
    )


def _next_steps(stanza: Mapping[str, str]) -> str:
    steps = _json(stanza, _NOTABLE + "next_steps", "{}")
    return str(steps.get("data", "")) if isinstance(steps, dict) else ""


def _json(stanza: Mapping[str, str], key: str, default: str) -> Any:
    try:
        return json.loads(stanza.get(key, default))
    except (ValueError, RecursionError) as error:
        raise SplError(f"{key} is not JSON: {error}") from None
