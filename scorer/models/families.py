"""The model families as a worker loads them: what each scores with, and the twin that travels with it.

One table, one lookup. How a family is searched and fitted, and what it is called for people, is in its one file in
``scorer.training.families``, whose docstring says how to add one.
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
    """``name``: as artifacts have it. ``machine``, ``twin``: what scores."""

    name: str
    machine: type[Machine]
    twin: type[RbfTwin] | type[LeverageTwin]


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("svc", ObservableMachine, RbfTwin),
        Family("nystrom-logistic", ObservableMachine, RbfTwin),
        Family("vqc", ObservableMachine, RbfTwin),
        Family("density", ObservableMachine, RbfTwin),
        Family("leverage", ObservableMachine, LeverageTwin),
        Family("projected", ProjectedMachine, RbfTwin),
    )
}


def family_named(name: object) -> Family:
    """Look up the family of that name; raises UnknownFamily."""
    found = FAMILIES.get(name) if isinstance(name, str) else None
    if found is None:
        raise UnknownFamily(f"family {str(name)[:80]!r} is not known; known are {', '.join(FAMILIES)}")
    return found
