"""A trained machine as a file: written where it was trained, read where its model is signed.

    write_qsvc("machine.json", qsvc, features=["failures", "hosts"], values=V, inputs=scaler.transform(V), labels=y)

then ``qscore import-qsvc machine.json``. The file is JSON: the compiled circuit, support vectors and dual coefficients,
or what is measured at its end, and the rows that the machine was trained on, for its twin. Nothing in it runs when it
is read, as something in a pickle or in qiskit-machine-learning's own format does, and whoever reads it needs no Qiskit.

What stood between a feature and the machine's input (a MinMaxScaler, a StandardScaler) is found from the rows
themselves and becomes part of the circuit, whose features here are scaled to 0 and 1 at the ends of the training rows.

Format 1 is a kernel machine, as 0.1.0 wrote and reads it; format 2 a measured circuit (VQC, NeuralNetworkClassifier).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.circuits.errors import CircuitError
from scorer.circuits.plan import Plan
from scorer.models.parts import ArtifactFormatError, check_keys, number, section, texts
from scorer.models.twins import MAX_SUPPORT
from scorer.rows.transform import FeatureError, Scaler
from scorer.training.qsvc.estimators import finite_rows, machine_of
from scorer.training.qsvc.machines import Importable, ImportRefused, KernelMachine, MeasuredCircuit

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

FORMATS = (1, 2)
MAX_BYTES = 256 * 1024 * 1024
#: Words of an observable: as many as there are on six qubits.
MAX_PAULIS = 4096
_KEYS = {"qsvc_format", "circuit", "features", "low", "high", "rows", "labels"}
#: Format -> what it says of the machine.
_OWN_KEYS = {1: {"support", "coefficients", "intercept"}, 2: {"diagonal", "paulis", "offset"}}
#: How far from a straight line an input may lie, as a share of its largest magnitude.
_STRAIGHT = 1e-9


class QsvcFileError(ValueError):
    """A file that holds no machine; the message says which part is wrong."""


@dataclass(frozen=True, eq=False)
class StoredQsvc:
    """A machine as its file holds it.

    ``machine``: on scaled features; high scores mean 1. ``features``: their names (n,). ``rows``: what it was
    trained on, unscaled (N, n), with ``labels`` of 0 and 1 (N,).
    """

    machine: Importable
    features: tuple[str, ...]
    scaler: Scaler
    rows: Array
    labels: Labels


def write_qsvc(
    path: str | Path,
    qsvc: Any,
    *,
    features: Sequence[str],
    values: ArrayLike,
    inputs: ArrayLike,
    labels: ArrayLike,
    positive: Any = None,
    feature_map: Any = None,
) -> None:
    """Write a fitted machine of two labels (see ``import_qsvc``) with the rows that it was trained on.

    ``features``: the names that the recipe has for its inputs, in their order. ``values``: those features of every
    training row (N, n), in the recipe's units. ``inputs``: what the machine, or the pipeline that is given, was fitted
    on (N, n), each a multiple of its feature plus a constant. ``labels``: (N,), as in ``fit``. ``positive``: the label
    of malicious rows; None: the one that sorts second. ``feature_map``: as for ``import_qsvc``. Raises ImportRefused,
    CircuitError.
    """
    V, X, y = finite_rows(values, "values"), finite_rows(inputs, "inputs"), np.asarray(labels)
    machine = machine_of(qsvc, X, positive=positive, feature_map=feature_map)
    names = tuple(str(name) for name in features)
    if not V.shape == X.shape == (len(y), machine.plan.features) or y.ndim != 1 or len(names) != X.shape[1]:
        raise ImportRefused(
            f"{len(names)} features, values of shape {V.shape}, inputs of shape {X.shape} and {len(y)} labels do not "
            f"belong to one machine of {machine.plan.features} features"
        )
    first, last = _ends(names, V, X)
    scaled = machine.rescaled(first, last - first)
    content = {
        **_machine_part(scaled),
        "circuit": scaled.plan.to_dict(),
        "features": list(names),
        "low": V.min(0).tolist(),
        "high": V.max(0).tolist(),
        "rows": V.tolist(),
        "labels": _binary(y, machine.labels),
    }
    Path(path).write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def _machine_part(machine: Importable) -> dict[str, Any]:
    if isinstance(machine, KernelMachine):
        return {
            "qsvc_format": 1,
            "support": machine.support.tolist(),
            "coefficients": machine.coefficients.tolist(),
            "intercept": machine.intercept,
        }
    assert isinstance(machine, MeasuredCircuit)  # noqa: S101 - for the type checker
    paulis = [[word, value] for word, value in machine.paulis]
    return {"qsvc_format": 2, "diagonal": machine.diagonal.tolist(), "paulis": paulis, "offset": machine.offset}


def _binary(y: NDArray[Any], labels: tuple[Any, Any]) -> list[int]:
    found = (y == labels[1]).astype(int)
    if found.min(initial=1) == found.max(initial=0):
        here = sorted(set(y.tolist()))[:4]
        raise ImportRefused(f"the labels must hold {labels[1]!r} and another one; here they are {here}")
    return found.tolist()  # type: ignore[no-any-return]


def _ends(names: tuple[str, ...], V: Array, X: Array) -> tuple[Array, Array]:
    """The inputs (n,) that belong to each feature's least and greatest value; ImportRefused where no line joins all."""
    columns = np.arange(V.shape[1])
    least, greatest = V.argmin(0), V.argmax(0)
    low, high, first, last = (A[at, columns] for A in (V, X) for at in (least, greatest))
    for k, name in enumerate(names):
        if low[k] == high[k] or first[k] == last[k]:
            raise ImportRefused(f"the feature {name!r} or its input is the same on every training row: leave it out")
        line = first[k] + (last[k] - first[k]) * (V[:, k] - low[k]) / (high[k] - low[k])
        if np.abs(line - X[:, k]).max() > _STRAIGHT * np.abs(X[:, k]).max():
            raise ImportRefused(
                f"the input of {name!r} is no multiple of it plus a constant: give the values that the scaler was "
                "given, and make logarithms and ratios features of the recipe"
            )
    return first, last


def read_qsvc(path: Path) -> StoredQsvc:
    """Read a machine from a file that is not trusted; raises QsvcFileError naming the part that is wrong."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise QsvcFileError(f"{path} is larger than {MAX_BYTES} bytes")
        return _stored(json.loads(content))
    except OSError as error:
        raise QsvcFileError(f"{path} cannot be read: {error.strerror}") from None
    except (ArtifactFormatError, CircuitError, FeatureError, ImportRefused, QsvcFileError) as error:
        raise QsvcFileError(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise QsvcFileError(f"{path} is not JSON: pickles and .model files are not read") from None


def _stored(raw: Any) -> StoredQsvc:
    known = isinstance(raw, dict) and type(raw.get("qsvc_format")) is int and raw["qsvc_format"] in FORMATS
    if not known:
        raise QsvcFileError("no machine of the formats 1 and 2, which write_qsvc writes")
    check_keys(raw, _KEYS | _OWN_KEYS[raw["qsvc_format"]], "a stored machine")
    plan = Plan.from_dict(section(raw, "circuit"))
    names, rows, labels = texts(raw, "features"), _numbers(raw, "rows", 2), _numbers(raw, "labels", 1)
    if len(set(names)) != len(names) or rows.shape != (len(labels), len(names)) or len(names) != plan.features:
        raise QsvcFileError(f"rows of shape {rows.shape}, {len(labels)} labels and {len(names)} features")
    if len(rows) > MAX_SUPPORT or set(np.unique(labels).tolist()) != {0.0, 1.0}:
        raise QsvcFileError(f"{len(rows)} training rows; at most {MAX_SUPPORT}, with labels of 0 and 1, both present")
    scaler = Scaler(_numbers(raw, "low", 1), _numbers(raw, "high", 1))
    if scaler.low.shape != (len(names),):
        raise QsvcFileError(f"scales for {len(scaler.low)} of {len(names)} features")
    return StoredQsvc(_machine(raw, plan), names, scaler, rows, labels.astype(np.int64))


def _machine(raw: dict[str, Any], plan: Plan) -> Importable:
    if raw["qsvc_format"] == 1:
        support, coefficients = _numbers(raw, "support", 2), _numbers(raw, "coefficients", 1)
        return KernelMachine(plan, support, coefficients, number(raw, "intercept"), (0, 1))
    return MeasuredCircuit(plan, _numbers(raw, "diagonal", 1), _paulis(raw), number(raw, "offset"), (0, 1))


def _paulis(raw: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """A list of pairs of a word and its coefficient; what words are possible is the machine's to say."""
    value = raw["paulis"]
    few = isinstance(value, list) and len(value) <= MAX_PAULIS
    if not few or not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value):
        raise QsvcFileError(f"paulis is not a list of at most {MAX_PAULIS} words with their coefficients")
    called = "a coefficient of paulis"
    return tuple((word, number({called: coefficient}, called)) for word, coefficient in value)


def _numbers(raw: dict[str, Any], key: str, dimensions: int) -> Array:
    """A list of finite numbers, or a list of lists of equal length."""
    value = raw[key]
    try:
        found = np.array(value) if isinstance(value, list) else None
    except (ValueError, OverflowError):
        found = None
    if found is None or found.ndim != dimensions or found.dtype.kind not in "if" or not np.isfinite(found).all():
        raise QsvcFileError(f"{key} is not {'a list' if dimensions == 1 else 'a table'} of finite numbers")
    return found.astype(np.float64)
