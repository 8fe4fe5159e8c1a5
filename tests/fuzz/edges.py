"""What comes from Splunk, from Elasticsearch and from a gateway, once it is out of its connection."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elastic_transport import SerializationError

from elastic_connector.lead.lease import StreamState
from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.documents import EventShaper
from scorer.delivery.elastic.items import items
from scorer.elastic_client.answers import AnswerSerializer
from scorer.elastic_client.lookup import is_there
from scorer.rows.recipe import load_recipe
from scorer.splunk_preview.conf import parse_conf
from scorer.splunk_preview.environment import Environment
from scorer.splunk_preview.language.values import Row
from scorer.splunk_preview.pipeline import run
from scorer.wire.card import ModelCard
from scorer.wire.client import REPLY_HEADER
from scorer.wire.errors import Problem, QScoreError
from splunk_app.frames import ProtocolFault, read_frame
from splunk_app.options import CommandOptions, parse_fields
from splunk_app.request import score_lines, select, split
from splunk_app.table import ChunkTable
from tests.fuzz.mutate import mutated_json
from tests.fuzz.target import Target
from tests.unit.delivery.builders import make_card

APP = Path(__file__).resolve().parents[2] / "default"
_IDS = ("a" * 64, "b" * 64)
_SEARCHES = (
    b'index=qscore qscore_alert=1 | eval n=if(isnull(x), "-", x) | where n!="-" AND _time>now()',
    b'search user="e*" (src=1 OR NOT dest=2) | stats count sum(x) as s values(user) by host, src | sort - s limit=3',
    b'| makeresults | eval a=round(1.5*2+3%2, 1), b=mvindex(split("a,b", ","), 0) | fields a b | dedup a | head 2',
    b"index=* | rename a as b | bin _time span=10m | fillnull value=0 x | table _time b x | rex x",
)
_ROWS: list[Row] = [
    {"_time": 1.7e9, "user": "eve", "x": "3", "host": "h", "mv": ["a", "b"]},
    {"_time": 1.6e9, "src": "1"},
]
_HIT = {
    "_index": "logs-1",
    "_id": "id0",
    "sort": [1_772_000_000_000, 0],
    "_source": {
        "@timestamp": "2026-03-01T08:15:00.250Z",
        "source": {"ip": "10.0.0.1", "port": 50123, "bytes": 400},
        "destination": {"ip": ["10.0.0.2"], "port": 445},
        "network.transport": "tcp",
        "user": {"name": "EVE@x"},
        "event": {"outcome": "failure", "duration": 2_500_000_000, "code": "4624"},
        "host": {"os": {"name": "Linux"}},
        "winlog": {"event_data": {"LogonType": 3}},
    },
}


def targets() -> list[Target]:
    """List the readers of both sides' answers and documents."""
    state = {
        "_id": "s",
        "_seq_no": 3,
        "_primary_term": 1,
        "_source": {"owner": "o", "epoch": 3, "version": "1", "checkpoint": {"time": "2026-03-01T08:15:00.250Z"}},
    }
    bulk = {
        "items": [
            {"create": {"_id": _IDS[0], "status": 201}},
            {
                "create": {
                    "_id": _IDS[1],
                    "status": 400,
                    "error": {"type": "x", "reason": "y", "caused_by": {"reason": "z"}},
                }
            },
        ]
    }
    there = {"_id": _IDS[0], "found": False, "error": {"type": "index_closed_exception", "reason": "closed"}}
    shapers = [
        EventShaper(card_recipe(load_recipe(name).to_dict(), {}), ("host.os.name",))
        for name in ("lateral", "lateral_flow")
    ]
    return [
        Target("model card", _json(ModelCard.from_dict), (_bytes(make_card().to_dict()),), mutated_json),
        Target("problem", _json(Problem.from_dict), (_bytes(Problem("x", "y", "z").to_dict()),), mutated_json),
        Target("state document", _json(StreamState.from_response), (_bytes(state),), mutated_json),
        Target("bulk items", _json(lambda raw: items(raw, _IDS)), (_bytes(bulk),), mutated_json),
        Target("look-up", _json(lambda raw: is_there(_IDS[0], raw, "i")), (_bytes(there),), mutated_json),
        Target(
            "answer of a cluster",
            AnswerSerializer().loads,
            (_bytes(bulk), b'{"a": "\\ud800 \\ud83d\\ude00"}'),
            mutated_json,
            (SerializationError,),
        ),
        Target(
            "documents",
            _answered(lambda raw: [shaper.table(_hits(raw)) for shaper in shapers]),
            (_bytes(_HIT["_source"]),),
            mutated_json,
            weight=4,
        ),
        Target("search", _search, _SEARCHES, weight=20),
        Target("conf file", lambda raw: parse_conf(raw.decode("latin-1")), _confs(), weight=5),
        Target("frame", lambda raw: read_frame(io.BytesIO(raw)), _frames(), refusals=(ProtocolFault, QScoreError)),
        Target("chunk", _chunk, _chunks(), weight=15),
        Target(
            "score lines",
            score_lines,
            (REPLY_HEADER + b"0.5,50,low,0,0.1,0.4,,lateral,1,ok\n" * 2,),
            refusals=(ValueError,),
        ),
        Target("command options", _options, (b"model=lateral\nfields=a=events, 'b c'=logons\ntimeout=3\nwrite=t",)),
    ]


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def _json(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    def whole(raw: bytes) -> object:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return read(value)

    return whole


def _answered(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    """Read JSON as it comes out of an answer of Elasticsearch."""

    def whole(raw: bytes) -> object:
        try:
            value = AnswerSerializer().loads(raw)
        except SerializationError:
            return None
        return read(value)

    return whole


def _hits(source: Any) -> list[dict[str, Any]]:
    """Documents are objects: Elasticsearch takes no others."""
    return [{**_HIT, "_source": source if isinstance(source, dict) else {"x": source}}]


def _search(raw: bytes) -> object:
    return run(raw.decode("utf-8", "replace"), Environment(_ROWS, _ROWS, now=1.7e9))


def _confs() -> tuple[bytes, ...]:
    return tuple((APP / name).read_bytes()[:3000] for name in ("props.conf", "savedsearches.conf", "commands.conf"))


def _frames() -> tuple[bytes, ...]:
    metadata = _bytes({"action": "execute", "finished": True, "searchinfo": {"args": ["model=lateral"], "sid": "1"}})
    body = b"events,logons\n1,2\n"
    return tuple(b"chunked 1.0,%d,%d\n%s%s" % (len(metadata), len(part), metadata, part) for part in (body, b""))


def _chunks() -> tuple[bytes, ...]:
    return (
        b'events,__mv_events,logons,failures,qscore,user\r\n5,,1,0,0.1,"a ""b"""\r\n6,"$a$;$b$",1,0,,"two\nlines"\r\n',
        b"logons,failures\n1,2\n3,4\n",
    )


def _chunk(raw: bytes) -> object:
    table = ChunkTable.read(raw)
    names = ("events", "logons", "failures")
    return split(table, select(table.names, names, names, {}), 0, len(table))


def _options(raw: bytes) -> object:
    args = raw.decode("utf-8", "replace").split("\n")
    parse_fields(args[0])
    return CommandOptions.parse(args)
