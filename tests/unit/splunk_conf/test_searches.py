"""The shipped searches, run by the SPL subset over what the HEC writer produces."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from pygments.lexers import get_lexer_by_name

from scorer.rows.recipe import load_recipe, recipe_names
from scorer.splunk_preview.conf import read_conf
from scorer.splunk_preview.environment import Environment, hec_rows
from scorer.splunk_preview.language.text import expand
from scorer.splunk_preview.notable import SplunkApp, fill, preview
from scorer.splunk_preview.pipeline import compile_pipeline, run
from scorer.wire.names import OUTPUT_COLUMNS
from tests.unit.delivery.builders import INDEXED_FIELDS, events_of, make_rows, objects_of, rows_from

NOW = 1_700_010_000.0


@pytest.fixture(scope="module")
def app(repository: Path) -> SplunkApp:
    return SplunkApp.read(repository)


def hooks() -> dict[str, Any]:
    return {"qscore": lambda _arguments, rows: rows}


def unknown_names(source: str) -> list[str]:
    """Commands and functions that an independent list of SPL's names does not have."""
    tokens = [(str(kind), text) for kind, text in get_lexer_by_name("spl").get_tokens(source) if text.strip()]
    wrong = []
    for before, (kind, text) in zip([("", ""), *tokens], tokens, strict=False):
        if before[1] == "|" and not kind.startswith("Token.Keyword") and text != "qscore":
            wrong.append(f"command {text}: {kind}")
    for (kind, text), after in itertools.pairwise(tokens):
        if after[1].startswith("(") and kind == "Token.Name":
            wrong.append(f"function {text}")
    return wrong


def test_every_search_and_macro_compiles_and_names_only_what_splunk_has(app: SplunkApp) -> None:
    environment = Environment(macros=app.macros, hooks=hooks(), now=NOW)
    sources = {name: stanza["search"] for name, stanza in app.searches.items()}
    for name in app.macros:
        if name.endswith(("_rows", "_events", "_dedup", "_windows", "_fields")):
            sources[name] = f"index=main | `{name}`"
        elif name.endswith(("_index", "_source")):
            sources[name] = f"`{name}`"
    assert len(sources) >= 12
    for name, source in sources.items():
        assert compile_pipeline(source, environment), name
        assert unknown_names(expand(source, app.macros)) == [], name


def test_the_name_check_can_fail() -> None:
    assert unknown_names("index=a | statz count")
    assert unknown_names("index=a | eval x=iff(a, 1, 2)")


def test_drilldowns_compile(app: SplunkApp) -> None:
    found = [stanza.get("action.notable.param.drilldown_search") for stanza in app.searches.values()]
    drilldowns = [drilldown for drilldown in found if drilldown]
    assert drilldowns
    for drilldown in drilldowns:
        filled = fill(drilldown, {"qscore_model": "lateral", "src": "10.0.0.1", "dest": "srv"})
        assert compile_pipeline(filled, Environment(macros=app.macros))


def test_nothing_is_switched_on_as_shipped(app: SplunkApp) -> None:
    assert {stanza["disabled"] for stanza in app.searches.values()} == {"1"}


def test_every_recipe_has_its_macros(app: SplunkApp) -> None:
    assert {"lateral", "lateral_flow"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert {recipe.macro, recipe.macro_event, f"qscore_{name}_source"} <= set(app.macros)


def test_fields_conf_declares_every_field_that_is_written_and_no_other(repository: Path) -> None:
    stanzas = read_conf(repository / "default" / "fields.conf")
    declared = {name.rpartition("::")[2] for name in stanzas}
    assert declared == set(INDEXED_FIELDS)
    assert all(stanza == {"INDEXED": "true"} for stanza in stanzas.values())
    # A name that other data has is declared for our sourcetype alone.
    assert {n for n in stanzas if not n.startswith("sourcetype::qscore:score::")} == {
        n for n in INDEXED_FIELDS if n.startswith("qscore")
    }


def test_every_output_column_but_the_status_is_written() -> None:
    assert set(OUTPUT_COLUMNS) - {"qscore_status"} <= set(INDEXED_FIELDS)


def test_the_rule_and_its_tokens_name_only_fields_that_exist(app: SplunkApp) -> None:
    row = {**preview(app, events_of(make_rows(2)), NOW)[0].row}
    stanza = app.searches[app.rule()]
    texts = [value for key, value in stanza.items() if key.startswith("action.") and "$" in value]
    tokens = {token for text in texts for token in text.split("$")[1::2]}
    assert tokens
    assert tokens - {"caveat", "qscore_reason"} <= set(row)
    for field in stanza["alert.suppress.fields"].split(","):
        assert field in row


def test_only_alerts_become_notables_and_each_once(app: SplunkApp) -> None:
    events = events_of(make_rows(4))  # rows 1 and 3 alert
    notables = preview(app, [*events, *events], NOW)
    assert [n.entities["dest"] for n in notables] == ["srv03", "srv01"]
    assert [n.row["windows"] for n in notables] == [1, 1]


def test_a_notable_has_its_tokens_filled_in(app: SplunkApp) -> None:
    notable = preview(app, events_of(make_rows(2)), NOW)[0]
    assert notable.title == "Lateral movement: user1 from 10.0.0.1 to srv01 (risk 80)"
    assert "probability of 0.1100 (classical twin: 0.2500, p-value: 0.01000)" in notable.description
    assert "starter trained on generated activity" in notable.description
    assert "$" not in notable.description + notable.drilldown_search + notable.next_steps + notable.risk_message
    assert notable.mitre == ("T1021",)
    assert (notable.severity, notable.security_domain) == ("high", "network")
    assert [(r.kind, r.name, r.score) for r in notable.risk] == [
        ("user", "user1", 50),
        ("system", "10.0.0.1", 40),
        ("system", "srv01", 20),
    ]
    assert notable.time == 1_700_001_000.0


def test_a_connection_without_a_user_still_raises_a_notable(app: SplunkApp) -> None:
    rows = objects_of(make_rows(2, user=["", ""], port_class=["admin", "admin"]))
    flows = rows_from(*({**row, "model": "lateral_flow", "starter": False} for row in rows))
    notable = preview(app, events_of(flows), NOW)[0]
    assert notable.entities["user"] == "unknown"
    assert [r.kind for r in notable.risk] == ["system", "system"]
    assert "generated activity" not in notable.description


def test_scores_of_another_sourcetype_or_index_raise_nothing(app: SplunkApp) -> None:
    events = events_of(make_rows(4))
    for event in events:
        event["index"] = "elsewhere"
    assert preview(app, events, NOW) == []


def test_tstats_over_the_written_fields(app: SplunkApp) -> None:
    full, indexed = hec_rows(events_of(make_rows(4)), NOW - 1)
    environment = Environment(full, indexed, app.macros, now=NOW)
    rows = run("| tstats max(qscore) as q count where `qscore_index` by dest qscore_alert", environment)
    assert [(row["dest"], row["q"], row["qscore_alert"]) for row in rows] == [
        ("srv00", "0.1000", "0"),
        ("srv01", "0.1100", "1"),
        ("srv02", "0.1200", "0"),
        ("srv03", "0.1300", "1"),
    ]


def late_events(count: int, seed: int) -> list[dict[str, Any]]:
    """Authentication events of an hour, most indexed within seconds, some up to half an hour late."""
    draw = random.Random(seed)  # noqa: S311 (data for a test)
    events = []
    for number in range(count):
        time = 1_700_000_000 + draw.randrange(3600)
        delay = draw.choice([1, 2, 5, 30, 90, 200, 700, 1800])
        events.append(
            {
                "_time": time,
                "_indextime": time + delay,
                "index": "main",
                "tag": "authentication",
                "user": f"u{draw.randrange(3)}",
                "src": f"s{draw.randrange(2)}",
                "dest": f"d{draw.randrange(4)}",
                "EventCode": "4624",
                "number": number,
            }
        )
    return events


@pytest.mark.parametrize("seed", range(3))
def test_scheduled_runs_miss_nothing_and_their_last_word_counts_windows_whole(app: SplunkApp, seed: int) -> None:
    events = late_events(250, seed)
    search = app.searches["QScore - Lateral - Score"]["search"]
    last: dict[tuple[Any, ...], Any] = {}
    written: dict[tuple[Any, ...], int] = defaultdict(int)
    first_run = (1_700_000_000 // 600) * 600 + 120
    for now in range(first_run, first_run + 3600 + 3600, 600):
        arrived = [event for event in events if event["_indextime"] <= now]
        environment = Environment(arrived, (), app.macros, hooks(), float(now))
        for row in run(search, environment):
            key = (row["_time"], row["user"], row["src"], row["dest"])
            assert isinstance(row["_time"], int | float)
            assert row["_time"] + 600 <= now, "an open window was scored"
            last[key] = (row["events"], row["dests_of_source"])
            written[key] += 1
    whole = run("index=main | `qscore_lateral_rows`", Environment(events, (), app.macros, now=NOW))
    expected = {(r["_time"], r["user"], r["src"], r["dest"]): (r["events"], r["dests_of_source"]) for r in whole}
    assert last == expected
    assert max(written.values()) > 1  # late events made a window be scored again
