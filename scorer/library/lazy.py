"""The names of `import qscore`, each loaded when it is first asked for.

So that scoring a signed model, in a Spark executor say, loads NumPy and Arrow alone, and the whole is there without
what only a part of it needs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

#: Name -> module that it comes from.
NAMES = {
    "QuantumKernelClassifier": "scorer.library.estimators.classifier",
    "QuantumNoveltyDetector": "scorer.library.estimators.novelty",
    "FidelityKernel": "scorer.library.estimators.kernel",
    "NystromFeatures": "scorer.library.estimators.nystrom",
    "zz": "scorer.circuits.maps",
    "pauli": "scorer.circuits.maps",
    "qft": "scorer.circuits.maps",
    "reuploading": "scorer.circuits.maps",
    "hardware_efficient": "scorer.circuits.maps",
    "feature_map": "scorer.circuits.plugins",
    "Builder": "scorer.circuits.circuit",
    "feature": "scorer.circuits.expressions",
    "import_circuit": "scorer.circuits.qiskit.importing",
    "to_qiskit": "scorer.circuits.qiskit.exporting",
    "to_qasm3": "scorer.circuits.qiskit.exporting",
    "recipe_features": "scorer.library.features",
    "write_machine": "scorer.library.export",
    "draw": "scorer.library.plots.text",
    "plot_circuit": "scorer.library.plots.figures",
    "plot_kernel": "scorer.library.plots.figures",
    "plot_spectrum": "scorer.library.plots.figures",
    "kernel_spectrum": "scorer.library.plots.spectrum",
    "effective_rank": "scorer.library.plots.spectrum",
    "SignedModel": "scorer.library.signed",
    "load_model": "scorer.library.signed",
    "score": "scorer.library.signed",
    "QScoreError": "scorer.wire.errors",
}
#: Distributions by the module that is missed -> the extra that brings them.
_EXTRAS = {
    "sklearn": "train",
    "scipy": "train",
    "threadpoolctl": "train",
    "qiskit": "qiskit",
    "matplotlib": "plot",
}


def load(name: str) -> Any:
    """Load what `import qscore` calls ``name``, and keep it there.

    Raises AttributeError for other names, ImportError saying what to install where something is missing.
    """
    if name not in NAMES:
        raise AttributeError(f"module 'qscore' has no attribute {name!r}")
    try:
        found = getattr(import_module(NAMES[name]), name)
    except ModuleNotFoundError as error:
        raise missing(f"qscore.{name}", error) from error
    setattr(sys.modules["qscore"], name, found)
    return found


def listed() -> list[str]:
    """List the names, sorted, as ``dir(qscore)`` does."""
    return sorted([*NAMES, "__version__"])


def missing(what: str, error: ModuleNotFoundError) -> ImportError:
    """Say which extra ``what`` needs, of a module that was not found."""
    module = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(module)
    remedy = f"pip install 'qscore[{extra}]'" if extra else f"pip install {module}"
    return ImportError(f"{what} needs {module}, which is not installed: {remedy}", name=error.name)
