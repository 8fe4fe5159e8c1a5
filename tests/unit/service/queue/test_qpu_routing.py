"""Which queue a model's batches go to, and who serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from scorer.models.trained import TrainedModel
from scorer.registry.store import card_of
from scorer.service.queue.celery_app import queue_of
from scorer.service.settings import load_settings
from scorer.service.stack.children import child_specs
from scorer.wire.card import ModelCard


def card(model: TrainedModel, **details: Any) -> ModelCard:
    return replace(card_of(model, "1"), details=details)


def test_only_circuits_above_twelve_qubits_go_to_the_qpu_queue(tiny_model: TrainedModel) -> None:
    assert card_of(tiny_model, "1").details["qubits"] == 3
    for asked in ("interactive", "bulk"):
        assert queue_of(card_of(tiny_model, "1"), asked) == asked
        assert queue_of(card(tiny_model, qubits=12), asked) == asked
        assert queue_of(card(tiny_model), asked) == asked
        assert queue_of(card(tiny_model, qubits=13), asked) == "qpu"


def test_a_stack_has_a_qpu_worker_where_the_settings_ask_for_one(tmp_path: Path) -> None:
    import socket

    from scorer.service.access.authority import TlsFiles

    files = TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem", None)
    with socket.socket() as listener:
        for processes, expected in ((0, False), (2, True)):
            settings = load_settings(home=tmp_path, worker={"qpu_processes": processes})
            (tmp_path / "queue").mkdir(exist_ok=True)
            specs = {spec.name: spec for spec in child_specs(settings, listener, "https://localhost:1", files)}
            assert ("qpu" in specs) is expected
    assert specs["qpu"].command[-1] == "qpu"
    assert specs["qpu"].environment["QSCORE_WORKER__QPU_PROCESSES"] == "2"
