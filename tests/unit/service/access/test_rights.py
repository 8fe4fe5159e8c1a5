"""Scopes and what they are bound to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.elastic_client.settings import ElasticSettings
from scorer.service.access.rights import SCOPES, Bound, Rights, Target, new_rights, write_target
from scorer.service.settings import HecSettings, Settings
from scorer.wire.errors import BadOption, Forbidden, UnknownModel

NAMES = ("a", "b", "c")
bounds: st.SearchStrategy[Bound] = st.none() | st.sets(st.sampled_from(NAMES)).map(lambda found: tuple(sorted(found)))
rights = st.builds(Rights, st.sets(st.sampled_from(sorted(SCOPES))).map(tuple), bounds, bounds, bounds)


def allowed(found: Rights) -> set[tuple[str, str]]:
    """Everything that these rights allow."""
    names = {("scope", scope) for scope in found.scopes} | {("model", name) for name in NAMES if found.covers(name)}
    for target in (*(Target("index", name) for name in NAMES), *(Target("namespace", name) for name in NAMES)):
        try:
            found.check_target("key x", target)
        except Forbidden:
            continue
        names.add((target.kind, target.name))
    return names


@given(rights, rights)
def test_rights_within_others_allow_what_both_allow(one: Rights, other: Rights) -> None:
    both = allowed(one.within(other))
    assert {what for what in both if what[0] in ("scope", "model")} == {
        what for what in allowed(one) & allowed(other) if what[0] in ("scope", "model")
    }
    assert both <= allowed(one) & allowed(other)


def test_names_that_have_nothing_in_common_leave_nothing_not_everything() -> None:
    left = Rights(("score",), models=("a",)).within(Rights(("score",), models=("b",)))
    assert not left.covers("a")
    assert not left.covers("b")


def test_each_refusal_names_its_binding() -> None:
    bound = Rights(("read",), ("lateral",), ("soc",), ("lab",))
    with pytest.raises(Forbidden, match="key x may not score batches"):
        bound.check_scope("key x", "score")
    with pytest.raises(Forbidden, match="key x is bound to the models lateral, not 'other'"):
        bound.check_model("key x", "other")
    with pytest.raises(Forbidden, match="bound to index soc and namespace lab, and this gateway writes to index main"):
        bound.check_target("key x", Target("index", "main"))
    with pytest.raises(Forbidden, match="its collector's token says"):
        bound.check_target("key x", Target("index", ""))
    with pytest.raises(Forbidden, match="writes to a file"):
        bound.check_target("key x", Target("file", ""))


def test_who_is_bound_to_one_kind_of_sink_writes_to_no_other() -> None:
    with pytest.raises(Forbidden):
        Rights(("write",), indexes=("main",)).check_target("key x", Target("namespace", "main"))
    Rights(("write",)).check_target("key x", Target("namespace", "main"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(home=Path("h"), sink="hec", hec=HecSettings(index="soc")), Target("index", "soc")),
        (
            Settings(home=Path("h"), sink="elastic", elastic=ElasticSettings(namespace="lab")),
            Target("namespace", "lab"),
        ),
        (Settings(home=Path("h"), sink="file"), Target("file", "")),
    ],
)
def test_where_a_gateway_writes(settings: Settings, expected: Target) -> None:
    assert write_target(settings) == expected


def test_rights_that_cannot_be_are_named() -> None:
    for scopes in ([], ["admin"], ["read", "\x1b[31m"]):
        with pytest.raises(BadOption, match="does not exist"):
            new_rights(scopes)
    with pytest.raises(UnknownModel):
        new_rights(["read"], models=["../etc"])
    for name in ("", "a\nb", "x" * 200):
        with pytest.raises(BadOption, match="cannot be an index or a namespace"):
            new_rights(["write"], indexes=[name])
