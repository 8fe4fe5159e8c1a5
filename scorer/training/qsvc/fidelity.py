"""An imported machine as it is deployed: the machine itself, or as near to it as is measured and said.

Up to FULL_RANK_QUBITS qubits nothing is cut. Beyond, eigenvalues go as long as no score of the rows at hand moves by
more than MOST_CHANGE of the scores' standard deviation. Rows are scored in float32 where that moves no score by more
than MOST_ROUNDING of it, otherwise in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from scorer.models.machine import ObservableMachine
from scorer.models.observable import Observable
from scorer.models.ranks import least_cut
from scorer.rows.transform import CLIP, Scaler
from scorer.training.evaluate import average_precision
from scorer.training.qsvc.machines import Importable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FULL_RANK_QUBITS = 8
MOST_CHANGE = 1e-3
MOST_ROUNDING = 1e-4
#: Rows on which cut and rounding are measured, of those that the machine was trained on and of those that judge it.
_ROWS = 2000


@dataclass(frozen=True)
class BeforeAfter:
    """A figure of the machine as it came, and of the model as it is deployed."""

    before: float
    after: float


@dataclass(frozen=True)
class Fidelity:
    """How the deployed model differs from the machine, on rows that judge both.

    ``rank`` of ``full_rank`` eigenvalues were kept; the largest that was not is ``bound``, which no score of any row
    moved beyond. ``precision``: what rows are scored in. ``distance``: the largest difference of a score of ``rows``
    rows, in standard deviations of the machine's scores, inside the range that models score; ``clipped``: rows outside
    of it, which count as if they were at its edge.
    """

    rank: int
    full_rank: int
    bound: float
    precision: str
    distance: float
    rows: int
    clipped: int
    roc_auc: BeforeAfter
    pr_auc: BeforeAfter


def deployed_machine(machine: Importable, whole: Observable, Z: Floats, seed: int) -> ObservableMachine:
    """Make what scores rows of the machine, which is ``whole`` in float64; measured on scaled rows Z (N, features)."""
    some = _some(Z, seed)
    plan, rank = machine.plan, whole.rank
    if plan.qubits > FULL_RANK_QUBITS:
        rank = least_cut(whole, plan, some, MOST_CHANGE).rank
    single = ObservableMachine(plan, whole.truncated(rank))
    # A score that float32 leaves where it is shows in the exact scores of the same cut.
    double = ObservableMachine(plan, _kept(whole, rank))
    exact = double.exact_scores(some)
    moved = float(np.abs(single.scores(some) - exact).max(initial=0.0))
    return single if moved <= MOST_ROUNDING * float(exact.std()) else double


def fidelity(
    machine: Importable, whole: Observable, deployed: ObservableMachine, scaler: Scaler, X: Floats, y: Ints
) -> Fidelity:
    """Compare the deployed model with the machine, ``whole``, on unscaled rows X (N, features) labelled y (N,)."""
    Z, free = scaler.apply(X), (X - scaler.low) / (scaler.high - scaler.low)
    inside = ((free >= CLIP[0]) & (free <= CLIP[1])).all(1)
    # Formulas of a plug-in may have no value so far out.
    Z_machine = np.where(machine.plan.defined(free)[:, None], free, Z)
    theirs, ours = whole.exact_scores(machine.plan, Z_machine), deployed.scores(Z)
    spread = float(theirs.std())
    largest = float(np.abs(ours - theirs)[inside].max(initial=0.0))
    return Fidelity(
        rank=deployed.observable.rank,
        full_rank=whole.rank,
        bound=deployed.observable.tail,
        precision="float64" if deployed.double else "float32",
        distance=largest / spread if spread > 0.0 else 0.0,
        rows=len(X),
        clipped=int((~inside).sum()),
        roc_auc=BeforeAfter(float(roc_auc_score(y, theirs)), float(roc_auc_score(y, ours))),
        pr_auc=BeforeAfter(average_precision(y, theirs), average_precision(y, ours)),
    )


def sentence(found: Fidelity) -> str:
    """Say in words, for report and card, whether the model is the machine."""
    kept = f"all {found.full_rank}" if found.rank == found.full_rank else f"{found.rank} of {found.full_rank}"
    outside = f"; {found.clipped} rows lie outside of the range that is scored" if found.clipped else ""
    return (
        f"The model keeps {kept} eigenvalues of the imported machine and scores in {found.precision}; on {found.rows} "
        f"rows no score differs by more than {found.distance:.1g} of the machine's standard deviation{outside}. "
        f"ROC-AUC {found.roc_auc.before:.4f} as it came, {found.roc_auc.after:.4f} as deployed; "
        f"PR-AUC {found.pr_auc.before:.4f} and {found.pr_auc.after:.4f}"
    )


def _kept(whole: Observable, rank: int) -> Observable:
    return Observable(
        whole.values[:rank].copy(),
        np.ascontiguousarray(whole.vectors[:rank], np.complex128),
        whole.offset,
        whole.spectral_tail(rank),
    )


def _some(Z: Floats, seed: int) -> Floats:
    if len(Z) <= _ROWS:
        return Z
    return Z[np.sort(np.random.default_rng([seed, 5]).choice(len(Z), _ROWS, replace=False))]
