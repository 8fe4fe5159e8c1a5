from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.splunk_preview.conf import parse_conf, read_conf
from scorer.splunk_preview.errors import ConfError


def test_stanzas_comments_and_continuations() -> None:
    text = "# c\n[a b]\nkey = 1 = 2\nlong = one \\\n  two \\\n# not a comment\n\n[c]\nempty =\n  # indented comment\n"
    assert parse_conf(text) == {"a b": {"key": "1 = 2", "long": "one \n  two \n# not a comment"}, "c": {"empty": ""}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("key = 1", "line 1.*before the first stanza"),
        ("[a]\nkey", "line 2.*key = value"),
        ("[a\n", "no stanza"),
        ("[a]\nk=1\nk=2", "line 3: k stands there twice"),
        ("[a]\n[a]", "twice"),
        ("[a]\nk = 1 \\", "continues"),
        ("[a]\ntwo words = 1", "key = value"),
    ],
)
def test_what_is_not_a_conf_file_is_named_by_line(text: str, says: str) -> None:
    with pytest.raises(ConfError, match=says):
        parse_conf(text)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfError, match=r"macros\.conf"):
        read_conf(tmp_path / "macros.conf")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_conf(text)
    except ConfError:
        return
