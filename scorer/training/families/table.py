"""The families that can be trained: one row each, beside the row in ``scorer.models.families`` that a worker needs."""

from __future__ import annotations

from scorer.models.families import family_named
from scorer.training.families import density, leverage, nystrom_logistic, projected, svc, vqc
from scorer.training.families.family import FamilyTraining

FAMILY_TRAINING: dict[str, FamilyTraining] = {
    "svc": svc.TRAINING,
    "nystrom-logistic": nystrom_logistic.TRAINING,
    "vqc": vqc.TRAINING,
    "density": density.TRAINING,
    "leverage": leverage.TRAINING,
    "projected": projected.TRAINING,
}


def training_of(family: object) -> FamilyTraining:
    """Look up how the family of that name is trained; raises UnknownFamily."""
    return FAMILY_TRAINING[family_named(family).name]
