"""Pure shaping of scored rows into Splunk HEC events.

``fields`` becomes indexed fields: flat, and text only, because HEC answers anything nested with code 15. ``event`` says
the same to a person who reads the raw event; props.conf keeps Splunk from extracting it a second time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scorer.delivery.rows import ScoredRow

SOURCETYPE = "qscore:score"

#: Where a row's context stands among the indexed fields. `host`, `source`, `sourcetype`, `index` are the event's own
#: metadata, so the origin's are kept under names of their own.
ENTITY_FIELDS = {"user": "user", "src": "src", "dest": "dest", "port_class": "port_class"}
ORIGIN_FIELDS = {"origin_id": "orig_id", "index": "orig_index", "sourcetype": "orig_sourcetype"}


def indexed_fields(row: ScoredRow) -> dict[str, str | list[str]]:
    """The flat ``fields`` of one row, values as text; what is unknown is left out."""
    fields: dict[str, str | list[str]] = {
        "qscore": _probability(row["probability"]),
        "qscore_risk": str(row["risk"]),
        "qscore_band": row["band"],
        "qscore_alert": "1" if row["alert"] else "0",
        "qscore_pvalue": _pvalue(row["pvalue"]),
        "qscore_classical": _probability(row["classical"]),
        "qscore_model": row["model"],
        "qscore_version": row["version"],
        "qscore_serve": row["serve"],
        "qscore_starter": "1" if row["starter"] else "0",
        "qscore_grain": row["grain"],
        "qscore_id": row["id"],
        "qscore_batch": row["batch_id"],
        "qscore_reason": row["reason"],
    }
    if row["mitre"]:
        fields["qscore_mitre"] = row["mitre"] if len(row["mitre"]) > 1 else row["mitre"][0]
    fields.update({ENTITY_FIELDS[k]: v for k, v in row["entities"].items() if k in ENTITY_FIELDS})
    fields.update({ORIGIN_FIELDS[k]: v for k, v in row["origin"].items() if k in ORIGIN_FIELDS})
    return {name: value for name, value in fields.items() if value != ""}


def readable_event(row: ScoredRow) -> dict[str, Any]:
    """What a person reads in the raw event."""
    event: dict[str, Any] = {
        "message": _message(row),
        "model": row["model"],
        "version": row["version"],
        "qscore": round(row["probability"], 4),
        "risk": row["risk"],
        "band": row["band"],
        "alert": row["alert"],
        "entities": row["entities"],
        "qscore_id": row["id"],
    }
    if row["reason"]:
        event["reason"] = row["reason"]
    if row["starter"]:
        event["starter"] = "trained on generated activity, not on yours"
    return event


def hec_event(row: ScoredRow, index: str) -> dict[str, Any]:
    """One HEC event with the row's own time, in ``index`` (empty: the token's default)."""
    event: dict[str, Any] = {
        "time": round(row["time"], 3),
        "source": f"qscore:{row['model']}",
        "sourcetype": SOURCETYPE,
        "event": readable_event(row),
        "fields": indexed_fields(row),
    }
    host = row["entities"].get("host") or row["entities"].get("dest")
    if host:
        event["host"] = host
    if index:
        event["index"] = index
    return event


def encode(row: ScoredRow, index: str) -> bytes:
    """One HEC event as compact UTF-8 JSON without a newline inside or after it."""
    return json.dumps(hec_event(row, index), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def by_bytes(bodies: Sequence[bytes], limit: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of ``bodies`` whose joined size stays within ``limit`` bytes; a larger one stands alone."""
    start, size = 0, 0
    for at, body in enumerate(bodies):
        if at > start and size + len(body) + 1 > limit:
            yield start, at
            start, size = at, 0
        size += len(body) + 1
    if start < len(bodies):
        yield start, len(bodies)


def _probability(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def _pvalue(value: float) -> str:
    """Rounded up, as in a reply, so that none looks smaller than it is."""
    return f"{math.ceil(value * 100_000 - 1e-6) / 100_000:.5f}" if math.isfinite(value) else ""


def _message(row: ScoredRow) -> str:
    who = _words(row["entities"])
    return f"{row['title']}: risk {row['risk']} ({row['band']})" + (f" for {who}" if who else "")


def _words(entities: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in entities.items())
