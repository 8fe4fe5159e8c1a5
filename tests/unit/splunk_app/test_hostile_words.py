"""Options and columns that nobody means well with: huge, of no text, with line ends and formulas in their names."""

from __future__ import annotations

import csv
import io
import time

import pytest

from scorer.wire.client import REPLY_HEADER
from scorer.wire.errors import QScoreError
from scorer.wire.names import OUTPUT_COLUMNS
from splunk_app.options import CommandOptions, parse_fields
from splunk_app.request import score_lines, select, split, unscored_line
from splunk_app.table import ChunkTable
from tests.unit.splunk_app.pasting import paste

#: Seconds of CPU for one search's words, on any machine; what backtracks takes minutes.
QUICKLY = 5.0
HUGE = 500_000


@pytest.mark.parametrize(
    "word",
    [
        "version=" + "1" * 100_000,
        "version=" + "1-starter" * 20_000,
        "model=" + "a" * HUGE,
        "model=lateral\r\nX-Injected: y",
        "model=lateral\x00",
        "version=1\nlive",
        "threshold=" + "9" * HUGE,
        "threshold=nan",
        "threshold=-inf",
        "threshold=1e400",
        "explain=" + "all" * 100_000,
        "explain=all\x00",
        "write=" + "t" * HUGE,
        "timeout=nan",
        "timeout=1e999",
        "timeout=-1",
        "timeout=" + "9" * HUGE,
        "x" * HUGE + "=1",
        "x" * HUGE,
        "=" * HUGE,
        "\r\nmodel=other",
        "fields=" + "x" * HUGE,
        "fields=" + "=" * HUGE,
        "fields=" + "a=" * (HUGE // 2),
        "fields=" + "'" * HUGE,
        "fields='" + "x" * HUGE,
        "fields=" + "'a" * (HUGE // 2),
        "fields=" + "a=x," * (HUGE // 4),
        "fields=" + "a =" + " " * HUGE + "!",
        "fields=a=" + "x" * HUGE + "!",
        'fields="' + "a=x " * 1000,
    ],
    ids=lambda word: word[:16],
)
def test_a_word_of_no_meaning_is_one_short_sentence_at_once(word: str) -> None:
    started = time.process_time()
    with pytest.raises(QScoreError) as caught:
        CommandOptions.parse([word] if word.startswith("model=") else ["model=lateral", word])
    assert time.process_time() - started < QUICKLY
    sentence = caught.value.sentence()
    assert len(sentence) < 600
    assert "\n" not in sentence
    assert "\r" not in sentence


def test_a_name_of_half_a_megabyte_is_a_name() -> None:
    started = time.process_time()
    assert parse_fields("x" * HUGE + "=logons") == {"logons": "x" * HUGE}
    assert parse_fields("'" + "x y" * HUGE + "'=logons") == {"logons": "x y" * HUGE}
    assert len(parse_fields(" ".join(f"own{k}=f{k}" for k in range(50_000)))) == 50_000
    assert time.process_time() - started < QUICKLY


NAMES = [
    "logons\r\nX-Injected: y", "a\nb", "a\rb", '"', '""', '","', "'", "=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\t",
    "\x00", "\x1b[2J", "\u202eabc", "\ufeff", "é" * 100, "x" * 10_000, "__proto__", "__mv_", "__mv_logons", "qscore",
    "qscore_status", "_raw", " ", "",
]  # fmt: skip


def cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_a_hostile_name_stays_one_quoted_cell(name: str) -> None:
    """On its way to the gateway it is left out, on its way back it stands where it stood."""
    body = f"{cell(name)},logons,failures\n{cell('x' + name)},1,2\n".encode()
    table = ChunkTable.read(body)
    assert table.names[0] == name
    sent = split(table, select(table.names, ("logons", "failures"), ("logons", "failures"), {}), 0, 1)
    lines = [part.body.split(b"\n") for part in sent]
    if name == "__mv_logons":  # it says whether a feature has several values
        assert lines[0][0] == b"__mv_logons,logons,failures"
    else:
        assert lines == [[b"logons,failures", b"1,2", b""]]
    found = list(csv.reader(io.StringIO(paste(table, [b"0.5,50,low,0,0.5,0.5,,lateral,1,ok"]).decode(), newline="")))
    own = [] if name in OUTPUT_COLUMNS else [name]
    assert found[0] == [*own, "logons", "failures", *OUTPUT_COLUMNS]
    assert found[1][: len(own)] == (["x" + name] if own else [])
    assert len(found) == 2


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
def test_an_own_name_travels_as_the_models_and_never_as_itself(name: str) -> None:
    body = f"{cell(name)},failures\n1,2\n".encode()
    table = ChunkTable.read(body)
    (part,) = split(table, select(table.names, ("logons", "failures"), ("logons", "failures"), {"logons": name}), 0, 1)
    assert part.body == b"logons,failures\n1,2\n"


GOOD = b"0.5,50,low,0,0.5,0.5,,lateral,1,ok"


@pytest.mark.parametrize(
    "line",
    [
        GOOD + b"\r",
        b"\r" + GOOD,
        GOOD.replace(b"low", b"lo\rw"),
        GOOD.replace(b"low", b'"lo\rw"'),
        GOOD + b",",
        GOOD + b",more",
        GOOD.rpartition(b",")[0],
        GOOD.replace(b"lateral", b"later\xffal"),
        GOOD.replace(b"lateral", b"\xc0\xaf"),
        GOOD.replace(b"lateral", b"\xed\xa0\x80"),
        GOOD.replace(b"lateral", b'"lateral'),
        GOOD.replace(b"lateral", b'lat"eral'),
        b"",
        b",",
        b'"' * 9,
        b"\x00",
    ],
)
def test_a_line_of_scores_of_another_form_costs_its_whole_reply(line: bytes) -> None:
    with pytest.raises(ValueError):
        score_lines(REPLY_HEADER + GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    assert score_lines(REPLY_HEADER + GOOD + b"\n" + GOOD + b"\n") == [GOOD, GOOD]


@pytest.mark.parametrize("text", ["a\r\nb,c", '"', '","', "=1+1", "\x00", "x" * 100_000, "\ud800"])
def test_what_is_said_of_a_row_is_one_cell(text: str) -> None:
    line = unscored_line("lateral", "live", f"not_scored: {text}")
    (row,) = csv.reader(io.StringIO(line.decode()))
    assert len(row) == len(OUTPUT_COLUMNS)
    assert b"\n" not in line
    assert b"\r" not in line
