"""Feature maps by name: ours, and those of another package that is installed for real."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from scorer.circuits.circuit import Circuit
from scorer.circuits.errors import CircuitError, UnknownMap
from scorer.circuits.plan import Plan
from scorer.circuits.plugins import feature_map, installed, parameters_of
from scorer.circuits.qiskit.exporting import to_qiskit
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes
from tests.plugin_package.installed import install_into
from tests.unit.circuits.dense import qiskit_states

OURS = {"zz", "pauli", "qft", "reuploading", "hardware_efficient"}
Z = np.random.default_rng(5).uniform(0, 1, (3, 4))


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_into(tmp_path_factory.mktemp("site"))


@pytest.fixture
def plugins(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, "example_maps", raising=False)


def entry_points_file(folder: Path, lines: str, modules: str = "") -> str:
    info = folder / "other_maps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-maps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[qscore.feature_maps]\n" + lines)
    (folder / "other_maps.py").write_text(modules)
    return str(folder)


def test_ours_are_found_by_the_same_lookup() -> None:
    assert set(installed()) >= OURS
    for name in OURS:
        made = feature_map(name, 3, bandwidth=0.5)
        assert (made.name, made.features, made.bandwidth) == (name, 3, 0.5)
        assert Plan.from_dict(made.plan.to_dict()) == made.plan


def test_zz_stays_the_map_that_artifacts_name() -> None:
    assert feature_map("zz", 4, reps=3, bandwidth=0.5) == ZZMap(4, 3, "full", 0.5)


def test_a_map_says_what_it_takes() -> None:
    assert parameters_of("zz") == {"reps": 2, "entanglement": "full"}
    assert parameters_of("reuploading")["qubits"] is None
    with pytest.raises(UnknownMap):
        parameters_of("nothing")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownMap, match=r"no feature map 'xyz' .* qft, reuploading, zz.*qscore.feature_maps"):
        feature_map("xyz", 3)


def test_a_parameter_that_the_map_does_not_take_is_named() -> None:
    with pytest.raises(CircuitError, match=r"'qft' cannot be called so.*'depth'.*It takes reps.*swaps"):
        feature_map("qft", 3, depth=2)


def test_a_value_that_the_map_refuses_keeps_its_own_words() -> None:
    with pytest.raises(CircuitError, match="entanglement is 'ring'"):
        feature_map("zz", 3, entanglement="ring")


@pytest.mark.usefixtures("plugins")
def test_another_packages_maps() -> None:
    breathing = feature_map("breathing", 4, layers=3, bandwidth=0.7)
    assert isinstance(breathing, Circuit)
    assert breathing.name == "breathing"
    assert np.abs(amplitudes(breathing, Z) - qiskit_states(to_qiskit(breathing), Z)).max() <= 1e-12
    kinds = [type(step).__name__ for step in breathing.plan.without_global_phase.steps]
    assert kinds == ["Hadamards", "Phases"] * 3


@pytest.mark.usefixtures("plugins")
def test_another_packages_qiskit_circuit() -> None:
    from example_maps import ising

    made = feature_map("ising", 4, reps=2, bandwidth=0.7)
    assert np.abs(amplitudes(made, Z) - qiskit_states(ising(4, 2), 0.7 * Z)).max() <= 1e-12
    assert parameters_of("ising") == {"reps": 1}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def f(features): raise KeyError('boom')", r"'other' failed for 3 features: KeyError\('boom'\)"),
        ("def f(features): return 5", "int is neither a feature map nor a Qiskit circuit"),
        ("f = 3", "is not a callable"),
        ("import no_such_module_anywhere", "does not load: ModuleNotFoundError"),
        (
            "from scorer.circuits.maps import qft\ndef f(features): return qft(2)",
            "takes 2 features where the model has 3",
        ),
        ("class M:\n  def to_circuit(self): return 7\ndef f(features): return M()", "int is neither"),
        (
            "class M:\n  def to_circuit(self): raise KeyError('late')\ndef f(features): return M()",
            r"'other' failed to make its circuit: KeyError\('late'\)",
        ),
        ("f = dict", "does not say what it takes"),
    ],
)
def test_a_broken_plugin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str) -> None:
    monkeypatch.syspath_prepend(entry_points_file(tmp_path, "other = other_maps:f\n", body + "\n"))
    monkeypatch.delitem(sys.modules, "other_maps", raising=False)
    with pytest.raises(CircuitError, match=message):
        feature_map("other", 3)


def test_without_qiskit_what_is_no_circuit_of_ours_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(entry_points_file(tmp_path, "other = other_maps:f\n", "def f(features): return 5\n"))
    monkeypatch.delitem(sys.modules, "other_maps", raising=False)
    monkeypatch.setitem(sys.modules, "qiskit.circuit", None)
    with pytest.raises(CircuitError, match=r"'other' returned int, .* without qiskit.*pip install 'qscore\[qiskit\]'"):
        feature_map("other", 3)


def test_two_packages_with_one_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(entry_points_file(tmp_path, "zz = other_maps:f\n"))
    with pytest.raises(CircuitError, match=r"two packages name a feature map 'zz'"):
        feature_map("zz", 3)


def test_a_map_of_the_users_own_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "from scorer.circuits.maps import qft\nclass M:\n  def to_circuit(self): return qft(3)\n"
    body += "def f(features): return M()\n"
    monkeypatch.syspath_prepend(entry_points_file(tmp_path, "other = other_maps:f\n", body))
    monkeypatch.delitem(sys.modules, "other_maps", raising=False)
    made = feature_map("other", 3)
    assert (made.name, made.plan.steps) == ("other", feature_map("qft", 3).plan.steps)
