"""Pure shaping of scored rows into documents of the stream ``logs-qscore.scores-<namespace>``.

ECS where ECS has a name (elastic_connector/assets/fields.toml lists every field), ``qscore.*`` for the rest.
``event.kind`` is enrichment for a score and pipeline_error for a row without one; never ``signal`` or ``alert``, which
are Kibana's. ``host.risk`` and ``user.risk`` are Entity Analytics' and are not written. ``event.ingested`` is the time
of sending by the cluster's clock: an ingest pipeline that sets it costs the cluster a quarter of a document's indexing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scorer.delivery.elastic.copied import flag_lists, with_copies, without_copies
from scorer.delivery.elastic.techniques import threat
from scorer.delivery.json_columns import Raw, Text, lists, objects
from scorer.delivery.known import bands, known, message, without
from scorer.delivery.lines import Lines
from scorer.delivery.number_columns import chosen, floats, integers, iso, iso_text, rounded, steps_up
from scorer.delivery.rows import Block, Header, ScoredRows, hex_texts
from scorer.elastic_client.names import SCORES_DATASET
from scorer.rows.columns import BANDS

ECS_VERSION = "8.17.0"
#: Kibana's own numbers for the severities of rules.
SEVERITIES = {"low": 21, "medium": 47, "high": 73, "critical": 99}
#: What the recipes put in place of a missing key; as a name it would gather everybody.
UNKNOWN = "unknown"

_ORIGIN = {"origin_id": "id", "index": "index", "sourcetype": "sourcetype"}
_CATEGORY = ("intrusion_detection",)
_SEVERITIES = tuple(str(SEVERITIES[band]) for band in BANDS)
_LIKE_IP: Final = r":|^[0-9.]+$"  # whatever else it may be, an IP address has one of these forms
_PLACES: Final = 6
_PVALUE: Final = 5  # places

Members = Mapping[str, Any]
Kind = Callable[[Block, str, str], Members]


def document_lines(rows: ScoredRows, namespace: str, ingested: str = "", bare: bool = False) -> Lines:
    """Write the two lines of each row in a bulk request: the action with the row's id, and its document.

    ``ingested``: when it is sent, as `iso_text` writes it. ``bare``: without the copied fields, and flagged.
    """
    return Lines.of(_block_lines(block, namespace, ingested, bare) for block in rows.blocks)


def _block_lines(block: Block, namespace: str, ingested: str, bare: bool) -> Any:
    """Shape scores and errors apart, and put them back into the order of the rows."""
    errors = block.column("error")
    failed = np.zeros(len(block), np.bool_) if errors is None else pc.not_equal(errors, "").to_numpy(False)
    kinds: list[tuple[Any, Kind]] = [
        (mask, members) for mask, members in ((~failed, _score), (failed, _error)) if mask.any()
    ]
    made = [_documents(block.where(mask), members, namespace, ingested, bare) for mask, members in kinds]
    if len(made) == 1:
        return made[0]
    order = np.argsort(np.concatenate([np.flatnonzero(mask) for mask, _ in kinds]))
    return pa.concat_arrays(made).take(pa.array(order))


def _documents(block: Block, kind: Kind, namespace: str, ingested: str, bare: bool) -> Any:
    members = kind(block, namespace, ingested)
    if bare:
        members = without_copies(members, block)
    elif block.column("fields") is not None:
        members = with_copies(members, block)
    action = ('{"create":{"_id":"', hex_texts(block.column("id")), '"}}\n')
    return objects(members, before=action, after="\n")


def _score(block: Block, namespace: str, ingested: str) -> Members:
    """Shape documents of rows that were scored."""
    risk = Raw(integers(block.numbers("risk")))
    event = {
        "kind": "enrichment",
        "action": "scored",
        "type": ["info"],
        "risk_score": risk,
        "risk_score_norm": risk,
        "severity": Raw(chosen(_SEVERITIES, block.numbers("band"))),
    }
    said = _said(block, {"status": "ok", **_numbers(block)})
    return _document(block, event, said, {"message": message(block)}, namespace, ingested)


def _error(block: Block, namespace: str, ingested: str) -> Members:
    """Shape documents of rows that could not be scored: never a score of zero."""
    status = block.column("error")
    code = pc.struct_field(pc.extract_regex(status, r"^(?P<code>[^:]*)"), "code")
    event = {"kind": "pipeline_error", "action": "not_scored", "type": ["error"]}
    words = {
        "error": {"message": Text(status), "code": Text(code)},
        "message": Text(f"{block.header.title}: not scored (", code, ")"),
    }
    return _document(block, event, _said(block, {"status": Text(status)}), words, namespace, ingested)


def _document(block: Block, event: Members, said: Members, words: Members, namespace: str, ingested: str) -> Members:
    header = block.header
    time = Text(iso(block.numbers("time")))
    return {
        "@timestamp": time,
        "ecs": {"version": ECS_VERSION},
        "data_stream": {"type": "logs", "dataset": SCORES_DATASET, "namespace": namespace},
        "event": {**event, **_event(block), **_window(block, time), "ingested": ingested or None},
        "qscore": said,
        **words,
        "threat": threat(header.mitre) if header.mitre else None,
        **_entities(block),
    }


def _event(block: Block) -> Members:
    return {
        "category": list(_CATEGORY),
        "module": "qscore",
        "dataset": SCORES_DATASET,
        "id": Text(hex_texts(block.column("id"))),
        "created": iso_text(block.header.scored) if block.header.scored else None,
    }


def _window(block: Block, start: Text) -> Members:
    """Say when a window began and ended; nothing where a row is an event."""
    span = block.header.span
    if not span:
        return {}
    return {"start": start, "end": Text(iso(block.numbers("time") + span)), "duration": int(span * 1e9)}


def _said(block: Block, numbers: Members) -> Members:
    """Gather what stands under ``qscore``."""
    header, ids = block.header, block.column("row_id")
    revision = block.column("revision")
    origin = {name: Text(known(block, column)) for column, name in _ORIGIN.items()}
    return {
        **numbers,
        "revision": 0 if revision is None else Raw(integers(revision)),
        "row": {"id": Text(hex_texts(block.column("id") if ids is None else ids))},
        "grain": header.grain,
        "model": _model(header),
        # The exact engine: amplitudes are computed, not measured. It falls back to the twin where the alias says so.
        "backend": {"name": "exact", "type": "simulator", "fallback": header.serve == "twin"},
        "job": {"id": header.batch_id, "latency_ms": header.latency_ms},
        "source": origin,
        "port_class": Text(known(block, "port_class")),
        "flags": flag_lists(known(block, "flags")),
    }


def _model(header: Header) -> Members:
    names = ("version", "title", "serve", "family", "sha256")
    known_of = {name: getattr(header, name) or None for name in names}
    return {
        "id": f"{header.model}-{header.version}",
        "name": header.model or None,
        **known_of,
        "starter": header.starter,
    }


def _numbers(block: Block) -> Members:
    """Write the score itself; what is no number is left out."""
    probability, alert = block.numbers("probability"), block.numbers("alert")
    threshold = block.header.threshold
    return {
        "score": _share(probability),
        "prediction": Raw(chosen(("0", "1"), alert)),
        "prediction_probability": _share(np.where(alert, probability, 1.0 - probability)),
        "decision": Raw(chosen(("false", "true"), alert)),
        "band": Text(bands(block)),
        "threshold": None if threshold is None else round(threshold, _PLACES),
        "pvalue": Raw(floats(steps_up(block.numbers("pvalue"), _PVALUE) / 10**_PVALUE)),
        "classical": _share(block.numbers("classical")),
        "reason": Text(known(block, "reason")),
    }


def _share(values: NDArray[np.float64]) -> Raw:
    return Raw(floats(rounded(values, _PLACES)))


def _entities(block: Block) -> Members:
    """Write user, host and both ends, and what relates the document to others."""
    user, src, dest, host = (_name(block, name) for name in ("user", "src", "dest", "host"))
    src_ip, src_name = _ends(src)
    dest_ip, dest_name = _ends(dest)
    host = dest_name if host is None else host if dest_name is None else pc.coalesce(host, dest_name)
    return {
        "user": {"name": Text(user)},
        "host": {"name": Text(host)},
        "source": {"address": Text(src), "ip": Text(src_ip)},
        "destination": {"address": Text(dest), "ip": Text(dest_ip)},
        "related": {
            "ip": Raw(lists(src_ip, dest_ip)),
            "hosts": Raw(lists(host, src_name, dest_name)),
            "user": Raw(lists(user)),
        },
    }


def _name(block: Block, name: str) -> Any:
    return without(known(block, name), UNKNOWN)


def _ends(addresses: Any) -> tuple[Any, Any]:
    """Split ends of connections into IP addresses and names, of which one is null in each row."""
    if addresses is None or not pc.any(pc.match_substring_regex(addresses, _LIKE_IP)).as_py():
        return None, addresses
    different = addresses.dictionary_encode()
    ips = pa.array([_ip(text) for text in different.dictionary.to_pylist()], pa.string()).take(different.indices)
    return ips, pc.if_else(ips.is_valid(), pa.scalar(None, pa.string()), addresses)


@lru_cache(maxsize=65_536)
def _ip(text: str) -> str | None:
    """Write the address in its usual form, None where the text is none; a zone, which Elasticsearch refuses, is cut."""
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
