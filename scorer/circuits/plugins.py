"""Feature maps by name, ours and other packages': the entry-point group ``qscore.feature_maps``.

An entry point names a callable ``map(features, **parameters)`` that returns a feature map of ours or a parametrised
Qiskit circuit. Plug-ins run in training only: what is scored is the compiled plan in the artifact.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from scorer.circuits.circuit import Circuit
from scorer.circuits.errors import CircuitError, UnknownMap
from scorer.circuits.plan import Plan
from scorer.circuits.zz import ZZMap

GROUP = "qscore.feature_maps"

KnownMap = ZZMap | Circuit | Plan


def installed() -> dict[str, EntryPoint]:
    """Entry points by name, in the order of their names; raises CircuitError where two packages claim one name."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise CircuitError(
                f"two packages name a feature map {point.name!r}: {other.value} and {point.value}; remove one of them"
            )
    return found


def feature_map(name: str, features: int, *, bandwidth: float | None = None, **parameters: Any) -> KnownMap:
    """The map called ``name`` for rows of ``features`` numbers; x = ``bandwidth`` * z, absent: the map's own.

    Raises UnknownMap, or CircuitError saying what the map does not take or why it could not be built.
    """
    maps = installed()
    if name not in maps:
        raise UnknownMap(
            f"no feature map {name!r} is installed; known are {', '.join(maps) or 'none'}. "
            f"A package adds one by an entry point in the group {GROUP}"
        )
    made = _as_map(name, _built(name, _loaded(maps[name]), features, parameters))
    if made.features != features:
        raise CircuitError(f"the map {name!r} takes {made.features} features where the model has {features}")
    return made if bandwidth is None else made.with_bandwidth(bandwidth)


def parameters_of(name: str) -> dict[str, Any]:
    """What the map takes besides features and bandwidth, with the defaults; raises UnknownMap or CircuitError."""
    maps = installed()
    if name not in maps:
        raise UnknownMap(f"no feature map {name!r} is installed; known are {', '.join(maps) or 'none'}")
    known = list(_signature(name, _loaded(maps[name])).parameters.items())[1:]
    return {key: None if p.default is p.empty else p.default for key, p in known if key != "bandwidth"}


def _loaded(point: EntryPoint) -> Callable[..., Any]:
    try:
        factory = point.load()
    except Exception as error:
        # A plug-in is anybody's code: whatever it raises is said with the plug-in's name, and is no crash of ours.
        raise CircuitError(f"the feature map {point.name!r} ({point.value}) does not load: {error!r}") from error
    if not callable(factory):
        raise CircuitError(f"the feature map {point.name!r} ({point.value}) is not a callable")
    called: Callable[..., Any] = factory
    return called


def _built(name: str, factory: Callable[..., Any], features: int, parameters: dict[str, Any]) -> Any:
    signature = _signature(name, factory)
    try:
        signature.bind(features, **parameters)
    except TypeError as error:
        takes = ", ".join(str(p) for p in list(signature.parameters.values())[1:]) or "no parameters"
        raise CircuitError(f"the map {name!r} cannot be called so: {error}. It takes {takes}") from None
    try:
        return factory(features, **parameters)
    except CircuitError:
        raise
    except Exception as error:
        raise CircuitError(f"the feature map {name!r} failed for {features} features: {error!r}") from error


def _signature(name: str, factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory)
    except ValueError as error:  # of a built-in function, say
        raise CircuitError(f"the feature map {name!r} does not say what it takes: {error}") from None


def _as_map(name: str, made: Any) -> KnownMap:
    if isinstance(made, ZZMap | Plan):
        return made
    if not isinstance(made, Circuit) and callable(getattr(made, "to_circuit", None)):
        made = _own_circuit(name, made)
    if isinstance(made, Circuit):
        return dataclasses.replace(made, name=name)
    from scorer.circuits.qiskit.importing import import_circuit  # what else a map may return; loads Qiskit

    try:
        return import_circuit(made, name=name)
    except ImportError as error:
        raise CircuitError(
            f"the feature map {name!r} returned {type(made).__name__}, no circuit of ours; whether it is one of "
            f"Qiskit's cannot be told without {error.name}: pip install 'qscore[qiskit]'"
        ) from None


def _own_circuit(name: str, made: Any) -> Any:
    try:
        return made.to_circuit()
    except CircuitError:
        raise
    except Exception as error:
        raise CircuitError(f"the feature map {name!r} failed to make its circuit: {error!r}") from error
