"""The chunked protocol's frames, on bytes."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splunk_app.frames import ProtocolFault, Reply, read_frame, write_reply


def frame(metadata: bytes, body: bytes = b"") -> bytes:
    return b"chunked 1.0,%d,%d\n" % (len(metadata), len(body)) + metadata + body


def test_reads_metadata_and_body_and_leaves_the_next_frame() -> None:
    stream = io.BytesIO(frame(b'{"action":"execute","finished":true}', b"a\n1\n") + frame(b"{}"))
    first = read_frame(stream)
    assert first is not None
    assert (first.action, first.finished, first.body) == ("execute", True, b"a\n1\n")
    second = read_frame(stream)
    assert second is not None
    assert (second.action, second.finished, second.body) == ("", False, b"")
    assert read_frame(stream) is None


def test_an_empty_frame_has_empty_metadata() -> None:
    found = read_frame(io.BytesIO(b"chunked 1.0,0,0\n"))
    assert found is not None
    assert dict(found.metadata) == {}


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "expected a frame that starts with 'chunked 1.0,'"),
        (b"chunked 1.0,5\n", "expected a frame"),
        (b"chunked 1.0,-1,0\n", "expected a frame"),
        (b"chunked 1.0,2,0", "expected a frame"),
        (b"chunked 2.0,2,0\n{}", "expected a frame"),
        (b"x" * 100_000, "expected a frame"),
        (b"chunked 1.0,99999999999,0\n", "larger than any search sends"),
        (b"chunked 1.0,2,999999999999\n{}", "larger than any search sends"),
        (b"chunked 1.0,10,0\n{}", "ended after 2 of the 10 bytes of a frame's metadata"),
        (b"chunked 1.0,2,10\n{}abc", "ended after 3 of the 10 bytes of a frame's body"),
        (frame(b"[1]"), "not a JSON object"),
        (frame(b"{nope"), "is not JSON"),
        (frame(b"\xff\xfe"), "is not JSON"),
        (frame(b"[" * 100_000), "is not JSON"),
    ],
)
def test_what_is_no_frame_is_named(raw: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolFault, match=sentence.replace("'", ".")):
        read_frame(io.BytesIO(raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_the_end_or_a_named_fault(raw: bytes) -> None:
    fault = ""
    try:
        found = read_frame(io.BytesIO(raw))
    except ProtocolFault as error:
        found, fault = None, str(error)
    assert "\n" not in fault
    assert fault or found is not None or raw == b""


def test_a_reply_declares_bytes_not_characters() -> None:
    out = io.BytesIO()
    write_reply(out, Reply({"finished": False}, (("WARN", "Schlüssel fehlt"),), "é\n".encode()))
    header, rest = out.getvalue().split(b"\n", 1)
    metadata_length, body_length = (int(part) for part in header.split(b",")[1:])
    assert header.startswith(b"chunked 1.0,")
    assert rest[metadata_length:] == "é\n".encode()
    assert len(rest) == metadata_length + body_length
    assert json.loads(rest[:metadata_length]) == {
        "finished": False,
        "inspector": {"messages": [["WARN", "Schlüssel fehlt"]]},
    }


def test_a_reply_without_messages_has_no_inspector() -> None:
    out = io.BytesIO()
    write_reply(out, Reply({"finished": True}))
    assert out.getvalue() == b'chunked 1.0,17,0\n{"finished":true}'
