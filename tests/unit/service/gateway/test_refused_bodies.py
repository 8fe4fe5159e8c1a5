"""What the gateway leaves on the queue's server when it refuses a batch."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask

from scorer.service.access.api_keys import KeyFile
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.queue.jobs import INLINE_BYTES
from scorer.service.settings import Settings


def test_the_body_of_a_refused_batch_does_not_stay(settings: Settings, application: Callable[..., Flask]) -> None:
    secret = KeyFile(settings.api_keys).add(["score"])[1]
    headers = {"Authorization": f"Bearer {secret}", "X-QScore-Rows": "1", "Content-Type": "text/csv"}
    body = b"events,note\n1," + b"x" * INLINE_BYTES + b"\n"
    answer = application(settings).test_client().post("/v1/models/lateral/score", data=body, headers=headers)
    assert (answer.status_code, answer.get_json(force=True)["code"]) == (503, "unavailable")
    assert redis_client(settings, server=FAST).keys("qscore:body:*") == []
