"""The table of backends, and Aer: matrix-product states and shots against the exact engine."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from scorer.circuits.circuit import Builder
from scorer.circuits.maps import hardware_efficient, zz
from scorer.circuits.plan import Plan
from scorer.engine.backends.aer import mps_bloch_vectors, observable_counts
from scorer.engine.backends.table import BACKENDS, NoSimulator, UnknownBackend, backend, use_backend
from scorer.engine.bloch import bloch_vectors, projected
from scorer.engine.reference import amplitudes

from .plans import random_observable
from .strategies import plans

CIRCUIT = zz(3, 2, "linear", 0.7).plan
LARGE = zz(13, 1, "linear", 0.3).plan


def rows(count: int, features: int) -> Any:
    return np.random.default_rng(1).random((count, features))


def python(program: str) -> list[str]:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return result.stdout.splitlines()


@pytest.mark.parametrize("name", BACKENDS)
def test_every_line_of_the_table_makes_a_backend_of_that_name(name: str) -> None:
    made = backend(name)
    assert made.name == name
    assert np.abs(made.bloch_vectors(CIRCUIT, rows(2, 3)) - projected(CIRCUIT, rows(2, 3))).max() <= 1e-6
    module, _, maker = BACKENDS[name].partition(":")
    assert isinstance(made, getattr(import_module(module), maker))


@pytest.mark.parametrize("name", ["", "Aer", "ibm "])
def test_a_name_that_is_not_in_the_table_is_refused_with_those_that_are(name: str) -> None:
    for ask in (backend, use_backend):
        with pytest.raises(UnknownBackend, match=f"no backend {name!r}; known are aer"):
            ask(name)


def test_a_process_without_a_backend_says_whose_work_it_is() -> None:
    with pytest.raises(NoSimulator, match="13 qubits is scored by a worker of the qpu lane; this process is none"):
        projected(LARGE, rows(2, 13))


def test_a_process_that_chose_one_projects_large_circuits_and_no_other_does() -> None:
    program = (
        "import json\n"
        "import numpy as np\n"
        "from scorer.circuits.maps import zz\n"
        "from scorer.engine.backends.table import use_backend\n"
        "from scorer.engine.bloch import projected\n"
        "use_backend('aer')\n"
        "Z = np.random.default_rng(1).random((2, 13))\n"
        "print(json.dumps(projected(zz(13, 1, 'linear', 0.3).plan, Z).tolist()))\n"
    )
    found = np.array(json.loads(python(program)[-1]))
    assert np.abs(found - bloch_vectors(amplitudes(LARGE, rows(2, 13)).T).T).max() <= 1e-6


def test_the_table_and_the_exact_engine_load_no_simulator() -> None:
    program = (
        "import sys\n"
        "import scorer.engine.backends.table, scorer.engine.bloch, scorer.engine.fast\n"
        "print([name for name in ('qiskit', 'qiskit_aer', 'numba') if name in sys.modules])\n"
    )
    assert python(program) == ["[]"]


def test_a_backend_whose_libraries_are_missing_says_which() -> None:
    program = (
        "import sys; sys.modules['qiskit_aer'] = None\n"
        "from scorer.engine.backends.table import use_backend\n"
        "try:\n"
        "    use_backend('aer')\n"
        "except ImportError as error:\n"
        "    print(error.name)\n"
    )
    assert python(program) == ["qiskit_aer"]


@settings(max_examples=15, deadline=None)
@given(plans(most_qubits=4, most_steps=5))
def test_any_plan_has_the_exact_bloch_vectors_on_aer(plan: Plan) -> None:
    Z = rows(2, plan.features)
    assert np.abs(mps_bloch_vectors(plan, Z) - projected(plan, Z)).max() <= 1e-6


def test_shots_count_every_row_and_repeat_with_their_seed() -> None:
    _, vectors = random_observable(3, 2)
    basis = np.linalg.qr(vectors.T)[0].T
    counts = observable_counts(CIRCUIT, basis, rows(5, 3), 300, seed=2)
    assert counts.shape == (5, 3)
    assert (counts.sum(1) == 300).all()
    assert np.array_equal(counts, observable_counts(CIRCUIT, basis, rows(5, 3), 300, seed=2))
    assert not np.array_equal(counts, observable_counts(CIRCUIT, basis, rows(5, 3), 300, seed=3))


@pytest.mark.parametrize("circuit", [zz(5, 2, "full", 0.4), hardware_efficient(6, bandwidth=0.8)], ids=["zz", "he"])
def test_matrix_product_states_give_the_exact_bloch_vectors(circuit: Any) -> None:
    Z = rows(5, circuit.features)
    assert np.abs(mps_bloch_vectors(circuit.plan, Z) - projected(circuit.plan, Z)).max() <= 1e-6


def test_a_circuit_that_no_row_changes_gives_every_row_its_state() -> None:
    """Without a parameter to bind Aer ran it once: all rows but the first held what was in memory."""
    circuit = Builder("fixed", 3, 2).h(0).ry(0.3, 1).cx(0, 1).build()
    Z = rows(4, 2)
    exact = projected(circuit.plan, Z)
    assert np.abs(mps_bloch_vectors(circuit.plan, Z) - exact).max() <= 1e-6
    state = amplitudes(circuit, Z[:1])
    assert observable_counts(circuit, state, Z, 4000, seed=9).tolist() == [[4000, 0]] * 4


def test_fourteen_qubits_are_those_of_the_whole_state() -> None:
    circuit = zz(14, 2, "linear", 0.3)
    Z = rows(2, 14)
    with pytest.raises(NoSimulator, match="14 qubits is scored by a worker of the qpu lane"):
        projected(circuit.plan, Z)
    assert np.abs(mps_bloch_vectors(circuit.plan, Z) - bloch_vectors(amplitudes(circuit, Z).T).T).max() <= 1e-6
