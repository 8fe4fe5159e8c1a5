"""Every reader of data from outside."""

from __future__ import annotations

from scorer.models.trained import TrainedModel
from tests.fuzz import answers, bodies, edges, messages, registry
from tests.fuzz.target import Target


def targets(model: TrainedModel) -> list[Target]:
    """List all targets. ``model``: a small one, of three features of `lateral`."""
    return [
        *bodies.targets(model),
        *messages.targets(),
        *registry.targets(model),
        *edges.targets(),
        *answers.targets(),
    ]
