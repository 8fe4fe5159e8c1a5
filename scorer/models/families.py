"""The model families: what each is, what it scores with, and the twin that travels with it. One table, one lookup.

To add one: a row in FAMILIES, a fit in ``scorer.training.families.table``, a paragraph in docs/models.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.models.machine import Machine, ObservableMachine
from scorer.models.projected import ProjectedMachine
from scorer.models.twins import LeverageTwin, RbfTwin

Twin = RbfTwin | LeverageTwin


class UnknownFamily(ValueError):
    """A family that this program does not have; the message lists those that it has."""


@dataclass(frozen=True)
class Family:
    """``machine``, ``twin``: what scores. ``one_class``: fitted on normal rows alone, scores novelty. ``title``,
    ``when``: for people: what it is, and when to take it.
    """

    name: str
    title: str
    twin_title: str
    when: str
    machine: type[Machine]
    twin: type[RbfTwin] | type[LeverageTwin]
    one_class: bool = False


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "svc",
            "support vector machine on the fidelity kernel",
            "support vector machine on the RBF kernel",
            "labelled rows, up to a few thousand: the default",
            ObservableMachine,
            RbfTwin,
        ),
        Family(
            "nystrom-logistic",
            "logistic regression on Nystrom features of the fidelity kernel",
            "logistic regression on Nystrom features of the RBF kernel",
            "labelled rows by the ten thousand to the million: time grows with the rows, not with their square",
            ObservableMachine,
            RbfTwin,
        ),
        Family(
            "vqc",
            "variational circuit after the feature map, measured on every qubit",
            "support vector machine on the RBF kernel",
            "labelled rows, to compare a trained circuit with the kernel machines; seldom the best of them",
            ObservableMachine,
            RbfTwin,
        ),
        Family(
            "density",
            "distance from the mean state of normal rows",
            "kernel density of the same rows",
            "normal rows alone, attacks never seen: the simplest novelty score",
            ObservableMachine,
            RbfTwin,
            one_class=True,
        ),
        Family(
            "leverage",
            "share of a row's state outside of what normal rows span",
            "the same share on the RBF kernel",
            "normal rows alone, attacks never seen: usually the better novelty score",
            ObservableMachine,
            LeverageTwin,
            one_class=True,
        ),
        Family(
            "projected",
            "support vector machine on the reduced density matrices of single qubits",
            "support vector machine on the RBF kernel",
            "labelled rows, more than twelve qubits, or a score that shots and hardware can measure",
            ProjectedMachine,
            RbfTwin,
        ),
    )
}


def family_named(name: object) -> Family:
    """The family of that name; raises UnknownFamily."""
    found = FAMILIES.get(name) if isinstance(name, str) else None
    if found is None:
        raise UnknownFamily(f"family {str(name)[:80]!r} is not known; known are {', '.join(FAMILIES)}")
    return found
