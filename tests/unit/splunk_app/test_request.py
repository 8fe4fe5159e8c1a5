"""What goes to the gateway and what comes back from it."""

from __future__ import annotations

import csv
import io
from itertools import pairwise

import pytest

from scorer.wire import names
from scorer.wire.client import REPLY_HEADER
from scorer.wire.limits import body_limit
from scorer.wire.names import MEDIA_CSV
from splunk_app.request import RequestPart, batch_id, ranges, score_lines, select, split, unscored_line
from splunk_app.table import ChunkTable
from tests.unit.splunk_app.pasting import paste

FEATURES = ("logons", "failures")


def bodies(body: bytes, fields: dict[str, str] | None = None, columns: tuple[str, ...] = FEATURES) -> list[bytes]:
    table = ChunkTable.read(body)
    selection = select(table.names, columns, FEATURES, fields or {})
    return [part.body for part in split(table, selection, 0, len(table))]


def test_a_chunk_of_just_the_fields_goes_as_it_came() -> None:
    body = b"failures,logons\n1,2\n3,4\n"
    assert bodies(body) == [body]


def test_only_the_header_is_rewritten_for_own_names() -> None:
    assert bodies(b"n,failures\n1,2\n", {"logons": "n"}) == [b"logons,failures\n1,2\n"]


def test_what_is_not_the_models_stays_on_the_search_head() -> None:
    body = b'_raw,failures,user,logons\n"secret, ""x""\nline",1,alice,2\n'
    assert bodies(body) == [b"failures,logons\n1,2\n"]


def test_an_own_name_hides_the_column_that_has_the_features_name() -> None:
    assert bodies(b"n,logons,failures\n1,99,2\n", {"logons": "n"}) == [b"logons,failures\n1,2\n"]


def test_one_field_may_serve_two_features() -> None:
    assert bodies(b"n\n7\n", {"logons": "n", "failures": "n"}) == [b"logons,failures\n7,7\n"]


def test_duplicate_columns_travel_both_so_that_the_worker_can_say_so() -> None:
    assert bodies(b"logons,failures,logons\n1,2,3\n") == [b"logons,failures,logons\n1,2,3\n"]


def test_multivalue_companions_of_features_travel_under_the_features_name() -> None:
    body = b'n,failures,user,__mv_n,__mv_user\n"1\n2",3,u,$1$;$2$,$a$;$b$\n'
    assert bodies(body, {"logons": "n"}, (*FEATURES, "user")) == [
        b'logons,failures,user,__mv_logons\n"1\n2",3,u,$1$;$2$\n'
    ]


def test_a_lone_empty_cell_is_no_blank_line() -> None:
    assert bodies(b"logons,x\n1,a\n,b\n") == [b'logons\n1\n""\n']


def test_rows_without_any_column_of_the_model_are_sent_and_counted() -> None:
    (body,) = bodies(b"x\n1\n2\n")
    assert body.count(b"\n") == 3
    assert b"1" not in body


def test_what_is_sent_is_text_on_lines_of_its_own() -> None:
    (body,) = bodies(b"logons,failures\n1\r7,\xff\n")
    assert body == "logons,failures\n1 7,\ufffd\n".encode()


@pytest.mark.parametrize(
    ("rows", "lanes", "sizes"),
    [
        (0, 2, []),
        (1, 2, [1]),
        (7_999, 2, [7_999]),
        (8_000, 2, [4_000, 4_000]),
        (50_000, 1, [50_000]),
        (50_000, 2, [25_000] * 2),
        (50_000, 4, [12_500] * 4),
        (50_001, 1, [50_000, 1]),
        (3, 8, [3]),
        (450_000, 2, [50_000] * 9),
    ],
)
def test_large_chunks_keep_every_lane_busy(rows: int, lanes: int, sizes: list[int]) -> None:
    made = ranges(rows, lanes)
    assert [stop - start for start, stop in made] == sizes
    assert [start for start, _ in made] == [sum(sizes[:at]) for at in range(len(sizes))]


def test_a_body_of_too_many_bytes_is_halved_until_it_fits() -> None:
    table = ChunkTable(("logons",), b"logons", [b"%d" % at + b"0" * 100_000 for at in range(100)])
    made = split(table, select(table.names, FEATURES, FEATURES, {}), 10, 100)
    assert (made[0].start, made[-1].stop) == (10, 100)
    assert all(earlier.stop == later.start for earlier, later in pairwise(made))
    assert all(len(part.body) <= body_limit(part.stop - part.start, MEDIA_CSV) for part in made)
    assert 10 < len(made) < 20


def test_the_batch_id_depends_on_everything_that_makes_a_batch() -> None:
    part = RequestPart(0, 1, b"logons\n1\n")
    first = batch_id("sid", "1", 0, part)
    others = [
        batch_id("sid2", "1", 0, part),
        batch_id("sid", "2", 0, part),
        batch_id("sid", "1", 1, part),
        batch_id("sid", "1", 0, RequestPart(1, 2, part.body)),
        batch_id("sid", "1", 0, RequestPart(0, 1, b"logons\n2\n")),
    ]
    assert first == batch_id("sid", "1", 0, part)
    assert len({first, *others}) == 6
    assert len(first) == 40


@pytest.mark.parametrize(
    "line",
    [
        b"0.5,50,low,0,0.5,0.5,,lateral,1",
        b"0.5,50,low,0,0.5,0.5,,lateral,1,ok,extra",
        b'0.5,50,low,0,0.5,0.5,"open,lateral,1,ok',
        b"0.5,50,low,0,0.5,0.5,,lateral,1,ok\r",
        b"0.5,50,low,0,0.5,0.5,\xff,lateral,1,ok",
        b"",
    ],
)
def test_a_damaged_line_of_scores_is_refused(line: bytes) -> None:
    good = b"0.5,50,low,0,0.5,0.5,,lateral,1,ok\n"
    with pytest.raises(ValueError):
        score_lines(REPLY_HEADER + good + line + b"\n" + good)


def test_lines_of_scores_with_quotes_come_back_as_they_are() -> None:
    line = b'0.5,50,low,1,0.5,0.5,"a ""b"", c",lateral,1,ok'
    assert score_lines(REPLY_HEADER + line + b"\n") == [line]


def test_an_unscored_row_is_never_zero() -> None:
    line = unscored_line("lateral", "live", 'not_scored: no, "really"\nno')
    (cells,) = csv.reader(io.StringIO(line.decode()))
    row = dict(zip(names.OUTPUT_COLUMNS, cells, strict=True))
    assert row.pop("qscore_model") == "lateral"
    assert row.pop("qscore_version") == "live"
    assert row.pop("qscore_status") == 'not_scored: no, "really" no'
    assert set(row.values()) == {""}


def test_scores_of_an_earlier_run_are_replaced() -> None:
    once = paste(ChunkTable.read(b'a,b\n1,"x,y"\n'), [b"0.1,10,low,0,1,0.1,,m,1,ok"])
    twice = paste(ChunkTable.read(once), [b"0.2,20,low,0,1,0.2,,m,2,ok"])
    assert twice == paste(ChunkTable.read(b'a,b\n1,"x,y"\n'), [b"0.2,20,low,0,1,0.2,,m,2,ok"])


def test_multivalue_companions_of_old_scores_go_too() -> None:
    pasted = paste(ChunkTable.read(b"qscore,a,__mv_qscore\n1,2,3\n"), [b"x"])
    assert pasted.splitlines()[1] == b"2,x"


def test_a_chunk_of_old_scores_alone_gets_new_ones() -> None:
    assert paste(ChunkTable.read(b"qscore\n1\n"), [b"x"]).splitlines()[1] == b"x"


def test_nothing_in_nothing_out() -> None:
    assert paste(ChunkTable.read(b""), []) == b""
