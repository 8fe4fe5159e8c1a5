"""How each family is searched and fitted. One table, beside the one in ``scorer.models.families``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scorer.models.families import Twin
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.svc import FeatureMap
from scorer.models.twins import MAX_SUPPORT
from scorer.training.families.fit_nystrom import LANDMARKS, choose_landmarks, fit_nystrom_logistic, fit_nystrom_twin
from scorer.training.families.fit_one_class import fit_density, fit_density_twin, fit_leverage, fit_leverage_twin
from scorer.training.families.fit_projected import PROJECTED_GAMMAS, fit_projected
from scorer.training.families.fit_svc import fit_svc, fit_twin
from scorer.training.families.fit_vqc import fit_vqc
from scorer.training.options import FIT_ROWS
from scorer.training.search import COSTS, GAMMAS, Found, Grid, Side, grid_widths
from scorer.training.trials import (
    FIXED_COST,
    density_trial,
    nystrom_trial,
    projected_trial,
    quantum_kernel,
    quantum_leverage_trial,
    rbf_kernel,
    rbf_leverage_trial,
    svc_trial,
    vqc_trial,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MANY_ROWS = 10_000_000
LAYERS = (1.0, 2.0, 3.0)
RIDGES = (1e-2, 1e-3, 1e-4)
_DENSITY_GAMMAS = tuple(np.geomspace(0.1, 1000.0, 15).tolist())
_THREADS = 2


@dataclass(frozen=True, eq=False)
class Job:
    """Scaled rows Z (N, n) with labels y (N,), one-class: all 0. ``circuit``: the map, at any bandwidth."""

    Z: Floats
    y: Ints
    circuit: FeatureMap
    seed: int

    def at(self, found: Found) -> FeatureMap:
        """The map at the bandwidth that was found."""
        return self.circuit.with_bandwidth(found.width)

    def landmarks(self, count: int = LANDMARKS) -> Floats:
        """The same rows for quantum model and twin."""
        return choose_landmarks(self.Z, self.y, count, np.random.default_rng([self.seed, 3]))


@dataclass(frozen=True)
class Method:
    """``fit_rows``: rows to fit on at most unless asked for otherwise; ``most_rows``: beyond which it cannot be asked.

    ``quantum``, ``twin``: what is searched. ``fit``, ``fit_twin``: both machines at what was found.
    """

    fit_rows: int
    most_rows: int
    quantum: Callable[[Job], Side]
    twin: Callable[[Job], Side]
    fit: Callable[[Job, Found], Machine]
    fit_twin: Callable[[Job, Found], Twin]


def _svc_side(job: Job) -> Side:
    widths = grid_widths(job.circuit, len(GAMMAS))
    return Side(Grid(widths, "C", COSTS), partial(svc_trial, quantum_kernel(job.circuit)))


def _rbf_svc_side(_job: Job) -> Side:
    return Side(Grid(GAMMAS, "C", COSTS), partial(svc_trial, rbf_kernel))


def _svc(job: Job, found: Found) -> Machine:
    circuit = job.at(found)
    return ObservableMachine(circuit, fit_svc(job.Z, job.y, circuit, found.second, class_weight="balanced"))


def _rbf_svc(job: Job, found: Found) -> Twin:
    return fit_twin(job.Z, job.y, found.width, found.second, class_weight="balanced")


def _nystrom_side(job: Job) -> Side:
    widths = grid_widths(job.circuit, len(GAMMAS))
    return Side(Grid(widths, "C", COSTS), partial(nystrom_trial, quantum_kernel(job.circuit)))


def _rbf_nystrom_side(_job: Job) -> Side:
    return Side(Grid(GAMMAS, "C", COSTS), partial(nystrom_trial, rbf_kernel))


def _nystrom(job: Job, found: Found) -> Machine:
    circuit = job.at(found)
    observable = fit_nystrom_logistic(job.Z, job.y, circuit, found.second, job.landmarks(), workers=_workers())
    return ObservableMachine(circuit, observable)


def _rbf_nystrom(job: Job, found: Found) -> Twin:
    return fit_nystrom_twin(job.Z, job.y, found.width, found.second, job.landmarks(), workers=_workers())


def _vqc_side(job: Job) -> Side:
    widths = grid_widths(job.circuit, len(GAMMAS))
    return Side(Grid(widths, "layers", LAYERS), partial(vqc_trial, job.circuit, job.seed))


def _vqc(job: Job, found: Found) -> Machine:
    circuit = job.at(found)
    observable = fit_vqc(job.Z, job.y, circuit, FIXED_COST, int(found.second), seed=job.seed)
    return ObservableMachine(circuit, observable.truncated(observable.rank))


def _density_side(job: Job) -> Side:
    widths = grid_widths(job.circuit, len(_DENSITY_GAMMAS))
    return Side(Grid(widths), partial(density_trial, quantum_kernel(job.circuit)))


def _rbf_density_side(_job: Job) -> Side:
    return Side(Grid(_DENSITY_GAMMAS), partial(density_trial, rbf_kernel))


def _density(job: Job, found: Found) -> Machine:
    circuit = job.at(found)
    return ObservableMachine(circuit, fit_density(job.Z, circuit))


def _rbf_density(job: Job, found: Found) -> Twin:
    return fit_density_twin(job.Z, found.width)


def _leverage_side(job: Job) -> Side:
    widths = grid_widths(job.circuit, len(GAMMAS))
    return Side(Grid(widths, "ridge", RIDGES), partial(quantum_leverage_trial, job.circuit))


def _rbf_leverage_side(_job: Job) -> Side:
    return Side(Grid(GAMMAS, "ridge", RIDGES), rbf_leverage_trial)


def _leverage(job: Job, found: Found) -> Machine:
    circuit = job.at(found)
    return ObservableMachine(circuit, fit_leverage(job.Z, circuit, found.second))


def _rbf_leverage(job: Job, found: Found) -> Twin:
    return fit_leverage_twin(job.Z, found.width, found.second, job.landmarks())


def _projected_side(job: Job) -> Side:
    widths = grid_widths(job.circuit, len(GAMMAS))
    return Side(Grid(widths, "gamma", PROJECTED_GAMMAS), partial(projected_trial, job.circuit))


def _projected(job: Job, found: Found) -> Machine:
    return fit_projected(job.Z, job.y, job.at(found), found.second, FIXED_COST, class_weight="balanced")


def _workers() -> int:
    return min(_THREADS, os.cpu_count() or 1)


METHODS: dict[str, Method] = {
    "svc": Method(FIT_ROWS, MAX_SUPPORT, _svc_side, _rbf_svc_side, _svc, _rbf_svc),
    "nystrom-logistic": Method(MANY_ROWS, MANY_ROWS, _nystrom_side, _rbf_nystrom_side, _nystrom, _rbf_nystrom),
    "vqc": Method(FIT_ROWS, MAX_SUPPORT, _vqc_side, _rbf_svc_side, _vqc, _rbf_svc),
    "density": Method(FIT_ROWS, MAX_SUPPORT, _density_side, _rbf_density_side, _density, _rbf_density),
    "leverage": Method(MANY_ROWS, MANY_ROWS, _leverage_side, _rbf_leverage_side, _leverage, _rbf_leverage),
    "projected": Method(FIT_ROWS, MAX_SUPPORT, _projected_side, _rbf_svc_side, _projected, _rbf_svc),
}
