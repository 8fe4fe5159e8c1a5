"""Pure shaping of scored rows into Splunk HEC events.

``fields`` becomes indexed fields: flat, and text only, because HEC answers anything nested with code 15. ``event`` says
the same to a person who reads the raw event; props.conf keeps Splunk from extracting it a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow.compute as pc

from scorer.delivery.json_columns import Raw, Text, objects
from scorer.delivery.known import bands, known, message
from scorer.delivery.lines import Lines
from scorer.delivery.number_columns import chosen, fixed, floats, integers, rounded, steps, steps_up
from scorer.delivery.rows import Block, ScoredRows, hex_texts
from scorer.rows.columns import ENTITY_COLUMNS

SOURCETYPE = "qscore:score"

#: Where a row's context stands among the indexed fields. `host`, `source`, `sourcetype`, `index` are the event's own
#: metadata, so the origin's are kept under names of their own.
ENTITY_FIELDS = {"user": "user", "src": "src", "dest": "dest", "port_class": "port_class"}
ORIGIN_FIELDS = {"origin_id": "orig_id", "index": "orig_index", "sourcetype": "orig_sourcetype"}

_PROBABILITY: Final = 4  # places
_PVALUE: Final = 5


def event_lines(rows: ScoredRows, index: str) -> Lines:
    """Write one HEC event a row, as compact JSON with the row's own time, in ``index`` (empty: the token's default)."""
    return Lines.of(_events(block, index) for block in rows.blocks)


def _events(block: Block, index: str) -> Any:
    host, dest = known(block, "host"), known(block, "dest")
    members = {
        "time": Raw(floats(rounded(block.numbers("time"), 3))),
        "source": f"qscore:{block.header.model}",
        "sourcetype": SOURCETYPE,
        "event": _readable(block),
        "fields": _indexed(block),
        "host": Text(host if dest is None else dest if host is None else pc.coalesce(host, dest)),
        "index": index or None,
    }
    return objects(members, after="\n")


def _readable(block: Block) -> Mapping[str, Any]:
    """Gather what a person reads in the raw event."""
    header = block.header
    return {
        "message": message(block),
        "model": header.model,
        "version": header.version,
        "qscore": Raw(floats(rounded(block.numbers("probability"), _PROBABILITY))),
        "risk": Raw(integers(block.numbers("risk"))),
        "band": Text(bands(block)),
        "alert": Raw(chosen(("false", "true"), block.numbers("alert"))),
        "entities": _entities(block),
        "qscore_id": Text(hex_texts(block.column("id"))),
        "reason": Text(known(block, "reason")),
        "starter": "trained on generated activity, not on yours" if header.starter else None,
    }


def _entities(block: Block) -> Any:
    """Write the entities that are known; an empty object where none is."""
    found = {name: Text(column) for name in ENTITY_COLUMNS if (column := known(block, name)) is not None}
    return Raw(pc.fill_null(objects(found), "{}")) if found else {}


def _indexed(block: Block) -> Mapping[str, Any]:
    """Write the flat ``fields`` of each row, values as text; what is unknown is left out."""
    header, mitre = block.header, block.header.mitre
    shared = {
        "qscore_model": header.model,
        "qscore_version": header.version,
        "qscore_serve": header.serve,
        "qscore_starter": "1" if header.starter else "0",
        "qscore_grain": header.grain,
    }
    return {
        "qscore": Text(fixed(steps(block.numbers("probability"), _PROBABILITY), _PROBABILITY)),
        "qscore_risk": Text(integers(block.numbers("risk"))),
        "qscore_band": Text(bands(block)),
        "qscore_alert": Text(chosen(("0", "1"), block.numbers("alert"))),
        "qscore_pvalue": Text(fixed(steps_up(block.numbers("pvalue"), _PVALUE), _PVALUE)),
        "qscore_classical": Text(fixed(steps(block.numbers("classical"), _PROBABILITY), _PROBABILITY)),
        **{name: text or None for name, text in shared.items()},
        "qscore_id": Text(hex_texts(block.column("id"))),
        "qscore_batch": header.batch_id or None,
        "qscore_reason": Text(known(block, "reason")),
        "qscore_mitre": (list(mitre) if len(mitre) > 1 else mitre[0]) if mitre else None,
        **{field: Text(known(block, name)) for name, field in (ENTITY_FIELDS | ORIGIN_FIELDS).items()},
    }
