"""JSON of answers: what Elasticsearch takes and Unicode does not is read, anything else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from elastic_transport import SerializationError
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.elastic_client.answers import AnswerSerializer

LOADS = AnswerSerializer().loads
#: Any text, halves of surrogate pairs among it.
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("\\ud8\ud83d\ude00"))


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"\uDC00"', "\ufffd"),
        (rb'"\ud800\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\ude00\udc00"', "\U0001f600\ufffd"),
        (rb'"\\ud800\ud800"', "\\ud800\ufffd"),
        (b'"\xff"', "\ufffd"),
    ],
)
def test_half_a_surrogate_pair_is_a_replacement_character(raw: bytes, read: str) -> None:
    assert LOADS(raw) == read


@settings(deadline=None)
@given(st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers(-(2**53), 2**53) | st.none(), max_size=3))
def test_what_was_text_stays_the_same_text(document: dict[str, Any]) -> None:
    made = LOADS(json.dumps(document).encode())
    assert made == json.loads(json.dumps({_shown(k): _shown(v) for k, v in document.items()}))


def _shown(value: Any) -> Any:
    """A text as it should be read: pairs joined, halves replaced."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.mark.parametrize("raw", [b"<html>", b"{", b'{"a": NaN}', b"[" * 5000])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(SerializationError):
        LOADS(raw)
