"""Pure shaping of scored rows into documents of the stream ``logs-qscore.scores-<namespace>``.

ECS where ECS has a name (elastic_connector/assets/fields.toml lists every field), ``qscore.*`` for the rest.
``event.kind`` is enrichment for a score and pipeline_error for a row without one; never ``signal`` or ``alert``, which
are Kibana's. ``host.risk`` and ``user.risk`` are Entity Analytics' and are not written. ``event.ingested`` is the time
of sending by the cluster's clock: an ingest pipeline that sets it costs the cluster a quarter of a document's indexing.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

import orjson

from scorer.delivery.elastic.techniques import threat
from scorer.delivery.rows import ScoredRow
from scorer.elastic_client.copies import no_place
from scorer.elastic_client.names import SCORES_DATASET

ECS_VERSION = "8.17.0"
#: Kibana's own numbers for the severities of rules.
SEVERITIES = {"low": 21, "medium": 47, "high": 73, "critical": 99}
#: What the recipes put in place of a missing key; as a name it would gather everybody.
UNKNOWN = "unknown"
#: Flag of a document that lacks a copied field, because the template has no place for it.
COPY_LEFT_OUT = "copied_field_left_out"

_ID = re.compile(r"[0-9a-zA-Z_-]{1,128}\Z")
_ORIGIN = {"origin_id": "id", "index": "index", "sourcetype": "sourcetype"}
_ECS = {"version": ECS_VERSION}
_CATEGORY = ["intrusion_detection"]

Document = dict[str, Any]


def document(row: ScoredRow, namespace: str, ingested: str = "", bare: bool = False) -> Document:
    """One document, without its ``_id``, which is the row's id. Parts that documents share are not to be changed.

    ``ingested``: when it is sent, as ``iso`` writes it. ``bare``: without the copied fields, and flagged.
    """
    time, span = iso(row["time"]), row.get("span")
    made: Document = {
        "@timestamp": time,
        "ecs": _ECS,
        "data_stream": _data_stream(namespace),
        "event": _event(row),
        "qscore": _qscore(row),
    }
    if "error" in row:
        code = row["error"].partition(":")[0]
        made["error"] = {"message": row["error"], "code": code}
        made["message"] = f"{row['title']}: not scored ({code})"
    else:
        made["message"] = _message(row)
    if span:
        event = made["event"]
        event["start"], event["end"], event["duration"] = time, iso(row["time"] + span), int(span * 1e9)
    if ingested:
        made["event"]["ingested"] = ingested
    if row["mitre"]:
        made["threat"] = threat(tuple(row["mitre"]))
    _add_entities(made, row["entities"])
    if bare:
        flag_left_out(made)
    elif "fields" in row:
        _add_copies(made, row["fields"])
    return made


def encode(row: ScoredRow, namespace: str, ingested: str = "", bare: bool = False) -> bytes:
    """The two lines of one row in a bulk request; see ``document``."""
    return b'{"create":{"_id":"%b"}}\n%b\n' % (_id(row), orjson.dumps(document(row, namespace, ingested, bare)))


def _id(row: ScoredRow) -> bytes:
    if not _ID.match(row["id"]):  # it stands in the action line as it is
        raise ValueError(f"{row['id'][:80]!r} is no score's id")
    return row["id"].encode()


def _event(row: ScoredRow) -> Document:
    if "error" in row:
        event: Document = {"kind": "pipeline_error", "action": "not_scored", "type": ["error"]}
    else:
        event = {
            "kind": "enrichment",
            "action": "scored",
            "type": ["info"],
            "risk_score": row["risk"],
            "risk_score_norm": row["risk"],
            "severity": SEVERITIES.get(row["band"], 0),
        }
    event["category"], event["module"], event["dataset"] = _CATEGORY, "qscore", SCORES_DATASET
    event["id"] = row["id"]
    if row.get("scored"):
        event["created"] = iso(row["scored"])
    return event


def _qscore(row: ScoredRow) -> Document:
    found: Document = {"status": "ok"} | _numbers(row) if "error" not in row else {"status": row["error"]}
    found["revision"] = row.get("revision", 0)
    found["row"] = {"id": row.get("row_id", row["id"])}
    found["grain"] = row["grain"]
    found["model"] = _model(
        row["model"], row["version"], row["title"], row["serve"], row["starter"],
        row.get("family", ""), row.get("sha256", ""),
    )  # fmt: skip
    found["backend"] = _backend(row["serve"])
    found["job"] = {"id": row["batch_id"]}
    if "latency_ms" in row:
        found["job"]["latency_ms"] = row["latency_ms"]
    origin = row["origin"]
    if origin:
        found["source"] = {_ORIGIN[name]: text for name, text in origin.items() if name in _ORIGIN}
    if "port_class" in row["entities"]:
        found["port_class"] = row["entities"]["port_class"]
    if row.get("flags"):
        found["flags"] = row["flags"]
    return found


@lru_cache(maxsize=64)
def _data_stream(namespace: str) -> Document:
    return {"type": "logs", "dataset": SCORES_DATASET, "namespace": namespace}


@lru_cache(maxsize=256)
def _model(name: str, version: str, title: str, serve: str, starter: bool, family: str, sha256: str) -> Document:
    texts = {"name": name, "version": version, "title": title, "serve": serve, "family": family, "sha256": sha256}
    known: Document = {key: text for key, text in texts.items() if text}
    return {"id": f"{name}-{version}", **known, "starter": starter}


@lru_cache(maxsize=8)
def _backend(serve: str) -> Document:
    """The exact engine: amplitudes are computed, not measured. It falls back to the twin where the alias says so."""
    return {"name": "exact", "type": "simulator", "fallback": serve == "twin"}


def _numbers(row: ScoredRow) -> Document:
    """The score itself; what is no number is left out."""
    probability, alert = row["probability"], row["alert"]
    found: Document = {
        "score": round(probability, 6),
        "prediction": int(alert),
        "prediction_probability": round(probability if alert else 1.0 - probability, 6),
        "decision": alert,
        "band": row["band"],
    }
    if row.get("threshold") is not None:
        found["threshold"] = round(row["threshold"], 6)
    if math.isfinite(row["pvalue"]):  # rounded up, so that none looks smaller than it is
        found["pvalue"] = math.ceil(row["pvalue"] * 100_000 - 1e-6) / 100_000
    if math.isfinite(row["classical"]):
        found["classical"] = round(row["classical"], 6)
    if row["reason"]:
        found["reason"] = row["reason"]
    return found


def _add_entities(made: Document, entities: dict[str, str]) -> None:
    """User, host and both ends, and what relates the document to others."""
    user, src, dest, host = (_name(entities, key) for key in ("user", "src", "dest", "host"))
    if not host and dest and not _ip(dest):
        host = dest
    if user:
        made["user"] = {"name": user}
    if host:
        made["host"] = {"name": host}
    ends = [_end(made, "source", src), _end(made, "destination", dest)]
    ips = [ip for ip, _ in ends if ip]
    hosts = [name for name in (host, *(name for _, name in ends)) if name]
    related: Document = {}
    if ips:
        related["ip"] = list(dict.fromkeys(ips))
    if hosts:
        related["hosts"] = list(dict.fromkeys(hosts))
    if user:
        related["user"] = [user]
    if related:
        made["related"] = related


def _name(entities: dict[str, str], key: str) -> str:
    text = entities.get(key, "")
    return "" if text == UNKNOWN else text


def _end(made: Document, name: str, address: str) -> tuple[str, str]:
    """Adds one end of a connection; its IP address and its name, of which one is empty."""
    if not address:
        return "", ""
    ip = _ip(address)
    made[name] = {"address": address, "ip": ip} if ip else {"address": address}
    return (ip, "") if ip else ("", address)


@lru_cache(maxsize=65_536)
def _ip(text: str) -> str:
    """The address in its usual form, empty where the text is none; a zone, which Elasticsearch refuses, is cut."""
    if ":" not in text and not text.replace(".", "").isdigit():
        return ""  # a name: quickly told
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def _message(row: ScoredRow) -> str:
    who = " ".join(f"{name}={value}" for name, value in row["entities"].items())
    return f"{row['title']}: risk {row['risk']} ({row['band']})" + (f" for {who}" if who else "")


@lru_cache(maxsize=8192)
def iso(seconds: float) -> str:
    """UTC with milliseconds. Times outside what Python's calendar holds cannot reach this: canonical_time's limits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _add_copies(made: Document, copies: dict[str, str | list[str]]) -> None:
    """Copied fields where the document has nothing yet and may have something. One that fits nowhere is left out, and
    flagged: Elasticsearch would refuse the whole document."""
    left_out = [name for name, value in copies.items() if no_place(name) or not _put(made, name.split("."), value)]
    if left_out:
        flag_left_out(made)


def flag_left_out(made: Document) -> None:
    """Note on a document that a copied field does not stand on it."""
    made["qscore"]["flags"] = [*made["qscore"].get("flags", ()), COPY_LEFT_OUT]


def _put(made: Document, parts: list[str], value: str | list[str]) -> bool:
    """Whether the document has the field now, or had it before."""
    at: Any = made
    for part in parts[:-1]:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            return False
    at.setdefault(parts[-1], value)
    return True
