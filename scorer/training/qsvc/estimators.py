"""Which machine an estimator of another library holds: searches and pipelines opened, classes told apart by name.

Nothing of these libraries is loaded here but what the machine's own circuit needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.engine.rows import RowsError, as_table, gaps_in
from scorer.training.qsvc.kernels import is_kind, plan_of
from scorer.training.qsvc.machines import Importable, ImportRefused, KernelMachine
from scorer.training.qsvc.scaling import Scaling, scaling_of

Array = NDArray[np.float64]

_QML = "qiskit_machine_learning"
_KNOWN = (
    "QSVC and SVC or NuSVC on a quantum kernel, PegasosQSVC, VQC, NeuralNetworkClassifier, and Pipeline, GridSearchCV "
    "and other searches around them"
)
#: Training rows that are given and those that the machine kept may differ by rounding.
_SAME_ROWS = 1e-9


def machine_of(
    estimator: Any, training_rows: ArrayLike | None = None, *, positive: Any = None, feature_map: Any = None
) -> Importable:
    """Read a fitted machine of two labels, before it is collapsed; see ``convert.import_qsvc`` for the arguments.

    Raises ImportRefused, CircuitError.
    """
    rows = None if training_rows is None else finite_rows(training_rows, "training_rows")
    found = _opened(estimator, rows, feature_map)
    low, high = found.labels
    if positive is None or positive == high:
        return found
    if positive != low:
        raise ImportRefused(f"positive is {positive!r}; the machine's labels are {low!r} and {high!r}")
    return found.turned()


def finite_rows(rows: ArrayLike, called: str) -> Array:
    """Return rows as finite float64 (N, n); raises ImportRefused, which calls them ``called``."""
    try:
        table = as_table(rows)
    except RowsError as error:
        raise ImportRefused(f"{called}: {error}") from None
    gaps = gaps_in(table)
    if gaps:
        raise ImportRefused(f"{called}: {gaps}; all must be finite")
    return table


def _opened(estimator: Any, rows: Array | None, feature_map: Any) -> Importable:
    if isinstance(estimator, type):
        raise ImportRefused(f"{estimator.__name__} is a class, not a machine: give the fitted object")
    if is_kind(estimator, "sklearn", "BaseSearchCV"):
        return _opened(_best_of(estimator), rows, feature_map)
    if is_kind(estimator, "sklearn", "Pipeline"):
        return _of_pipeline(estimator, rows, feature_map)
    if is_kind(estimator, "sklearn", "RegressorMixin") or is_kind(estimator, _QML, "NeuralNetworkRegressor"):
        raise ImportRefused(
            f"{type(estimator).__name__} is a regression: it predicts a number and tells no two labels apart. Train a "
            "classifier on the labels"
        )
    if callable(getattr(estimator, "kernel_machine", None)):  # our own
        machine: Importable = estimator.kernel_machine(rows)
        return machine
    if is_kind(estimator, _QML, "PegasosQSVC"):
        return _of_pegasos(estimator, feature_map)
    if is_kind(estimator, _QML, "NeuralNetworkClassifier"):
        from scorer.training.qsvc.networks import network_machine

        return network_machine(estimator)
    if is_kind(estimator, "sklearn", "BaseSVC") or hasattr(estimator, "dual_coef_"):
        return _of_svc(estimator, rows, feature_map)
    raise ImportRefused(
        f"{type(estimator).__name__} is none of the machines that are known here: {_KNOWN}. What scores "
        "sum_i a_i k(x, x_i) + b on a fidelity kernel comes in by import_kernel_machine, whoever fitted it"
    )


def _best_of(search: Any) -> Any:
    called = type(search).__name__
    if hasattr(search, "best_estimator_"):
        return search.best_estimator_
    if hasattr(search, "cv_results_"):
        raise ImportRefused(f"the {called} has kept no machine: fit it with refit=True")
    raise _not_fitted(search)


def _of_pipeline(pipeline: Any, rows: Array | None, feature_map: Any) -> Importable:
    *before, (_, last) = pipeline.steps
    scaling = Scaling()
    for name, step in before:
        scaling = scaling.then(scaling_of(name, step))
    if last is None or isinstance(last, str):
        raise ImportRefused("the pipeline's last step is no machine")
    inner = None if rows is None else scaling.shift + scaling.factor * rows
    machine = _opened(last, inner, feature_map)
    return machine.rescaled(*scaling.of(machine.plan.features))


def _of_pegasos(machine: Any, feature_map: Any) -> KernelMachine:
    """f(x) = sum_i alpha_i y_i (k(x, x_i) + 1): what Pegasos adds up, whose +1 is the intercept here.

    There the label that sorts first has y = 1; here high scores mean the second, as they do for every other machine.
    """
    if machine.fit_status_ != type(machine).FITTED:
        raise _not_fitted(machine)
    if machine.precomputed:
        raise _precomputed("PegasosQSVC")
    try:
        support = np.array(sorted(machine._alphas), np.intp)
        alphas = np.array([machine._alphas[int(k)] for k in support], np.float64)
        rows, labels = finite_rows(machine._x_train, "the machine's training rows"), np.asarray(machine._y_train)
        second = machine._label_neg
        offset = float(machine._kernel_offset)
    except AttributeError as error:
        raise ImportRefused(
            f"this version of qiskit-machine-learning keeps a PegasosQSVC's weights elsewhere ({error}): use "
            "import_kernel_machine"
        ) from None
    weights = np.where(labels[support] == second, alphas, -alphas)
    plan = plan_of(_kernel_of(machine.quantum_kernel), rows, feature_map=feature_map)
    pair = tuple(np.asarray([machine._label_pos, second]).tolist())
    return KernelMachine(plan, rows[support], weights, offset * float(weights.sum()), (pair[0], pair[1]))


def _of_svc(machine: Any, rows: Array | None, feature_map: Any) -> KernelMachine:
    called = type(machine).__name__
    if not hasattr(machine, "dual_coef_"):
        raise _not_fitted(machine)
    if not hasattr(machine, "classes_"):
        raise ImportRefused(f"{called} knows one class: it has no two labels to tell apart")
    labels = np.asarray(machine.classes_).tolist()
    if len(labels) != 2:
        raise ImportRefused(f"the machine has {len(labels)} classes {tuple(labels)}; one observable tells two apart")
    kernel = _kernel_of(machine.kernel)
    if isinstance(kernel, str):
        raise (
            _precomputed(called)
            if kernel == "precomputed"
            else ImportRefused(f"the machine's kernel is {kernel!r}, a classical one: there is no circuit to import")
        )
    support = _support_rows(machine, rows)
    plan = plan_of(kernel, support, feature_map=feature_map)
    weights = np.asarray(machine.dual_coef_, np.float64)[0]
    return KernelMachine(plan, support, weights, float(np.asarray(machine.intercept_)[0]), (labels[0], labels[1]))


def _kernel_of(kernel: Any) -> Any:
    """The kernel behind a bound ``evaluate``; anything else as it is."""
    owner = getattr(kernel, "__self__", None)
    return owner if owner is not None and getattr(kernel, "__name__", "") == "evaluate" else kernel


def _support_rows(machine: Any, given: Array | None) -> Array:
    """Rows of the support vectors; scikit-learn keeps the fitted rows of a machine whose kernel is a function."""
    kept = getattr(machine, "_BaseLibSVM__Xfit", None)
    if kept is None and given is None:
        raise ImportRefused("the machine does not hold the rows that it was fitted on: give training_rows=X")
    rows = given if kept is None else finite_rows(kept, "the machine's training rows")
    assert rows is not None  # noqa: S101 - for the type checker
    fitted = tuple(getattr(machine, "shape_fit_", rows.shape))
    for table in (rows, given):
        if table is not None and len(table) != fitted[0]:
            raise ImportRefused(f"rows of shape {table.shape}, but the machine was fitted on {fitted[0]} rows")
    if given is not None and given is not rows:
        _require_same(given, rows)
    taken: Array = rows[np.asarray(machine.support_)]
    return taken


def _require_same(given: Array, kept: Array) -> None:
    if given.shape == kept.shape:
        apart = np.abs(given - kept) > _SAME_ROWS * np.maximum(1.0, np.abs(kept))
        if not apart.any():
            return
        row, column = (int(k) for k in np.argwhere(apart)[0])
        where = f"row {row} has {given[row, column]:.6g} in column {column}, the machine's {kept[row, column]:.6g}"
    else:
        where = f"their shape is {given.shape}, the machine's {kept.shape}"
    raise ImportRefused(f"these are not the rows that the machine was fitted on: {where}. Give what fit was given")


def _not_fitted(estimator: Any) -> ImportRefused:
    return ImportRefused(f"the machine, a {type(estimator).__name__}, has not been fitted: call fit(X, y) first")


def _precomputed(called: str) -> ImportRefused:
    return ImportRefused(
        f"the {called}'s kernel was precomputed, which says nothing of the circuit: use import_kernel_machine with the "
        "quantum kernel, the support vectors, their dual coefficients and the intercept"
    )
