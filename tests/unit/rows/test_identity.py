"""One identity of a score: of a row by itself and of a whole column of rows."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.rows.columns import KEY_COLUMNS, TIME_COLUMN
from scorer.rows.identity import Context, Writer, batch_ids, origin_identity, row_identity, score_id, score_ids

_NAMES = (TIME_COLUMN, *KEY_COLUMNS, "origin_id", "index", "host")
_TEXT = st.one_of(st.sampled_from(["", "alice", "10.0.0.1", "7:alice"]), st.text(max_size=12))
_LONE = st.sampled_from(["\ud800", "a\udfffb"])  # of JSON that was cut within a character
_TIME = st.sampled_from(["", "1700000000", "1.7e9", "1700000000.0004", "1e12", "-1", "nan", "never"])
_WRITER = st.none() | st.builds(Writer, _TEXT.map("n{}".format), _TEXT)
_REVISION = st.one_of(st.none(), st.integers(0, 10**18))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Mapping[str, list[str]], list[int | None]]:
    rows = draw(st.integers(0, 8))
    names = draw(st.lists(st.sampled_from(_NAMES), unique=True))
    cells = st.one_of(_TEXT, _LONE)
    columns = {n: draw(st.lists(_TIME if n == TIME_COLUMN else cells, min_size=rows, max_size=rows)) for n in names}
    return columns, draw(st.lists(_REVISION, min_size=rows, max_size=rows))


#: What the code of 0.1.0 (commit 53776b9) answers for the rows of the test below.
IDS_OF_0_1_0 = [
    "adb6b04661a906589bec26847cd9c85d154cb14eb336de9e3c7e53274457ffcb",
    "78241622e239e4f9296091119911cc04161d9c7af4a39996675f41f334f1b1e4",
    None,
    None,
]


def one_by_one(
    model: str, version: str, context: Context, revisions: list[int | None], writer: Writer | None
) -> list[str | None]:
    identities = [row_identity(context, row) for row in range(len(revisions))]
    return [
        None if identity is None or revision is None else score_id(model, version, identity, revision, writer)
        for identity, revision in zip(identities, revisions, strict=True)
    ]


@given(batches(), _TEXT, _TEXT, _WRITER)
def test_ids_of_columns_are_those_of_their_rows(
    batch: tuple[Mapping[str, list[str]], list[int | None]], model: str, version: str, writer: Writer | None
) -> None:
    context, revisions = batch
    expected = one_by_one(model, version, context, revisions, writer)
    assert score_ids(model, version, context, revisions, writer) == expected
    made = batch_ids(model, version, context, revisions, writer, old=True)
    assert made.ids == expected
    assert made.old == one_by_one(model, version, context, revisions, None)
    assert made.first == (score_ids(model, version, context, [0] * len(revisions), writer) if any(revisions) else None)


@given(st.lists(_TEXT, min_size=5, max_size=9), _TEXT, _TEXT)
def test_no_id_of_a_writer_is_one_of_0_1_0(texts: list[str], model: str, version: str) -> None:
    """Whatever namespace, source and cells hold: the third part of an id says which of the two it is."""
    named, source, *cells = texts
    writer = Writer(f"{named}:", source)
    new = {
        score_id(model, version, ("origin", *cells[:2]), 0, writer),
        score_id(model, version, tuple(cells), 0, writer),
    }
    assert not new & {score_id(model, version, ("window", *cells)), score_id(model, version, ("origin", *cells))}


def test_each_part_of_a_writer_makes_another_id() -> None:
    identity = ("origin", "main", "42")
    writers = [None, Writer("a"), Writer("b"), Writer("a", "b"), Writer("ab"), Writer.connector("a", "b")]
    assert len({score_id("lateral", "1", identity, writer=writer) for writer in writers}) == len(writers)


@pytest.mark.parametrize("namespace", ["", "origin", "window"])
def test_a_writer_has_a_namespace_and_none_that_stands_in_ids_of_0_1_0(namespace: str) -> None:
    with pytest.raises(ValueError, match="cannot be the namespace"):
        Writer(namespace, "source")


def test_ids_of_a_writer_do_not_change() -> None:
    """Written down, for the ids stand in indices of others."""
    assert score_id("lateral", "1", ("origin", "main", "42"), 3, Writer("soc", "dc")) == (
        sha256(b"7:lateral1:13:soc2:dc6:origin4:main2:421:3").hexdigest()
    )


def test_ids_are_those_that_0_1_0_wrote() -> None:
    context = {
        TIME_COLUMN: ["1700000000.5", "1700000400", "1700000400", "never"],
        "user": ["é", "alice", "", "bob"],
        "src": ["", "10.0.0.1", "", ""],
        "origin_id": ["7:12", "", "", ""],
        "index": ["main", "main", "main", ""],
    }
    assert score_ids("lateral", "1-starter", context, [0, 3, 0, 0]) == IDS_OF_0_1_0


@pytest.mark.parametrize("name", ["origin_id", "user", TIME_COLUMN])
def test_a_column_of_another_length_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="argument"):
        score_ids("lateral", "1", {"user": ["alice"] * 2, TIME_COLUMN: ["1"] * 2, name: ["1"] * 3}, [0, 0])


def test_a_documents_identity_is_its_rows() -> None:
    assert row_identity({"origin_id": ["7"], "index": ["logs-a"]}, 0) == origin_identity("logs-a", "7")


def test_an_id_is_the_same_twice_and_depends_on_every_part() -> None:
    base = score_id("lateral", "1", ("origin", "main", "42"))
    assert base == score_id("lateral", "1", ("origin", "main", "42"))
    others = {
        score_id("lateral", "2", ("origin", "main", "42")),
        score_id("latera", "l1", ("origin", "main", "42")),
        score_id("lateral", "1", ("origin", "main4", "2")),
        score_id("lateral", "1", ("origin", "main", "42"), revision=1),
    }
    assert len(others | {base}) == 5
    assert len(base) == 64


def test_the_identity_of_a_window_is_its_start_and_entities() -> None:
    context = {"_time": ["1600000200"], "user": ["eve"], "src": ["a"], "dest": ["b"]}
    same = {**context, "_time": ["1600000200.000"], "host": ["elsewhere"]}
    assert row_identity(context, 0) == row_identity(same, 0)
    assert row_identity({**context, "_time": ["1600000800"]}, 0) != row_identity(context, 0)


def test_the_identity_of_an_event_is_its_origin() -> None:
    context = {"_time": ["1"], "origin_id": ["7:12"], "index": ["main"], "user": ["eve"]}
    assert row_identity(context, 0) == ("origin", "main", "7:12")


@pytest.mark.parametrize("time", ["", "yesterday", "nan", "-5", "1e300"])
def test_a_row_without_origin_and_usable_time_has_no_identity(time: str) -> None:
    assert row_identity({"_time": [time], "user": ["eve"]}, 0) is None
