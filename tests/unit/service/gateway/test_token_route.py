"""``POST /v1/token`` over HTTP: what comes back, what it opens, and the lines that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from scorer.chain import Entry
from scorer.service.access.api_keys import ApiKey, KeyFile, Terms
from scorer.service.access.audit import record
from scorer.service.access.door.tokens import MOST_BODY
from scorer.service.gateway.app import Gateway, application_of
from scorer.service.gateway.front.gate import ENVIRON_PERMIT, Peer, RequestHead
from scorer.service.settings import GatewaySettings, LimitSettings, Settings
from tests.unit.service.access.local_issuer import LocalIssuer, local_issuer

SCORE = "/v1/models/lateral/score"
CSV = {"Content-Type": "text/csv", "X-QScore-Rows": "0"}


@pytest.fixture
def keys(settings: Settings) -> KeyFile:
    return KeyFile(settings.api_keys)


@pytest.fixture
def gateway(settings: Settings, application: Callable[..., Flask]) -> FlaskClient:
    return application(settings).test_client()


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[LocalIssuer]:
    with local_issuer(tmp_path) as running:
        yield running


def with_people(settings: Settings, issuer: LocalIssuer) -> Settings:
    """Settings of a gateway that takes the tokens of this provider."""
    return settings.model_copy(update={"gateway": GatewaySettings(oidc=issuer.settings())})


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def exchange(gateway: FlaskClient, secret: str, asked: dict[str, Any] | None = None) -> TestResponse:
    return gateway.post("/v1/token", json=asked or {}, headers=bearer(secret))


def code(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json(force=True)["code"]


def scored(gateway: FlaskClient, secret: str, path: str = SCORE) -> TestResponse:
    return gateway.post(path, headers=CSV | bearer(secret), environ_overrides={"CONTENT_LENGTH": "0"})


def test_a_key_is_exchanged_and_the_token_opens_what_was_asked_for(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["read", "score"])
    answer = exchange(gateway, secret, {"scopes": ["score"], "models": ["lateral"], "ttl": 300})
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.get_json()
    token = said.pop("access_token")
    assert 290 <= said.pop("expires_in") <= 300
    assert said == {
        "token_type": "Bearer",
        "key_id": key.id,
        "scopes": ["score"],
        "models": ["lateral"],
        "indexes": None,
        "elastic_namespaces": None,
    }
    assert scored(gateway, token).status_code == 200
    assert code(gateway.get("/v1/models", headers=bearer(token))) == (403, "forbidden")
    assert code(scored(gateway, token, "/v1/models/other/score")) == (403, "forbidden")
    keys.revoke(key.id)
    assert code(scored(gateway, token)) == (401, "unauthorised")


def test_what_is_not_exchanged(gateway: FlaskClient, keys: KeyFile) -> None:
    secret = keys.add(["read"])[1]
    token = exchange(gateway, secret).get_json()["access_token"]
    assert code(exchange(gateway, token)) == (403, "forbidden")
    assert code(exchange(gateway, secret, {"scopes": ["write"]})) == (403, "forbidden")
    assert code(exchange(gateway, secret, {"ttl": 3600})) == (400, "bad_option")
    assert code(exchange(gateway, "qsk_nobody")) == (401, "unauthorised")
    assert code(exchange(gateway, "eyJhbGciOiJub25lIn0.e30.")) == (401, "unauthorised")
    assert code(gateway.post("/v1/token")) == (401, "unauthorised")
    heavy = {"CONTENT_LENGTH": str(MOST_BODY + 1)}
    answer = gateway.post("/v1/token", headers=bearer(secret), data=b"{}", environ_overrides=heavy)
    assert code(answer) == (413, "body_too_large")
    assert code(gateway.post("/v1/token", headers=bearer(secret), data=b"[" * 8000)) == (400, "malformed_body")


def test_too_many_tokens_are_a_429_with_a_pause(
    settings: Settings, keys: KeyFile, application: Callable[..., Flask]
) -> None:
    few = settings.model_copy(update={"gateway": GatewaySettings(tokens_per_key=1)})
    gateway, secret = application(few).test_client(), keys.add(["read"])[1]
    assert exchange(gateway, secret).status_code == 200
    refused = exchange(gateway, secret)
    assert code(refused) == (429, "too_many_tokens")
    assert int(refused.headers["Retry-After"]) > 0


def test_exchanges_count_among_the_requests_of_a_key(
    settings: Settings, keys: KeyFile, application: Callable[..., Flask]
) -> None:
    few = LimitSettings(requests_per_minute=2)
    gateway = application(settings.model_copy(update={"gateway": GatewaySettings(limits=few)})).test_client()
    (key, secret), other = keys.add(["read"]), keys.add(["read"])[1]
    assert [exchange(gateway, secret).status_code for _ in range(2)] == [200, 200]
    refused = exchange(gateway, secret)
    assert code(refused) == (429, "over_limit")
    assert f"key {key.id} made more than 2 requests a minute" in refused.get_json(force=True)["detail"]
    assert exchange(gateway, other).status_code == 200


def test_lines_say_whose_token_it_was_and_never_the_token(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["read"])
    with capture_logs() as said:
        token = exchange(gateway, secret).get_json()["access_token"]
        gateway.get("/v1/models", headers=bearer(token))
        exchange(gateway, token)
    found = [(line["endpoint"], line["key_id"], line["how"], line["scope"], line["decision"]) for line in said]
    assert found == [
        ("token", key.id, "key", "token", "served"),
        ("models", key.id, "token", "read", "served"),
        ("token", key.id, "token", "token", "refused"),
    ]
    assert token not in str(said)
    assert secret not in str(said)


def test_an_ended_key_is_named_at_the_exchange_too(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["read"], terms=Terms(expires=1.0))
    with capture_logs() as said:
        assert code(exchange(gateway, secret)) == (401, "unauthorised")
    assert [line["key_id"] for line in said if line["event"] == "request"] == [key.id]


def test_people_exchange_their_provider_s_token(
    settings: Settings, keys: KeyFile, issuer: LocalIssuer, application: Callable[..., Flask]
) -> None:
    gateway = application(with_people(settings, issuer)).test_client()
    group: ApiKey = keys.add(["read", "score"], terms=Terms(claim="groups=soc"))[0]
    keys.add(["read", "write"], terms=Terms(claim="groups=admins"))
    id_token = issuer.token()
    assert code(gateway.get("/v1/models", headers=bearer(id_token))) == (401, "unauthorised")
    assert code(exchange(gateway, id_token, {"scopes": ["write"]})) == (403, "forbidden")
    assert code(exchange(gateway, issuer.token(groups=["others"]))) == (403, "forbidden")
    with capture_logs() as said:
        token = exchange(gateway, id_token).get_json()["access_token"]
        assert gateway.get("/v1/models", headers=bearer(token)).status_code == 200
    assert [(line["key_id"], line["how"], line["subject"]) for line in said if line["event"] == "request"] == [
        (group.id, "person", "eve"),
        (group.id, "token", "eve"),
    ]
    assert id_token not in str(said)
    both = issuer.token(groups=["soc", "admins"])
    assert exchange(gateway, both, {"scopes": ["write"]}).status_code == 200
    keys.revoke(group.id)
    assert code(gateway.get("/v1/models", headers=bearer(token))) == (401, "unauthorised")


def test_of_several_lines_an_ended_one_hides_no_living_one(
    settings: Settings, keys: KeyFile, issuer: LocalIssuer, application: Callable[..., Flask]
) -> None:
    gateway = application(with_people(settings, issuer)).test_client()
    ended = keys.add(["read"], terms=Terms(claim="groups=soc", expires=1.0))[0]
    answer = exchange(gateway, issuer.token())
    assert code(answer) == (401, "unauthorised")
    assert f"key {ended.id} expired" in answer.get_json(force=True)["detail"]
    living = keys.add(["read"], terms=Terms(claim="groups=staff"))[0]
    assert exchange(gateway, issuer.token()).get_json()["key_id"] == living.id


def test_the_audit_record_holds_tokens_and_ended_keys_once_a_day(
    settings: Settings, keys: KeyFile, gateway: FlaskClient
) -> None:
    key, secret = keys.add(["read"])
    ended, old = keys.add(["read"], terms=Terms(expires=1.0))
    token = exchange(gateway, secret, {"models": ["lateral"]}).get_json()["access_token"]
    for _ in range(3):
        gateway.get("/v1/models", headers=bearer(old))
        gateway.get("/v1/models", headers=bearer(token))
    entries = [entry.content for entry in record(settings).entries() if isinstance(entry, Entry)]
    assert [(entry["event"], entry["by"]["key"]) for entry in entries] == [
        ("token_issued", key.id),
        ("key_expired", ended.id),
    ]
    assert entries[0]["facts"]["bound"] == "models lateral"
    assert token not in str(entries)


def test_a_key_that_is_revoked_while_its_body_comes_scores_nothing(settings: Settings, keys: KeyFile) -> None:
    key, secret = keys.add(["score"])
    headers = {name.lower(): text for name, text in (CSV | bearer(secret)).items()}
    head = RequestHead("POST", SCORE, "", headers, Peer("192.0.2.1", 1), 0)
    with closing(Gateway.of(settings)) as gateway:
        client = application_of(gateway).test_client()
        permit = gateway.checks.reserved(gateway.checks.score(head, "lateral"))
        assert client.post(SCORE, headers=CSV, environ_overrides={ENVIRON_PERMIT: permit}).status_code == 200
        keys.revoke(key.id)
        answer = client.post(SCORE, headers=CSV, environ_overrides={ENVIRON_PERMIT: permit})
    assert code(answer) == (401, "unauthorised")
    assert f"key {key.id} was revoked" in answer.get_json(force=True)["detail"]
