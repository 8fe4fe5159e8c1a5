"""The command's options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.wire.errors import BadOption, QScoreError, UnknownModel
from scorer.wire.options import ScoreOptions
from splunk_app.options import CommandOptions, check_fields, own_names, parse_fields


def test_defaults() -> None:
    options = CommandOptions.parse(["model=lateral"])
    assert options == CommandOptions("lateral", ScoreOptions(), {}, 30.0)


def test_every_option() -> None:
    options = CommandOptions.parse(
        [
            "model=lateral",
            "version=3",
            "threshold=0.8",
            "explain=all",
            "write=t",
            "timeout=5",
            "fields=n=logons 'Failed Logons'=failures",
        ]
    )
    assert options.score == ScoreOptions(version="3", threshold=0.8, explain="all", write=True)
    assert options.timeout == 5.0
    assert options.fields == {"logons": "n", "failures": "Failed Logons"}


def test_quotes_that_splunkd_left_on_a_value_are_taken_off() -> None:
    assert CommandOptions.parse(['model="lateral"']).model == "lateral"


@pytest.mark.parametrize(
    ("args", "error", "sentence"),
    [
        ([], BadOption, "model is missing. Write | qscore model=lateral."),
        (["lateral"], BadOption, "lateral is not an option. Write name=value"),
        (["model=lateral", "batch=5"], BadOption, "unknown option batch=. Known options are model, version"),
        (["model=a", "model=b"], BadOption, "model is given twice"),
        (["model=../../etc/passwd"], UnknownModel, "cannot be a model's name"),
        (["model=Lateral"], UnknownModel, "cannot be a model's name"),
        (["model="], UnknownModel, "cannot be a model's name"),
        (["model=lateral", "version=newest"], UnknownModel, "'newest' cannot be a version"),
        (["model=lateral", "threshold=80"], BadOption, "threshold=80 is not a probability"),
        (["model=lateral", "threshold=nan"], BadOption, "threshold=nan"),
        (["model=lateral", "explain=maybe"], BadOption, "explain=maybe"),
        (["model=lateral", "write=perhaps"], BadOption, "write=perhaps"),
        (["model=lateral", "timeout=0"], BadOption, "timeout=0 is not possible. Give seconds from 1 to 300"),
        (["model=lateral", "timeout=inf"], BadOption, "timeout=inf"),
        (["model=lateral", "timeout=soon"], BadOption, "timeout=soon"),
        (["model=lateral", "fields=logons"], BadOption, "fields= cannot be read at 'logons'"),
        (["model=lateral", "fields=a=x b=x"], BadOption, "names x twice"),
        ("model=lateral", BadOption, "no list of options"),
        ([1], BadOption, "no list of options"),
        (None, BadOption, "no list of options"),
    ],
)
def test_bad_options_say_what_to_write(args: Any, error: type[QScoreError], sentence: str) -> None:
    with pytest.raises(error) as caught:
        CommandOptions.parse(args)
    assert sentence in caught.value.sentence()


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("", {}),
        ("a=x", {"x": "a"}),
        ("  a = x ,b=y", {"x": "a", "y": "b"}),
        ("'a b'=x c=y", {"x": "a b", "y": "c"}),
        ("'a=b,c'=x", {"x": "a=b,c"}),
        ("id.orig_h=x", {"x": "id.orig_h"}),
        ("a=x a=y", {"x": "a", "y": "a"}),
    ],
)
def test_fields(text: str, mapping: dict[str, str]) -> None:
    assert parse_fields(text) == mapping


@given(st.text(max_size=60))
def test_any_fields_text_is_a_mapping_or_one_sentence(text: str) -> None:
    sentence = ""
    try:
        mapping = parse_fields(text)
    except BadOption as error:
        mapping, sentence = {}, error.sentence()
    assert "\n" not in sentence
    assert all(feature and own for feature, own in mapping.items())


def test_an_unknown_feature_names_the_models_columns() -> None:
    with pytest.raises(BadOption) as caught:
        check_fields({"logon": "n"}, "lateral", ("logons", "failures"))
    assert caught.value.sentence() == (
        "fields= names logon, which model lateral does not have. Its columns are logons, failures."
    )


def test_own_names_stand_in_the_models_order_and_once() -> None:
    assert own_names({"b": "n", "c": "n"}, ("a", "b", "c")) == ("a", "n")
