"""JSON of whole columns is what the standard library writes for each row."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from scorer.delivery.json_columns import Raw, Text, lists, objects
from scorer.delivery.lines import Lines

TEXTS = st.text(max_size=8) | st.sampled_from(['"', "\\", 'C:\\x "y"', "\n", "\x00", "Zoë ☃", "\u2028", "𝕏"])
CELLS = st.none() | TEXTS


def column(cells: list[str | None]) -> Any:
    return pa.array(cells, pa.string())


def dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


@given(st.lists(st.tuples(CELLS, TEXTS, CELLS, st.integers()), min_size=1, max_size=6), st.integers(0, 3))
def test_objects_are_those_of_their_rows(rows: list[tuple[str | None, str, str | None, int]], cut: int) -> None:
    one, two, three, four = map(list, zip(*rows, strict=True))
    made = objects(
        {
            "always": Text("<", column(two), "> of it"),
            "one": Text(column(one)),
            "shared": {"n": 1.5, "list": ["a"], "no": None},
            "inner": {"one": Text(column(one)), "three": Text(column(three))},
            "number": Raw(column([str(number) for number in four])),
            "nobody": Text(None),
            "empty": {},
        },
        after="\n",
    )
    expected = [
        present(
            {
                "always": f"<{b}> of it",
                "one": a,
                "shared": {"n": 1.5, "list": ["a"]},
                "inner": present({"one": a, "three": c}) or None,
                "number": d,
                "empty": {},
            }
        )
        for a, b, c, d in rows
    ]
    assert [json.loads(text) for text in made.to_pylist()] == expected
    # Those that may be missing stand behind those that may not; nothing else differs.
    assert [sorted(text) for text in made.to_pylist()] == [sorted(dumped(one) + "\n") for one in expected]
    some = slice(min(cut, len(rows)), len(rows))
    assert Lines(made)[some].body().decode() == "".join(made.to_pylist()[some])


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_an_object_of_which_nothing_is_known_is_null(rows: list[tuple[str | None, str | None]]) -> None:
    one, two = map(list, zip(*rows, strict=True))
    if not any(cell is not None for cell in (*one, *two)):
        return
    made = objects({"one": Text(column(one)), "two": Text(column(two))})
    known = [present({"one": a, "two": b}) for a, b in rows]
    assert [text and json.loads(text) for text in made.to_pylist()] == [members or None for members in known]


def test_whoever_stands_first_has_no_comma_before_it() -> None:
    made = objects({"maybe": Text(column(["a", None])), "always": 1})
    assert [json.loads(text) for text in made.to_pylist()] == [{"maybe": "a", "always": 1}, {"always": 1}]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6))
def test_lists_hold_each_different_text_once(rows: list[tuple[str | None, ...]]) -> None:
    made = lists(*(column(list(cells)) for cells in zip(*rows, strict=True)), None)
    expected = [list(dict.fromkeys(cell for cell in row if cell is not None)) for row in rows]
    found = [None] * len(rows) if made is None else made.to_pylist()
    assert found == [dumped(texts) if texts else None for texts in expected]
    assert lists(None) is None


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(10, 100))
def test_ranges_of_lines_cover_all_in_order_within_the_limit(sizes: list[int], limit: int) -> None:
    lines = Lines(pa.array(["x" * size for size in sizes], pa.string()))
    ranges = list(lines.within(limit))
    assert [at for start, end in ranges for at in range(start, end)] == list(range(len(sizes)))
    for start, end in ranges:
        assert len(lines[start:end].body()) == sum(sizes[start:end])
        assert end - start == 1 or sum(sizes[start:end]) <= limit
        assert end == len(sizes) or sum(sizes[start : end + 1]) > limit
