"""From rows to states: what all estimators share, which is the feature map and how rows are scaled for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plugins import KnownMap, feature_map
from scorer.engine.reference import amplitudes, expectation
from scorer.models.observable import Observable
from scorer.rows.transform import Scaler

Floats = NDArray[np.float64]
States = NDArray[np.complex128]

#: Radians for the width of a scaled feature, where a map is given by its name alone.
BANDWIDTH = 0.2
#: Features from which on ``"auto"`` takes several on one qubit, and on how many qubits then.
_ONE_EACH, _WIDE = 10, 8
#: Rows that are scored at a time, and numbers of their states at most.
_ROWS, _HELD = 4096, 1 << 22


class StateEstimator(BaseEstimator):
    """A base of estimators that turn rows into states of a feature map.

    ``feature_map``: the name of an installed map (``"zz"``), a map, a parametrised Qiskit circuit, or a callable
    ``(features, **map_parameters) -> map``. ``"auto"``: ``"zz"``, a qubit for each of up to ten features;
    ``"reuploading"`` on eight qubits of more. ``map_parameters``: what a named map or a callable takes besides, such as
    ``{"reps": 1}``. ``bandwidth``: x = bandwidth * z; None: 0.2 for a name, otherwise the map's own. ``scale``: True:
    the least and the greatest value of each feature of the fitted rows become 0 and 1, and later rows end at -0.5 and
    1.5; False: rows are z as they come.

    Pickles and copies are made of the parameters and of what was fitted, arrays and numbers; nothing is unpickled but
    by whoever calls ``pickle.load``, in that process.
    """

    feature_map: Any
    bandwidth: float | None
    map_parameters: Mapping[str, Any] | None
    scale: bool
    circuit_: KnownMap
    scaler_: Scaler | None

    def _fit_map(self, X: Floats) -> None:
        """Set ``circuit_`` and ``scaler_`` by rows X (N, n)."""
        self.scaler_ = _min_max(X) if self.scale else None
        self.circuit_ = _at_bandwidth(self.feature_map, X.shape[1], self.bandwidth, self.map_parameters or {})

    def _checked(self, X: Any) -> Floats:
        """Check rows to score; raises ValueError or TypeError as scikit-learn does, NotFittedError before ``fit``."""
        check_is_fitted(self)
        rows: Floats = validate_data(self, X, dtype=np.float64, reset=False)
        return rows

    def scaled(self, X: Any) -> Floats:
        """Compute z (N, n), what the circuit is given of rows X (N, n) before the bandwidth. Raises ValueError."""
        return self._scaled(self._checked(X))

    def states(self, X: Any) -> States:
        """Compute the states (N, 2^n), complex128, of rows X (N, n); qubit i is bit i of the basis state's number.

        Raises ValueError.
        """
        return amplitudes(self.circuit_, self.scaled(X))

    def _scaled(self, X: Floats) -> Floats:
        return X if self.scaler_ is None else self.scaler_.apply(X)

    def _by_chunks(self, X: Floats, of_states: Callable[[States], Floats]) -> Floats:
        """Compute ``of_states`` of rows X (N, n), at least one, of which a part is held at a time: (N, ...)."""
        return np.concatenate([of_states(amplitudes(self.circuit_, Z)) for Z in self._chunks(self._scaled(X))])

    def _chunks(self, Z: Floats) -> Iterator[Floats]:
        rows = max(1, min(_ROWS, _HELD >> self.circuit_.qubits))
        return (Z[start : start + rows] for start in range(0, len(Z), rows))

    def __reduce__(self) -> tuple[Any, ...]:
        parameters = self.get_params(deep=False)
        fitted = {name: value for name, value in vars(self).items() if name not in parameters}
        return rebuilt, (type(self), parameters, fitted)


def rebuilt(kind: type[StateEstimator], parameters: Mapping[str, Any], fitted: Mapping[str, Any]) -> StateEstimator:
    """Make an estimator of its parameters and of what was fitted: what a pickle calls."""
    made = kind(**parameters)
    for name, value in fitted.items():
        setattr(made, name, value)
    return made


def observed(observable: Observable, psi: States) -> Floats:
    """Score states (N, 2^n) in float64: (N,)."""
    return expectation(observable.values, observable.vectors.astype(np.complex128, copy=False), psi) + observable.offset


def _min_max(X: Floats) -> Scaler:
    """Ends of each feature; one that is the same on all rows is 0 on all of them."""
    low, high = X.min(axis=0), X.max(axis=0)
    return Scaler(low, np.where(high > low, high, low + np.maximum(1.0, np.abs(low))))


def _at_bandwidth(given: Any, features: int, bandwidth: float | None, parameters: Mapping[str, Any]) -> KnownMap:
    found = _map_of(given, features, parameters)
    if found.features != features:
        raise ValueError(f"the map {found.name!r} takes {found.features} features; the rows have {features}")
    if found.qubits > MAX_QUBITS:
        raise ValueError(
            f"the map {found.name!r} has {found.qubits} qubits; states are computed up to {MAX_QUBITS}: choose fewer "
            "features (SelectKBest, PCA), or a map that takes several on one qubit (feature_map='reuploading')"
        )
    if bandwidth is None and not isinstance(given, str):
        return found
    return found.with_bandwidth(float(BANDWIDTH if bandwidth is None else bandwidth))


def _map_of(given: Any, features: int, parameters: Mapping[str, Any]) -> KnownMap:
    if given == "auto":
        wide = features > _ONE_EACH
        given, parameters = ("reuploading", {"qubits": _WIDE, **parameters}) if wide else ("zz", parameters)
    if isinstance(given, str):
        return _named(given, features, tuple((key, _hashable(value)) for key, value in parameters.items()))
    if hasattr(given, "plan") and hasattr(given, "with_bandwidth"):
        known: KnownMap = given
        return known
    if callable(given):
        return _map_of(given(features, **parameters), features, {})
    from scorer.circuits.qiskit.importing import import_circuit  # loads Qiskit

    return import_circuit(given)


@lru_cache(maxsize=64)
def _named(name: str, features: int, parameters: tuple[tuple[str, Any], ...]) -> KnownMap:
    """A map by name, kept: to look through what is installed takes longer than a small fit, and a search has many."""
    return feature_map(name, features, **dict(parameters))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
