"""What each set of scopes opens, over every route: nothing beside its own, whatever else the request says."""

from __future__ import annotations

import itertools
import json

import pytest

from scorer.service.access.api_keys import KeyFile
from tests.unit.service.gateway.wire.conftest import Answer, Served

SCOPES = ("read", "score", "write")
BODY = b"events\n1\n"
BATCH = {"Content-Type": b"text/csv", "X-QScore-Rows": b"1"}
#: A request, the scopes that it needs, and what it gets with them: no worker lives here, so that a batch gets 503.
REQUESTS: dict[str, tuple[str, bytes, frozenset[str], int]] = {
    "models": ("GET", b"/v1/models", frozenset({"read"}), 200),
    "card": ("GET", b"/v1/models/lateral", frozenset({"read"}), 200),
    "metrics": ("GET", b"/metrics", frozenset({"read"}), 200),
    "description": ("GET", b"/v1/openapi.json", frozenset({"read"}), 200),
    "page": ("GET", b"/docs", frozenset({"read"}), 200),
    "score": ("POST", b"/v1/models/lateral/score", frozenset({"score"}), 503),
    "write": ("POST", b"/v1/models/lateral/score?write=true", frozenset({"score", "write"}), 503),
    "of no model": ("POST", b"/v1/models/absent/score", frozenset({"score"}), 404),
}


def sent(served: Served, name: str, authorization: bytes) -> Answer:
    method, target, _, _ = REQUESTS[name]
    batch = BATCH if method == "POST" else {}
    return served.ask(method, target, batch | {"Authorization": authorization}, BODY if method == "POST" else b"")


SETS = [scopes for count in (1, 2, 3) for scopes in itertools.combinations(SCOPES, count)]


@pytest.mark.parametrize("scopes", SETS, ids="+".join)
def test_a_key_opens_what_its_scopes_say_and_nothing_else(served: Served, scopes: tuple[str, ...]) -> None:
    secret = KeyFile(served.settings.api_keys).add(scopes)[1].encode()
    for name, (_, _, needed, status) in REQUESTS.items():
        answer = sent(served, name, b"Bearer " + secret)
        if needed <= set(scopes):
            assert answer.status == status, (name, answer)
        else:
            assert (answer.status, json.loads(answer.body)["code"]) == (403, "forbidden"), (name, answer)
            missing = sorted(needed - set(scopes))
            assert any(scope in json.loads(answer.body)["detail"] for scope in missing), answer


@pytest.mark.parametrize("name", REQUESTS)
def test_nobody_opens_nothing(served: Served, name: str) -> None:
    for authorization in (b"", b"Bearer qsk_nobody"):
        answer = sent(served, name, authorization)
        assert (answer.status, json.loads(answer.body)["code"]) == (401, "unauthorised")
        assert answer.headers["www-authenticate"].startswith(("Bearer ", "Basic "))


def test_on_a_kept_connection_the_key_counts_at_each_request(served: Served) -> None:
    """The one before, the one that was let in, and the one that was taken back meanwhile."""
    keys = KeyFile(served.settings.api_keys)
    key, secret = keys.add(["read"])
    known, unknown = b"Bearer " + secret.encode(), b"Bearer qsk_nobody"
    answers = [sent(served, "card", authorization).status for authorization in (unknown, known, unknown, known)]
    keys.revoke(key.id)
    answers.append(sent(served, "card", known).status)
    assert answers == [401, 200, 401, 200, 401]
