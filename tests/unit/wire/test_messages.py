from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.wire import errors
from scorer.wire.card import ModelCard
from scorer.wire.names import check_model_name, check_version
from scorer.wire.options import ScoreOptions, parse_bool

CARD = {
    "name": "lateral",
    "version": "1-starter",
    "family": "svc",
    "title": "t",
    "trained_on": "generated rows",
    "serve": "quantum",
    "grain": "window",
    "macro": "m",
    "starter": True,
    "required_fields": ["events"],
    "context_fields": ["_time"],
    "threshold": 0.5,
    "fpr": 0.01,
    "details": {},
}


@pytest.mark.parametrize("name", ["../etc/passwd", "a/b", "", "Lateral", "lateral\n", "a" * 65, "läteral", "a b", ".."])
def test_a_model_name_with_anything_but_its_alphabet_is_unknown(name: str) -> None:
    with pytest.raises(errors.UnknownModel, match="cannot be a model's name"):
        check_model_name(name)


@pytest.mark.parametrize("version", ["../1", "1.0", "starter", "1-starters", "", "1\n", "latest"])
def test_a_version_that_is_neither_number_nor_alias_is_unknown(version: str) -> None:
    with pytest.raises(errors.UnknownModel, match="cannot be a version"):
        check_version(version)


@given(
    version=st.sampled_from(["live", "shadow", "1", "12-starter"]),
    threshold=st.none() | st.floats(0, 1),
    explain=st.sampled_from(["alerts", "all", "none"]),
    write=st.booleans(),
)
def test_options_survive_the_query_string(version: str, threshold: float | None, explain: str, write: bool) -> None:
    options = ScoreOptions(version, threshold, explain, write)
    assert ScoreOptions.parse(options.to_query()) == options


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"threshold": "2"}, "threshold=2"),
        ({"threshold": "nan"}, "threshold=nan"),
        ({"threshold": "high"}, "threshold=high"),
        ({"explain": "maybe"}, "explain=maybe"),
        ({"write": "si"}, "write=si"),
        ({"model": "x"}, "model"),
    ],
)
def test_a_bad_option_is_named_with_its_value(raw: dict[str, str], named: str) -> None:
    with pytest.raises(errors.BadOption, match=named):
        ScoreOptions.parse(raw)


def test_booleans_are_splunks() -> None:
    assert parse_bool("write", "T") is True
    assert parse_bool("write", "0") is False


def test_a_card_survives_json() -> None:
    card = ModelCard.from_dict(CARD)
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


@pytest.mark.parametrize("key", sorted(CARD))
def test_a_card_with_a_wrong_field_names_it(key: str) -> None:
    with pytest.raises(errors.NonsenseReply, match=key):
        ModelCard.from_dict({**CARD, key: None})


def test_a_card_with_an_endless_number_names_it() -> None:
    with pytest.raises(errors.NonsenseReply, match="threshold"):
        ModelCard.from_dict({**CARD, "threshold": 10**400})


def test_a_problem_comes_back_as_the_error_it_stands_for() -> None:
    sent = errors.QueueFull("64 batches wait", "Try again.")
    got = errors.Problem.from_dict(json.loads(errors.Problem.of(sent).to_json())).error()
    assert (type(got), got.sentence(), got.status, got.retryable) == (
        errors.QueueFull,
        "64 batches wait. Try again.",
        429,
        True,
    )


def test_a_problem_says_when_to_come_again() -> None:
    sent = errors.OverLimit("48 batches", "Wait.")
    assert "retry_after" not in errors.Problem.of(sent).to_dict()
    sent.retry_after = 0.25
    got = errors.Problem.from_dict(json.loads(errors.Problem.of(sent).to_json())).error()
    assert (type(got), got.retry_after) == (errors.OverLimit, 0.25)


@pytest.mark.parametrize("pause", [None, "1", True, -1, 1e9, math.nan, math.inf, [2]])
def test_a_pause_that_is_none_is_passed_over(pause: object) -> None:
    raw = {"code": "queue_full", "retry_after": pause}
    assert errors.Problem.from_dict(raw).error().retry_after is None


@pytest.mark.parametrize("raw", [None, [], {}, {"code": 3}, "code"])
def test_a_problem_without_a_code_is_nonsense(raw: object) -> None:
    with pytest.raises(errors.NonsenseReply):
        errors.Problem.from_dict(raw)


def test_a_sentence_is_one_line() -> None:
    assert errors.BadInput("two\nlines", "do\n this").sentence() == "two lines. do this"


RECIPE = {"row": {"grain": "window", "keys": ["src"], "span": 600}}


def test_a_card_of_0_1_0_says_in_its_details_what_has_fields_today() -> None:
    old = {**CARD, "details": {"qubits": 14, "mitre": ["T1021"], "recipe": RECIPE}}
    card = ModelCard.from_dict(old)
    assert (card.qubits, card.span, card.mitre, card.recipe) == (14, 600.0, ("T1021",), RECIPE)
    assert ModelCard.from_dict({**old, "grain": "event"}).span is None
    bare = ModelCard.from_dict(CARD)
    assert (bare.qubits, bare.span, bare.mitre, bare.recipe) == (0, None, (), None)


def test_a_cards_own_fields_come_before_its_details() -> None:
    told: dict[str, object] = {"qubits": 3, "span": None, "mitre": []}
    card = ModelCard.from_dict({**CARD, "details": {"qubits": 14, "mitre": ["T1021"], "recipe": RECIPE}, **told})
    assert (card.qubits, card.span, card.mitre) == (3, None, ())
    assert ModelCard.from_dict(json.loads(json.dumps(card.to_dict()))) == card


@pytest.mark.parametrize(
    ("part", "value"),
    [("qubits", "3"), ("qubits", True), ("qubits", -1), ("span", "600"), ("span", 0), ("span", 1e999), ("mitre", "T1")],
)
def test_a_card_whose_later_fields_are_wrong_is_nonsense(part: str, value: object) -> None:
    for raw in ({**CARD, part: value}, {**CARD, "details": {"qubits": 2, part: value, "recipe": RECIPE}}):
        if part == "span":
            raw["details"] = {"recipe": {"row": {"span": value}}}
        with pytest.raises(errors.NonsenseReply, match=f"the model card's {part}"):
            ModelCard.from_dict(raw)
