"""Scores into sinks: shaping, sending, and keeping what could not be sent. Nothing here imports NumPy."""

from scorer.delivery.dead_letters import DeadLetter, DeadLetters
from scorer.delivery.deliver import DeliveryResult, deliver
from scorer.delivery.rows import ScoredRow, ScoredRows, ScoringFacts, check_rows, scored_rows
from scorer.delivery.sink import Refused, SendOutcome, Sink, SinkBusy, SinkRefused

__all__ = [
    "DeadLetter",
    "DeadLetters",
    "DeliveryResult",
    "Refused",
    "ScoredRow",
    "ScoredRows",
    "ScoringFacts",
    "SendOutcome",
    "Sink",
    "SinkBusy",
    "SinkRefused",
    "check_rows",
    "deliver",
    "scored_rows",
]
