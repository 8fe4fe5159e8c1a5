"""qscore in Python: quantum kernels as scikit-learn estimators, and signed models scored where you are.

Circuits are simulated exactly on classical processors. Everything here is defined in ``scorer``; nothing else is
public. docs/python.md is the tutorial.
"""

from typing import TYPE_CHECKING

from scorer.library.lazy import NAMES
from scorer.wire.release import RELEASE

if TYPE_CHECKING:
    from scorer.circuits.circuit import Builder as Builder
    from scorer.circuits.expressions import feature as feature
    from scorer.circuits.maps import hardware_efficient as hardware_efficient
    from scorer.circuits.maps import pauli as pauli
    from scorer.circuits.maps import qft as qft
    from scorer.circuits.maps import reuploading as reuploading
    from scorer.circuits.maps import zz as zz
    from scorer.circuits.plugins import feature_map as feature_map
    from scorer.circuits.qiskit.exporting import to_qasm3 as to_qasm3
    from scorer.circuits.qiskit.exporting import to_qiskit as to_qiskit
    from scorer.circuits.qiskit.importing import import_circuit as import_circuit
    from scorer.library.estimators.classifier import QuantumKernelClassifier as QuantumKernelClassifier
    from scorer.library.estimators.kernel import FidelityKernel as FidelityKernel
    from scorer.library.estimators.novelty import QuantumNoveltyDetector as QuantumNoveltyDetector
    from scorer.library.estimators.nystrom import NystromFeatures as NystromFeatures
    from scorer.library.export import write_machine as write_machine
    from scorer.library.features import recipe_features as recipe_features
    from scorer.library.plots.figures import plot_circuit as plot_circuit
    from scorer.library.plots.figures import plot_kernel as plot_kernel
    from scorer.library.plots.figures import plot_spectrum as plot_spectrum
    from scorer.library.plots.spectrum import effective_rank as effective_rank
    from scorer.library.plots.spectrum import kernel_spectrum as kernel_spectrum
    from scorer.library.plots.text import draw as draw
    from scorer.library.signed import SignedModel as SignedModel
    from scorer.library.signed import load_model as load_model
    from scorer.library.signed import score as score
    from scorer.wire.errors import QScoreError as QScoreError
else:
    from scorer.library.lazy import listed as __dir__  # noqa: F401 - Python calls it
    from scorer.library.lazy import load as __getattr__  # noqa: F401

__all__ = ["__version__", *NAMES]
__version__ = RELEASE
