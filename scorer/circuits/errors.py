"""What a circuit that cannot be built, read or run raises. Edges translate it into the product's own exceptions."""

from __future__ import annotations


class CircuitError(ValueError):
    """A feature map, circuit or plan that is not possible; the message names the part and its value."""


class UnknownMap(CircuitError):
    """A name under which no feature map is installed."""


class AngleError(CircuitError):
    """An angle is not a finite number for some row: a logarithm of 0, a division by 0, an overflow."""
