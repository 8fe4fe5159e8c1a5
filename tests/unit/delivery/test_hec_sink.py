from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.standins.hec_endpoint import HecEndpoint
from demo.standins.hec_rules import HecAnswer, HecRules
from scorer.delivery.hec.http import PATH, HecClient
from scorer.delivery.hec.sink import HecSink
from scorer.delivery.sink import SendOutcome, SinkBusy, SinkRefused
from scorer.wire.errors import ConfigurationError
from tests.unit.delivery.builders import TOKEN, changed, make_rows
from tests.unit.wire.trickling_peer import TricklingPeer, json_answer

MakeSink = Callable[..., HecSink]


def ids(endpoint: HecEndpoint) -> list[str]:
    return [event["fields"]["qscore_id"] for event in endpoint.events]


def refused_ids(outcome: SendOutcome) -> list[str]:
    return [identity for refused in outcome.refused for identity in refused.rows.ids]


def refusing(*users: int) -> Callable[[dict[str, Any]], int]:
    """A rule by which events of some users have code 15, as a collector's that cannot take one of their fields."""
    return lambda event: 15 if event["fields"]["user"] in {f"user{number}" for number in users} else 0


def test_rows_arrive_in_order_in_byte_bounded_batches(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    rows = make_rows(40)
    outcome = hec_sink(batch_bytes=4_000).send(rows)
    assert (outcome.taken, outcome.refused, len(outcome.unsent), outcome.fault) == (40, (), 0, None)
    assert ids(endpoint) == rows.ids
    assert len(endpoint.requests) > 5
    assert all(size <= 4_000 for size, _ in endpoint.requests)


def test_a_batch_that_is_too_large_is_split(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    rows = make_rows(60)
    outcome = hec_sink(batch_bytes=1_000_000).send(rows)  # the endpoint takes 20,000 bytes
    assert outcome.taken == 60
    assert endpoint.requests[0][1] == 413
    assert ids(endpoint) == rows.ids


def test_an_event_that_is_too_large_alone_is_refused_and_the_rest_goes_on(
    endpoint: HecEndpoint, hec_sink: MakeSink
) -> None:
    rows = changed(make_rows(3), 1, reason="x" * 30_000)
    outcome = hec_sink().send(rows)
    assert outcome.taken == 2
    assert refused_ids(outcome) == rows.ids[1:2]
    assert "413" in outcome.refused[0].reason


def test_an_event_that_the_collector_names_is_refused_and_the_rest_sent_again(
    endpoint: HecEndpoint, hec_sink: MakeSink
) -> None:
    rows = make_rows(5)
    endpoint.rules = replace(endpoint.rules, also=refusing(1, 4))
    outcome = hec_sink().send(rows)
    assert outcome.taken == 3
    assert refused_ids(outcome) == [rows.ids[1], rows.ids[4]]
    assert "code 15" in outcome.refused[0].reason
    assert sorted(ids(endpoint)) == sorted(rows.ids[i] for i in (0, 2, 3))


@pytest.mark.parametrize(
    "body", [{"code": 6, "invalid-event-number": 1}, {"code": 6, "invalid-event-number": 99}, {"code": 6}]
)
def test_a_wrong_or_missing_number_costs_no_good_event(
    endpoint: HecEndpoint, hec_sink: MakeSink, body: dict[str, int]
) -> None:
    rows = make_rows(5)
    endpoint.rules = replace(endpoint.rules, also=refusing(3))
    endpoint.fail_with(HecAnswer(400, {"text": "Invalid data format", **body}))
    outcome = hec_sink().send(rows)
    assert refused_ids(outcome) == [rows.ids[3]]
    assert outcome.taken == 4


@pytest.mark.parametrize(("token", "says"), [("wrong-token", "Invalid token"), ("", "Invalid authorization")])
def test_a_wrong_token_stops_everything(hec_sink: MakeSink, token: str, says: str) -> None:
    rows = make_rows(3)
    outcome = hec_sink(token=token).send(rows)
    assert (outcome.taken, outcome.unsent.ids) == (0, rows.ids)
    assert isinstance(outcome.fault, SinkRefused)
    assert says in outcome.fault.detail
    assert "token_file" in outcome.fault.remedy


def test_an_index_that_the_token_may_not_write_stops_everything(hec_sink: MakeSink) -> None:
    outcome = hec_sink(index="secrets").send(make_rows(2))
    assert len(outcome.unsent) == 2
    assert isinstance(outcome.fault, SinkRefused)
    assert "index" in outcome.fault.remedy


@pytest.mark.parametrize(
    ("failure", "retry_after"), [("busy", None), ("busy_retry_after", 1.0), ("throttled", 7.0), ("error", None)]
)
def test_a_busy_collector_leaves_rows_unsent_and_says_when(
    endpoint: HecEndpoint, hec_sink: MakeSink, failure: str, retry_after: float | None
) -> None:
    endpoint.fail_next([failure])
    rows = make_rows(2)
    outcome = hec_sink().send(rows)
    assert outcome.unsent.ids == rows.ids
    assert isinstance(outcome.fault, SinkBusy)
    assert outcome.fault.retry_after == retry_after
    assert hec_sink().send(rows).taken == 2


@pytest.mark.parametrize("failure", ["close", "not_json", "wrong_json"])
def test_no_answer_and_nonsense_are_never_taken_for_success(
    endpoint: HecEndpoint, hec_sink: MakeSink, failure: str
) -> None:
    endpoint.fail_next([failure])
    outcome = hec_sink().send(make_rows(2))
    assert outcome.taken == 0
    assert isinstance(outcome.fault, SinkBusy)


def test_a_collector_that_hangs_is_left_after_the_timeout(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    endpoint.fail_next(["hang"])
    outcome = hec_sink(timeout=0.3).send(make_rows(1))
    assert isinstance(outcome.fault, SinkBusy)
    assert outcome.fault.detail == f"the HTTP Event Collector {endpoint.url} did not answer within 0.3 s"


TAKEN = json_answer(b'{"text": "Success", "code": 0}')


def test_a_collector_that_trickles_is_left_at_the_deadline(authority: tuple[Path, Path], hec_sink: MakeSink) -> None:
    """A byte every 50 ms never lets a receive time out; the whole answer would take nearly five seconds."""
    with TricklingPeer(authority[1], TAKEN) as peer:
        outcome = hec_sink(url=peer.url, timeout=0.5).send(make_rows(1))
        assert not peer.finished
    assert 0 < peer.sent < len(TAKEN)
    assert isinstance(outcome.fault, SinkBusy)
    assert outcome.fault.detail == f"the HTTP Event Collector {peer.url} did not answer within 0.5 s"


def test_a_redirect_is_not_followed(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    endpoint.fail_next(["redirect"])
    outcome = hec_sink().send(make_rows(1))
    assert isinstance(outcome.fault, SinkRefused)
    assert "elsewhere.example" in outcome.fault.detail


def test_the_length_of_a_refusal_does_not_change_it(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    """A proxy's page may be longer than what is read of it; its status counts all the same."""
    endpoint.fail_with(HecAnswer(403, {"text": "x" * 200_000}))
    outcome = hec_sink().send(make_rows(1))
    assert isinstance(outcome.fault, SinkRefused)
    assert "HTTP 403" in outcome.fault.detail
    assert hec_sink().send(make_rows(1)).taken == 1


def test_the_address_may_hold_the_collectors_path(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    assert hec_sink(url=endpoint.url + PATH).send(make_rows(2)).taken == 2


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("https://splunk.example", "https://splunk.example:8088"),
        ("https://splunk.example:443/", "https://splunk.example:443"),
        ("https://[::1]", "https://[::1]:8088"),
        (f"https://splunk.example{PATH}?channel=1", "https://splunk.example:8088"),
    ],
)
def test_what_an_address_leaves_out(url: str, whole: str) -> None:
    assert HecClient(url, TOKEN).url == whole + PATH


def test_rows_before_the_failure_count_as_taken(endpoint: HecEndpoint, hec_sink: MakeSink) -> None:
    rows = make_rows(20)
    sink = hec_sink(batch_bytes=2_500)
    first = sink.send(rows[:2]).taken
    assert first == 2
    endpoint.rules = HecRules("another", max_bytes=20_000)
    outcome = sink.send(rows[2:])
    assert (outcome.taken, len(outcome.unsent)) == (0, 18)


def test_a_certificate_of_an_unknown_authority_is_refused(endpoint: HecEndpoint) -> None:
    sink = HecSink(HecClient(endpoint.url, TOKEN, None, 5.0), "qscore", 10_000)
    outcome = sink.send(make_rows(1))
    assert isinstance(outcome.fault, SinkRefused)
    assert f"certificate of the HTTP Event Collector {endpoint.url} was not accepted" in outcome.fault.detail
    assert "hec.ca_file" in outcome.fault.remedy
    assert endpoint.events == []


def test_nobody_listening_is_busy_not_a_crash(authority: tuple[Path, Path]) -> None:
    sink = HecSink(HecClient("https://127.0.0.1:1", TOKEN, authority[0], 2.0), "qscore", 10_000)
    fault = sink.send(make_rows(1)).fault
    assert isinstance(fault, SinkBusy)
    assert fault.detail == "no connection to the HTTP Event Collector https://127.0.0.1:1: Connection refused"


@pytest.mark.parametrize(
    "url", ["http://splunk.example:8088", "https://", "splunk", "https://a:b@c", "https://h:99999", "https://h/other"]
)
def test_an_address_that_is_not_https_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"hec\.url"):
        HecClient(url, TOKEN)


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.pem"):
        HecClient("https://h:8088", TOKEN, tmp_path / "nothing.pem")
