"""Backends by name, and the one that this process runs circuits above the exact engine's qubits on.

A backend is a module's object with the methods of ``Backend``; a new one is a line of ``BACKENDS``. It is loaded when a
process asks for it, because each brings its own large libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan

Array = NDArray[np.float64]

#: Name -> module and, behind the colon, what in it makes a backend.
BACKENDS: Mapping[str, str] = {"aer": "scorer.engine.backends.aer:Aer"}


class UnknownBackend(LookupError):
    """No backend has the name."""


class NoSimulator(RuntimeError):
    """A circuit too large for the exact engine, in a process that was not given a backend for such circuits."""


class Backend(Protocol):
    """What runs circuits of any size."""

    @property
    def name(self) -> str: ...
    def bloch_vectors(self, plan: Plan, Z: Array) -> Array:
        """Return Bloch vectors (N, 3 qubits), as in ``scorer.engine.bloch``, of scaled, finite Z (N, features)."""


class _Chosen:
    """The backend of this process; whoever starts the process chooses once."""

    backend: Backend | None = None


def backend(name: str) -> Backend:
    """Load the backend of that name; raises UnknownBackend, or ImportError where its libraries are not installed."""
    if name not in BACKENDS:
        raise UnknownBackend(f"no backend {name!r}; known are {', '.join(sorted(BACKENDS))}")
    module, _, maker = BACKENDS[name].partition(":")
    make: Callable[[], Backend] = getattr(import_module(module), maker)
    return make()


def use_backend(name: str) -> None:
    """Run circuits above the exact engine's qubits on that backend in this process; raises as ``backend`` does."""
    _Chosen.backend = backend(name)


def chosen(qubits: int) -> Backend:
    """Return this process's backend for a circuit of so many qubits; raises NoSimulator where none was chosen."""
    if _Chosen.backend is None:
        raise NoSimulator(f"a circuit of {qubits} qubits is scored by a worker of the qpu lane; this process is none")
    return _Chosen.backend
