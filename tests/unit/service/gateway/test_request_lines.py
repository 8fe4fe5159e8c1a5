"""Each kind of refusal leaves one line that says who, from where, what and why; nothing that a caller made up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from scorer.service.access.api_keys import ApiKey, KeyFile, Terms
from scorer.service.gateway.record.strangers import LINES, SECONDS, Strangers
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.lanes import LANES
from scorer.service.settings import GatewaySettings, HecSettings, Settings
from scorer.wire.names import MAX_BODY_BYTES

SCORE = "/v1/models/lateral/score"
CSV = {"Content-Type": "text/csv", "X-QScore-Rows": "1", "X-QScore-Batch": "batch-0001"}
PEER = "203.0.113.7"
HEAVY = {"CONTENT_LENGTH": str(MAX_BODY_BYTES + 1)}


@pytest.fixture
def keys(settings: Settings) -> KeyFile:
    return KeyFile(settings.api_keys)


@pytest.fixture
def client_with(settings: Settings, application: Callable[..., Flask]) -> Callable[..., FlaskClient]:
    """``client_with(sink="hec")``: a client, at PEER, of a gateway with other settings."""

    def make(**changed: object) -> FlaskClient:
        client = application(settings.model_copy(update=changed)).test_client()
        client.environ_base["REMOTE_ADDR"] = PEER
        return client

    return make


@pytest.fixture
def gateway(client_with: Callable[..., FlaskClient]) -> FlaskClient:
    return client_with()


def lines(
    client: FlaskClient, method: str = "POST", path: str = SCORE, secret: str = "", **more: Any
) -> tuple[int, list[dict[str, Any]]]:
    """One request; its status, and the request lines that it left."""
    headers = CSV | ({"Authorization": f"Bearer {secret}"} if secret else {}) | more.pop("headers", {})
    with capture_logs() as said:
        answer = client.open(path, method=method, headers=headers, data=more.pop("data", b"events\n1\n"), **more)
    found = [dict(line) for line in said if line["event"] == "request"]
    for line in found:
        assert 0.0 <= line.pop("seconds") < 60.0
        assert (line.pop("event"), line.pop("log_level")) == ("request", "info")
    return answer.status_code, found


def line(who: str, status: int, code: str, **more: object) -> dict[str, object]:
    decision = "served" if status < 400 else "refused" if status < 500 else "failed"
    known = {} if who == "-" else {"how": "key"}
    common = {"address": PEER, "endpoint": "score", "scope": "score", "decision": decision}
    return {"key_id": who, **known, **common, "status": status, "code": code, **more}


BATCH = {"batch_id": "batch-0001", "model": "lateral", "version": "live", "rows": 1}


def test_callers_whom_nobody_knows(gateway: FlaskClient) -> None:
    for secret in ("", "qsk_wrong_key"):
        assert lines(gateway, secret=secret) == (401, [line("-", 401, "unauthorised", model="lateral")])


def test_a_revoked_key_is_nobodys(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["score"])
    keys.revoke(key.id)
    assert lines(gateway, secret=secret)[1] == [line("-", 401, "unauthorised", model="lateral")]


def test_an_expired_key_is_named_with_its_remedy(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["score"], terms=Terms(expires=time.time() - 5))
    assert lines(gateway, secret=secret) == (401, [line(key.id, 401, "unauthorised", **BATCH)])
    answer = gateway.post(SCORE, headers=CSV | {"Authorization": f"Bearer {secret}"})
    problem = answer.get_json(force=True)
    assert f"key {key.id} expired at " in problem["detail"]
    assert f"qscore key rotate {key.id}" in problem["remedy"]


def to_index(index: str) -> dict[str, object]:
    """Settings of a gateway that writes there."""
    return {"sink": "hec", "hec": HecSettings(url="https://localhost:8088", index=index)}


def test_each_binding_that_refuses_says_so(client_with: Callable[..., FlaskClient], keys: KeyFile) -> None:
    write = f"{SCORE}?write=true"
    scoped, secret = keys.add(["read"])
    client = client_with(**to_index("other"))
    assert lines(client, secret=secret) == (403, [line(scoped.id, 403, "forbidden", **BATCH)])
    modelled, secret = keys.add(["score"], terms=Terms(models=("lateral_flow",)))
    assert lines(client, secret=secret) == (403, [line(modelled.id, 403, "forbidden", **BATCH)])
    bound, secret = keys.add(["score", "write"], terms=Terms(indexes=("soc",)))
    expected = line(bound.id, 403, "forbidden", **BATCH) | {"scope": "write"}
    assert lines(client, path=write, secret=secret) == (403, [expected])
    answer = client.post(write, headers=CSV | {"Authorization": f"Bearer {secret}"}, data=b"events\n1\n")
    assert "bound to index soc, and this gateway writes to index other" in answer.get_json(force=True)["detail"]
    soc = client_with(**to_index("soc"))
    assert lines(soc, path=write, secret=secret)[0] == 503  # nobody works; the binding let it in


def test_a_key_pushes_onto_acknowledgement_lists_of_its_own_alone(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["score", "write"])
    other = keys.add(["score"])[0]
    for submitter in ("elastic:windows:lateral:7", f"{other.id}:x", key.id, f"x{key.id}:x"):
        headers = CSV | {"Authorization": f"Bearer {secret}", "X-QScore-Submitter": submitter}
        answer = gateway.post(SCORE, headers=headers, data=b"events\n1\n")
        assert (answer.status_code, answer.get_json(force=True)["code"]) == (403, "forbidden"), submitter
    own = {"X-QScore-Submitter": f"{key.id}:nightly"}
    assert lines(gateway, secret=secret, headers=own)[0] == 503  # it is let in, and nobody works


def test_requests_that_are_wrong(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["score", "read"])
    wrong = {"Content-Type": "text/html"}
    assert lines(gateway, secret=secret, headers=wrong)[1] == [line(key.id, 415, "unsupported_media_type", **BATCH)]
    large = {"X-QScore-Rows": "50001"}
    assert lines(gateway, secret=secret, headers=large)[1] == [
        line(key.id, 413, "body_too_large", **BATCH | {"rows": 50001})
    ]
    assert lines(gateway, secret=secret, environ_overrides=HEAVY)[1] == [line(key.id, 413, "body_too_large", **BATCH)]
    assert lines(gateway, path=f"{SCORE}?threshold=9", secret=secret)[1] == [line(key.id, 400, "bad_option", **BATCH)]
    absent = line(key.id, 404, "unknown_model", **{k: v for k, v in BATCH.items() if k != "model"})
    assert lines(gateway, path="/v1/models/absent/score", secret=secret)[1] == [absent]
    nowhere = line("-", 404, "bad_input") | {"endpoint": "none", "scope": "-"}
    assert lines(gateway, "GET", "/nowhere", data=b"")[1] == [nowhere]


def test_batches_that_cannot_be_scored_now(
    settings: Settings, client_with: Callable[..., FlaskClient], keys: KeyFile
) -> None:
    key, secret = keys.add(["score"])
    client = client_with(gateway=GatewaySettings(max_waiting=1))
    pinned = BATCH | {"version": "1-starter"}
    assert lines(client, secret=secret) == (503, [line(key.id, 503, "unavailable", **pinned)])
    Exchange(redis_client(settings, server=FAST)).beat("score", "a worker that takes nothing")
    hasty = {"X-QScore-Timeout": "0.05"}
    assert lines(client, secret=secret, headers=hasty) == (504, [line(key.id, 504, "scoring_timeout", **pinned)])
    redis_client(settings, server=FAST).lpush(LANES.keys["interactive"], b"a batch that waits")
    assert lines(client, secret=secret, headers=hasty) == (429, [line(key.id, 429, "queue_full", **pinned)])


def test_requests_that_are_served(gateway: FlaskClient, keys: KeyFile, settings: Settings) -> None:
    key, secret = keys.add(["score", "read"])
    empty = BATCH | {"version": "1-starter", "rows": 0}
    none: dict[str, Any] = {"headers": {"X-QScore-Rows": "0"}, "environ_overrides": {"CONTENT_LENGTH": "0"}}
    assert lines(gateway, secret=secret, data=b"", **none) == (200, [line(key.id, 200, "ok", **empty)])
    read = line(key.id, 200, "ok", **BATCH) | {"scope": "read"}
    assert lines(gateway, "GET", "/v1/models/lateral", secret, data=b"")[1] == [read | {"endpoint": "model"}]
    assert lines(gateway, "GET", "/metrics", secret, data=b"") == (200, [])
    assert lines(gateway, "GET", "/healthz", data=b"") == (200, [])


def test_lines_hold_nothing_that_a_caller_made_up(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["score"])
    planted = {"X-QScore-Batch": secret, "X-QScore-Submitter": "marker_submitter", "X-Forwarded-For": "192.0.2.66"}
    for known in ("", "qsk_marker", secret):
        _, found = lines(gateway, path="/v1/models/marker_name/score?version=marker", secret=known, headers=planted)
        assert len(found) == 1
        assert "marker" not in str(found)
        assert secret not in str(found)
        assert found[0]["address"] == PEER
    assert found[0]["key_id"] == key.id


def test_a_key_in_the_header_of_a_batchs_id_is_none(gateway: FlaskClient, keys: KeyFile) -> None:
    key, secret = keys.add(["score"])
    status, found = lines(gateway, secret=secret, headers={"X-QScore-Batch": secret})
    unnamed = {name: value for name, value in BATCH.items() if name != "batch_id"}
    assert (status, found) == (400, [line(key.id, 400, "bad_option", **unnamed)])


def test_an_option_of_a_card_is_given_once(gateway: FlaskClient, keys: KeyFile) -> None:
    secret = keys.add(["read"])[1]
    path = "/v1/models/lateral?version=1-starter&version=live"
    status, found = lines(gateway, "GET", path, secret, data=b"")
    assert (status, found[0]["code"]) == (400, "bad_option")
    assert "version" not in found[0]


def test_a_trusted_proxy_says_who_calls(client_with: Callable[..., FlaskClient]) -> None:
    trusting = GatewaySettings.model_validate({"trusted_proxies": ["203.0.113.0/24"]})
    client = client_with(gateway=trusting)
    said = {"X-Forwarded-For": "192.0.2.99, 198.51.100.4, 203.0.113.9"}
    assert lines(client, headers=said)[1][0]["address"] == "198.51.100.4"


def test_strangers_cannot_flood_the_log(gateway: FlaskClient, keys: KeyFile) -> None:
    told = [len(lines(gateway, secret=f"qsk_guess_{k}")[1]) for k in range(3 * LINES)]
    assert told == [1] * LINES + [0] * 2 * LINES
    secret = keys.add(["read"])[1]
    assert len(lines(gateway, secret=secret)[1]) == 1, "a known caller at the same address has its lines"


def test_what_has_no_lines_is_counted_once() -> None:
    strangers = Strangers()
    for k in range(LINES + 5):
        assert strangers.lines("2001:db8::7", 100.0) is (k < LINES)
    assert not strangers.lines("2001:db8::1:8", 101.0), "one caller has the whole of a /64"
    assert strangers.lines("192.0.2.1", 101.0)
    assert strangers.silenced(101.0) == []
    assert strangers.silenced(101.0 + SECONDS) == [("2001:db8::/64", 6)]
    assert strangers.silenced(102.0 + SECONDS) == []
    assert strangers.lines("2001:db8::7", 103.0 + SECONDS)


def test_many_addresses_share_one_count() -> None:
    strangers = Strangers()
    told = sum(strangers.lines(f"10.0.{k // 256}.{k % 256}", 5.0) for k in range(3000))
    assert told == 1024 + LINES
    assert strangers.silenced(5.0 + SECONDS) == [("others", 3000 - 1024 - LINES)]


def test_ending_keys_are_named_once_a_day(gateway: FlaskClient, keys: KeyFile) -> None:
    ending: ApiKey = keys.add(["read"], terms=Terms(expires=time.time() + 86_400))[0]
    keys.add(["read"], terms=Terms(expires=time.time() + 30 * 86_400))
    with capture_logs() as said:
        for _ in range(3):
            gateway.get("/healthz")
    assert [(entry["event"], entry.get("key_id")) for entry in said] == [("key_ends", ending.id)]
