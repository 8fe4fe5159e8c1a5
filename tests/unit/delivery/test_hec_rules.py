"""The stand-in's rules, case by case as Splunk documents them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.standins.hec_rules import HecRules

RULES = HecRules("t", max_bytes=5_000)
PATH = "/services/collector/event"


def post(
    body: bytes | dict[str, Any], authorization: str | None = "Splunk t", rules: HecRules = RULES
) -> tuple[int, Any]:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body
    answer = rules.answer(PATH, authorization, raw)
    return answer.status, answer.body["code"]


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [(None, (401, 2)), ("Bearer t", (401, 3)), ("Splunk", (401, 3)), ("Splunk x", (403, 4)), ("Splunk t", (200, 0))],
)
def test_tokens(authorization: str | None, expected: tuple[int, int]) -> None:
    assert post({"event": "e"}, authorization) == expected


def test_a_disabled_token() -> None:
    assert post({"event": "e"}, rules=HecRules("t", enabled=False)) == (403, 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, 5)),
        (b"  \n", (400, 5)),
        (b"{", (400, 6)),
        (b"[]", (400, 6)),
        (b'{"event":NaN}', (400, 6)),
        (b"\xff", (400, 6)),
        ({"time": 1}, (400, 12)),
        ({"event": ""}, (400, 13)),
        ({"event": "e", "unknown": 1}, (400, 6)),
        ({"event": "e", "time": "soon"}, (400, 6)),
        ({"event": "e", "fields": {"a": {"b": "c"}}}, (400, 15)),
        ({"event": "e", "fields": {"a": 1}}, (400, 15)),
        ({"event": "e", "fields": {"a": None}}, (400, 15)),
        ({"event": "e", "fields": {"a": []}}, (400, 15)),
        ({"event": "e", "fields": ["a"]}, (400, 15)),
        ({"event": "e", "index": "other"}, (400, 7)),
        ({"event": "e", "fields": {"a": ["b", "c"]}, "time": "1700000000.5"}, (200, 0)),
        (b'{"event":"a"}{"event":"b"}\n{"event":"c"}', (200, 0)),
        (b'{"event":"' + b"x" * 6_000 + b'"}', (413, 27)),
    ],
)
def test_bodies(body: bytes | dict[str, Any], expected: tuple[int, int]) -> None:
    assert post(body) == expected


def test_the_bad_event_is_numbered_from_zero_and_none_is_taken() -> None:
    body = b'{"event":"a"}{"event":"b"}{"event":"c","fields":{"x":{}}}'
    answer = RULES.answer(PATH, "Splunk t", body)
    assert answer.body["invalid-event-number"] == 2
    assert answer.events == ()


def test_another_path_is_not_found() -> None:
    assert RULES.answer("/services/collector/raw", "Splunk t", b"{}").status == 404


@given(st.binary(max_size=300))
def test_any_body_gets_a_documented_answer(body: bytes) -> None:
    status, _ = post(body)
    assert status in (200, 400)
