"""What Splunk's Search Reference says, as worked examples."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.splunk_preview.conf import parse_conf
from scorer.splunk_preview.environment import Environment
from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.evaluate import compile_expression, evaluate
from scorer.splunk_preview.language.searching import compile_search
from scorer.splunk_preview.language.times import epoch
from scorer.splunk_preview.language.values import RowScope
from scorer.splunk_preview.pipeline import compile_pipeline, format_results, run

NOW = 1_700_000_000.0


def value(expression: str, **row: Any) -> Any:
    return evaluate(compile_expression(expression), row, NOW)


def found(expression: str, **row: Any) -> bool:
    return compile_search(expression)(RowScope(row, NOW))


def results(source: str, *rows: dict[str, Any], **environment: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in run(source, Environment(events=rows, now=NOW, **environment))]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 % 4", 2.0),
        ("-2 + 5", 3),
        ("7 / 0", None),
        ('"a" . "b" . 1', "ab1"),
        ('"a" + "b"', "ab"),
        ("missing + 1", None),
        ("floor(1234 / 600) * 600", 1200),
        ("round(2.5)", 3),
        ("round(0.12345, 4)", 0.1235),
        ('if(1 = 1, "yes", "no")', "yes"),
        ('if(missing = 1, "yes", "no")', "no"),
        ('case(1 = 2, "a", true(), "b")', "b"),
        ('case(1 = 2, "a")', None),
        ("coalesce(null(), missing, 3)", 3),
        ('nullif("-", "-")', None),
        ('nullif("a", "-")', "a"),
        ('replace("bob@corp", "@.*$", "")', "bob"),
        ('replace("4624.0", "^([+-]?\\d+)\\.0+$", "\\1")', "4624"),
        ('split("a,b", ",")', ["a", "b"]),
        ('mvindex(split("a,b,c", ","), 0)', "a"),
        ('mvindex(split("a,b,c", ","), -1)', "c"),
        ('mvindex("a", 3)', None),
        ('mvjoin(split("a,b", ","), ";")', "a;b"),
        ('substr("abcdef", 2, 3)', "bcd"),
        ('tonumber("x")', None),
        ('strftime(0, "%Y-%m-%d")', "1970-01-01"),
        ("max(1, 10, 9)", 10),
        ('in("b", "a", "b")', True),
        ('"2" < "10"', True),
        ('"b" < "a"', False),
        ("now()", NOW),
        ('len("héllo")', 5),
    ],
)
def test_eval(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_eval_binds_and_before_or() -> None:
    assert value("1=1 OR 1=1 AND 1=2") is True
    assert value("(1=1 OR 1=1) AND 1=2") is False


def test_null_is_neither_true_nor_false() -> None:
    assert value("missing = 1") is None
    assert value("NOT missing = 1") is None
    assert value("missing = 1 OR 1 = 1") is True
    assert value("missing = 1 AND 1 = 2") is False


def test_quoted_field_names_hold_dots() -> None:
    assert value("'id.orig_h'", **{"id.orig_h": "10.0.0.1"}) == "10.0.0.1"


@pytest.mark.parametrize(
    "source", ["", "1 +", "foo(", "iff(1,2,3)", "if(1,2)", "case(1,2,3)", "a = = b", "1 2", "'a", "f(1,)"]
)
def test_wrong_expressions_are_refused(source: str) -> None:
    with pytest.raises(SplError):
        compile_expression(source)


def test_search_binds_or_before_and() -> None:
    # a=1 OR b=1 c=1 is (a=1 OR b=1) AND c=1
    assert not found("a=1 OR b=1 c=1", a="1")
    assert found("a=1 OR b=1 c=1", a="1", c="1")
    assert found("a=1 OR (b=1 c=1)", a="1")


def test_search_not_equal_needs_the_field_and_not_does_not() -> None:
    assert not found("user!=eve")
    assert found("NOT user=eve")
    assert found("user!=eve", user="bob")


def test_search_ignores_case_and_knows_wildcards_and_lists() -> None:
    assert found("user=EVE", user="eve")
    assert found("user=ev*", user="Eve")
    assert not found("user=ev", user="eve")
    assert found('user IN (bob, "ev*")', user="eve")
    assert found("qscore>=0.5", qscore="0.75")
    assert not found("qscore>=0.5")
    assert found("a.b", _raw="x A.B y")
    assert not found("a.b", _raw="x AxB y")


def test_search_takes_any_value_of_a_multivalue_field() -> None:
    assert found("user=eve", user=["bob", "eve"])


def test_time_bounds_are_from_inclusive_to_exclusive() -> None:
    assert found("earliest=100 latest=200", _time=100)
    assert not found("earliest=100 latest=200", _time=200)
    assert found("_index_earliest=-13m@m _index_latest=now", _indextime=NOW - 600)
    assert not found("_index_earliest=-13m@m", _indextime=NOW - 900)


@pytest.mark.parametrize(
    ("modifier", "expected"),
    [("now", NOW), ("-1m", NOW - 60), ("@h", NOW // 3600 * 3600), ("-13m@m", (NOW - 780) // 60 * 60), ("5", 5.0)],
)
def test_time_modifiers(modifier: str, expected: float) -> None:
    assert epoch(modifier, NOW) == expected


@pytest.mark.parametrize("source", ["a=1 OR", "(a=1", "a=1)", "a IN (1", "a=", "AND a=1", "a<b", "earliest=-1y", "NOT"])
def test_wrong_searches_are_refused(source: str) -> None:
    with pytest.raises(SplError):
        compile_search(source)


def test_stats_drops_null_groups_and_expands_multivalue_ones() -> None:
    rows: list[dict[str, Any]] = [{"user": "a", "n": "1"}, {"user": ["a", "b"], "n": "2"}, {"n": "4"}]
    assert results("* | stats count sum(n) as n by user", *(dict(r, _raw="") for r in rows)) == [
        {"user": "a", "count": 2, "n": 3},
        {"user": "b", "count": 1, "n": 2},
    ]


def test_stats_without_events_gives_one_row_of_counts() -> None:
    assert results("a=1 | stats count dc(x) as d max(x) as m") == [{"count": 0, "d": 0}]


def test_stats_functions() -> None:
    rows = [{"a": "1", "x": v} for v in ("10", "9", "10", "b")]
    assert results("a=1 | stats values(x) as v dc(x) as d first(x) as f last(x) as l list(x) as all", *rows) == [
        {"v": ["10", "9", "b"], "d": 3, "f": "10", "l": "b", "all": ["10", "9", "10", "b"]}
    ]
    assert results('a=1 | stats count(eval(x="10")) as tens max(x) as m by a', *rows) == [
        {"a": "1", "tens": 2, "m": "b"}
    ]
    assert results("a=1 x=1* | stats max(x) as m avg(x) as mean", *rows) == [{"m": "10", "mean": 10.0}]


def test_eventstats_keeps_rows_without_the_group() -> None:
    rows = [{"a": "1", "u": "x", "d": "p"}, {"a": "1", "u": "x", "d": "q"}, {"a": "1"}]
    assert results("a=1 | eventstats dc(d) as n by u", *rows) == [
        {"a": "1", "u": "x", "d": "p", "n": 2},
        {"a": "1", "u": "x", "d": "q", "n": 2},
        {"a": "1"},
    ]


def test_sort_is_numeric_where_values_are_and_nulls_come_last() -> None:
    rows = [{"a": "1", "n": n} for n in ("9", "10", "x")] + [{"a": "1"}]
    assert [r.get("n") for r in results("a=1 | sort 0 n", *rows)] == ["9", "10", "x", None]
    assert [r.get("n") for r in results("a=1 | sort 0 - n", *rows)] == ["x", "10", "9", None]


def test_dedup_keeps_the_first_and_drops_rows_without_the_field() -> None:
    rows = [{"a": "1", "k": "x", "n": 1}, {"a": "1", "k": "x", "n": 2}, {"a": "1", "n": 3}]
    assert results("a=1 | dedup k", *rows) == [{"a": "1", "k": "x", "n": 1}]


def test_row_commands() -> None:
    row = {"a": "1", "b": "2", "_time": 1234, "x1": "p"}
    assert results("a=1 | fields b", row) == [{"b": "2", "_time": 1234}]
    assert results("a=1 | fields - b, x*", row) == [{"a": "1", "_time": 1234}]
    assert results("a=1 | table b a", row) == [{"b": "2", "a": "1"}]
    assert results("a=1 | rename b as c | table c", row) == [{"c": "2"}]
    assert results("a=1 | bin span=10m _time | table _time", row) == [{"_time": 1200}]
    assert results("a=1 | fillnull value=none z | table z", row) == [{"z": "none"}]
    assert results("a=1 | where b > 1 | eval b=null() | table a b", row) == [{"a": "1"}]
    assert results("a=1 | head 0", row) == []


def test_tstats_sees_what_is_indexed_and_nothing_else() -> None:
    environment = Environment(events=[{"user": "seen"}], indexed=[{"user": "eve", "qscore": "0.5"}], now=NOW)
    assert run("| tstats count where user=* by user", environment) == [{"user": "eve", "count": 1}]


def test_a_subsearch_becomes_part_of_the_search() -> None:
    rows = [{"a": "1", "u": "x"}, {"a": "2", "u": "x"}, {"a": "1", "u": "y"}]
    assert results("a=1 [ search a=2 | fields u ]", *rows) == [{"a": "1", "u": "x"}]
    assert results("a=1 [ search a=3 | fields u ]", *rows) == []
    assert format_results([]).strip() == "NOT ( )"


def test_a_hook_runs_a_command_of_the_callers() -> None:
    seen: list[str] = []

    def qscore(arguments: str, rows: Any) -> Any:
        seen.append(arguments)
        return [{**row, "qscore": "0.5"} for row in rows]

    rows = results("a=1 | qscore model=lateral write=true | where qscore > 0.1", {"a": "1"}, hooks={"qscore": qscore})
    assert rows == [{"a": "1", "qscore": "0.5"}]
    assert seen == ["model=lateral write=true"]


MACROS = parse_conf("[m]\ndefinition = a=1\n[n(1)]\nargs = x\ndefinition = u=$x$ `m`\n[r]\ndefinition = `r`\n")


def test_macros_and_comments() -> None:
    rows = [{"a": "1", "u": "x"}, {"a": "1", "u": "y"}]
    assert results("`n(x)` ```a comment | with a pipe``` | fields u", *rows, macros=MACROS) == [{"u": "x"}]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a=1 | statz count", "statz"),
        ("a=1 | | head", "no command"),
        ("a=1 | head |", "no command"),
        ("", "empty"),
        ("a=1 `nope`", "no macro nope"),
        ("a=1 `m(1)`", "no macro m\\(1\\)"),
        ("a=1 `m", "backtick"),
        ("a=1 `r`", "circle"),
        ('a="1', "quote"),
        ("a=1 | eval x=(1", "missing"),
        ("a=1 [ search b=1", "missing"),
        ("a=1 | tstats count where a=1", "first"),
        ("| stats count", "first"),
        ("| tstats count from datamodel=X where a=1", "subset"),
        ("a=1 | stats maxx(a) as b", "maxx"),
        ("a=1 | stats by a", "aggregates nothing"),
        ("a=1 | stats count by", "names no field"),
        ("a=1 | stats count as", "as"),
        ("a=1 | stats sum as x", "needs a field"),
        ("a=1 | stats count(eval(a=1))", "needs `as`"),
        ("a=1 | stats count as a by a", "twice"),
        ("a=1 | where", "needs"),
        ("a=1 | eval a>=1", "field=expression"),
        ("a=1 | rename a", "a as b"),
        ("a=1 | sort num(a)", "subset"),
        ("a=1 | dedup a sortby -b", "subset"),
        ("a=1 | bin _time", "subset"),
        ("a=1 | lookup x y", "lookup"),
        ("a=1 | head x", "subset"),
        ("(" * 3000 + "a=1" + ")" * 3000, "too deeply"),
    ],
)
def test_what_is_wrong_or_unknown_is_refused_before_anything_runs(source: str, says: str) -> None:
    with pytest.raises(SplError, match=says):
        compile_pipeline(source, Environment(macros=MACROS))


def test_a_boolean_cannot_be_assigned() -> None:
    with pytest.raises(SplError, match="boolean"):
        results("a=1 | eval x=(1=1)", {"a": "1"})


@given(st.text(max_size=60))
def test_any_text_is_compiled_or_refused(source: str) -> None:
    try:
        compile_pipeline(source, Environment(macros=MACROS))
    except SplError:
        return


@given(st.text(alphabet="ab1 =()\"'.,+-*/<>!ORNTAD|`[]", max_size=40))
def test_spl_like_text_is_compiled_or_refused(source: str) -> None:
    for attempt in (source, f"a=1 | eval x={source}", f"a=1 | stats {source}", f"a=1 | where {source}"):
        try:
            run(attempt, Environment(events=[{"a": "1"}], macros=MACROS))
        except SplError:
            continue
