"""Parameters of a feature map from words on a command line."""

from __future__ import annotations

import pytest

from scorer.cli.training_options import map_parameters
from scorer.wire.errors import BadTrainingData


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["layers=3", "again=false"], {"layers": 3, "again": False}),
        (["paulis=Z,YY", "alpha=1.5"], {"paulis": ["Z", "YY"], "alpha": 1.5}),
        ([], {}),
    ],
)
def test_parameters_of_a_map_are_read(words: list[str], expected: dict[str, object]) -> None:
    assert map_parameters(words, None, None) == expected
    assert map_parameters(words, "linear", 3) == expected | {"entanglement": "linear", "reps": 3}


@pytest.mark.parametrize(("word", "message"), [("layers", "not name=value"), ("a b=1", "not name=value")])
def test_words_that_are_no_parameters_are_named(word: str, message: str) -> None:
    with pytest.raises(BadTrainingData, match=message):
        map_parameters([word], None, None)
    with pytest.raises(BadTrainingData, match="bandwidth is searched"):
        map_parameters(["bandwidth=1"], None, None)
