"""The models that a training compares on the same rows: the quantum machine, its classical twin, and a yardstick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from scorer.circuits.errors import CircuitError
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plugins import feature_map
from scorer.circuits.zz import ZZMap
from scorer.models.families import Twin
from scorer.models.machine import Machine
from scorer.models.observable import FeatureMap
from scorer.rows.transform import Scaler
from scorer.training.choose import Choice, choose_features, choose_normal_features
from scorer.training.dataset import Dataset
from scorer.training.families.checks import FitError
from scorer.training.families.family import FitRows
from scorer.training.families.table import training_of
from scorer.training.options import TrainOptions
from scorer.training.search import Searched, search, search_normal
from scorer.training.splits import subsample
from scorer.training.yardsticks import Scorer, boosted, isolated
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Hears what is being done.
Tell = Callable[[str], None]


def tell_nobody(_text: str) -> None:
    """Ignore what is being done: nobody asked."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """Machine and twin see the chosen features alone, yardsticks all.

    ``columns``: positions of the chosen features among all. ``rows``: how many rows machine and twin were fitted on.
    ``second``: what the second searched parameter of each is called.
    """

    choice: Choice
    columns: Ints
    scaler: Scaler
    machine: Machine
    twin: Twin
    yardsticks: Mapping[str, Scorer]
    searched: Searched
    second: tuple[str, str]
    rows: int

    def scores(self, X: Floats) -> dict[str, Floats]:
        """Score all features X (N, m): (N,) by "quantum", "twin" and the names of the yardsticks."""
        Z = self.scaler.apply(X[:, self.columns])
        own = {"quantum": self.machine.scores(Z), "twin": self.twin.scores(Z)}
        return own | {name: of(X) for name, of in self.yardsticks.items()}


def fit(data: Dataset, options: TrainOptions, tell: Tell = tell_nobody) -> Fitted:
    """Choose features, scale, search and fit on these rows alone; one-class families on the benign ones among them.

    ``tell`` hears what is being done. Raises BadTrainingData when no feature varies, or the feature map cannot be had
    or fitted with, and UnknownFamily.

    On one thread: on a busy machine the small parallel loops of these libraries wait for each other far longer than
    they work.
    """
    one_class = training_of(options.family).one_class
    seen = data.take(np.flatnonzero(data.y == 0)) if one_class else data
    try:
        with threadpool_limits(limits=1):
            return _fit(seen, options, one_class, tell)
    except (CircuitError, FitError) as error:
        raise BadTrainingData(str(error), "Choose another --map, --map-parameter or --qubits.") from None


def map_for(options: TrainOptions, features: int) -> FeatureMap:
    """Compile the feature map asked for, at its own bandwidth. Raises CircuitError, UnknownFamily."""
    made = feature_map(options.map, features, **dict(options.map_parameters))
    circuit = made if isinstance(made, ZZMap) else made.plan
    if circuit.qubits > MAX_QUBITS:
        if training_of(options.family).most_qubits <= MAX_QUBITS:
            raise CircuitError(
                f"the map {options.map!r} has {circuit.qubits} qubits; family {options.family} is exact up to "
                f"{MAX_QUBITS}, family projected goes beyond"
            )
        from scorer.engine.backends.table import use_backend  # a simulator for large circuits; loads Qiskit

        use_backend("aer")
    return circuit


def _fit(data: Dataset, options: TrainOptions, one_class: bool, tell: Tell) -> Fitted:
    """``data``: for a one-class family the normal rows alone."""
    tell("choosing features")
    choose = choose_normal_features if one_class else choose_features
    choice = choose(data, options.qubits, options.seed)
    columns, scaler = _scaled(data, choice)
    kept = data.take(subsample(data.y, _most_rows(options), np.random.default_rng([options.seed, 1])))
    rows = FitRows(scaler.apply(kept.X[:, columns]), kept.y, map_for(options, len(columns)), options.seed)
    training = training_of(options.family)
    tell("searching")
    quantum, twin = training.space(rows), training.twin_space(rows)
    if one_class:
        found = search_normal(rows.Z, kept.groups, options.seed, quantum, twin)
    else:
        found = search(rows.Z, rows.y, kept.groups, options.seed, quantum, twin)
    tell("fitting the model")
    machine = training.fit(rows, found.quantum)
    tell("fitting its twin")
    fitted_twin = training.fit_twin(rows, found.twin)
    tell("fitting yardsticks")
    return Fitted(
        choice=choice,
        columns=columns,
        scaler=scaler,
        machine=machine,
        twin=fitted_twin,
        yardsticks=_yardsticks(data, options.seed, one_class),
        searched=found,
        second=(quantum.grid.second, twin.grid.second),
        rows=len(kept),
    )


def _yardsticks(data: Dataset, seed: int, one_class: bool) -> dict[str, Scorer]:
    return {"isolation_forest": isolated(data.X, seed)} if one_class else {"boosting": boosted(data, seed)}


def _most_rows(options: TrainOptions) -> int:
    return training_of(options.family).fit_rows if options.fit_rows is None else options.fit_rows


def _scaled(data: Dataset, choice: Choice) -> tuple[Ints, Scaler]:
    """Positions of the chosen features, and their scales."""
    if not choice.chosen:
        raise BadTrainingData("every feature is constant on the training rows", "Add rows that differ.")
    columns = np.array([data.names.index(name) for name in choice.chosen])
    return columns, Scaler.fit(data.X[:, columns], choice.chosen)
