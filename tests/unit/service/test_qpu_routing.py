"""Which queue a model's batches go to, and what callers hear when nobody serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorer.models.trained import TrainedModel
from scorer.registry.cards import CardStore
from scorer.registry.store import card_of
from scorer.service.auth import KeyFile
from scorer.service.broker import redis_client
from scorer.service.celery_app import build_app, qpu_lane, queue_of, scoring_lane
from scorer.service.exchange import Exchange, Pulse
from scorer.service.gateway import Gateway
from scorer.service.metrics import new_metrics
from scorer.service.settings import load_settings
from scorer.service.stack_children import child_specs
from scorer.wire.errors import QueueFull, Unavailable
from scorer.wire.messages import ModelCard


def card(model: TrainedModel, **details: Any) -> ModelCard:
    return replace(card_of(model, "1"), details=details)


def test_only_circuits_above_twelve_qubits_go_to_the_qpu_queue(tiny_model: TrainedModel) -> None:
    assert card_of(tiny_model, "1").details["qubits"] == 3
    for asked in ("interactive", "bulk"):
        assert queue_of(card_of(tiny_model, "1"), asked) == asked
        assert queue_of(card(tiny_model, qubits=12), asked) == asked
        assert queue_of(card(tiny_model), asked) == asked
        assert queue_of(card(tiny_model, qubits=13), asked) == "qpu"


def gateway(home: Path) -> Gateway:
    """A gateway that has not connected to anything."""
    settings = load_settings(home=home)
    exchange = Exchange(redis_client(settings))
    score, qpu = build_app(settings, scoring_lane(settings)), build_app(settings, qpu_lane(settings))
    cards = CardStore(settings.registry, settings.trusted_keys)
    return Gateway(settings, KeyFile(settings.api_keys), cards, exchange, score, qpu, new_metrics(exchange.pulse))


def pulse(score: int = 1, qpu: int = 0, waiting: int = 0) -> Pulse:
    return Pulse(
        {"interactive": 0, "bulk": 0, "deliver": 0, "qpu": waiting}, {"score": score, "deliver": 0, "qpu": qpu}
    )


def test_each_queue_needs_a_worker_of_its_own_lane(tmp_path: Path) -> None:
    at = gateway(tmp_path)
    at.admit(pulse(), "interactive")
    with pytest.raises(Unavailable, match=r"no worker of the qpu lane is alive.*--qpu 1"):
        at.admit(pulse(), "qpu")
    at.admit(pulse(score=0, qpu=1), "qpu")
    with pytest.raises(Unavailable, match="no scoring worker"):
        at.admit(pulse(score=0, qpu=1), "bulk")


def test_a_long_qpu_queue_refuses_its_own_callers_only(tmp_path: Path) -> None:
    at = gateway(tmp_path)
    at.admit(pulse(qpu=1, waiting=64), "interactive")
    with pytest.raises(QueueFull, match="64 batches"):
        at.admit(pulse(qpu=1, waiting=64), "qpu")


def test_a_stack_has_a_qpu_worker_where_the_settings_ask_for_one(tmp_path: Path) -> None:
    import socket

    from scorer.service.tls import TlsFiles

    files = TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem", None)
    with socket.socket() as listener:
        for processes, expected in ((0, False), (2, True)):
            settings = load_settings(home=tmp_path, worker={"qpu_processes": processes})
            (tmp_path / "queue").mkdir(exist_ok=True)
            specs = {spec.name: spec for spec in child_specs(settings, listener, "https://localhost:1", files)}
            assert ("qpu" in specs) is expected
    assert specs["qpu"].command[-1] == "qpu"
    assert specs["qpu"].environment["QSCORE_WORKER__QPU_PROCESSES"] == "2"
