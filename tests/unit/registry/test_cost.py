"""What a model costs a row is bounded when its circuit is made, when it is signed and when it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import feature
from scorer.circuits.limits import MAX_OPERATIONS, MAX_QUBITS, MAX_SIMULATED_OPERATIONS
from scorer.circuits.maps import reuploading
from scorer.circuits.plan import Plan
from scorer.circuits.steps.cost import operations
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step
from scorer.circuits.zz import ZZMap
from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry, canonical
from scorer.registry.trusted import trust
from scorer.rows.batches import FeatureBatch
from scorer.scoring.score import score
from scorer.wire.errors import ArtifactRejected, BodyTooLarge
from scorer.wire.options import ScoreOptions

ROOT = Path(__file__).resolve().parents[3]
ANGLES = (feature(0),)


def plan(steps: tuple[Step, ...], qubits: int) -> Plan:
    return Plan("costly", qubits, 1, 1.0, ANGLES, steps)


COSTLY: dict[str, tuple[tuple[Step, ...], int]] = {
    "four thousand steps": ((Hadamards(4095), Phases(((1, 0),))) * 2000, 12),
    "one qubit at a time": (tuple(Local(k % 12, (("rx", 0),)) for k in range(4000)), 12),
    "diagonals": ((Phases(tuple((1 << k, 0) for k in range(4))), Hadamards(1)) * 500, 12),
    "inside a run": ((Phases(((1, 0),)), Fixed((Hadamards(4095),) * 1000)), 12),
    "a large circuit": (tuple(Local(k % 20, (("rx", 0),)) for k in range(4000)), 20),
    "a large affine one": ((Phases(((1, 0),)), *(Affine(tuple(1 << k for k in range(20))),) * 1100), 20),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_circuit_that_costs_too_much_is_refused_with_the_numbers(name: str) -> None:
    steps, qubits = COSTLY[name]
    most = MAX_OPERATIONS if qubits <= MAX_QUBITS else MAX_SIMULATED_OPERATIONS
    with pytest.raises(CircuitError, match=rf"a row takes about \d+ operations in \d+ steps.*; {most} are possible"):
        plan(steps, qubits)


@pytest.mark.parametrize(
    "circuit", [ZZMap(12, 6, "full", 0.5), reuploading(12, 12, layers=8), reuploading(20, 20, layers=4)]
)
def test_the_largest_maps_that_anybody_trains_cost_little(circuit: Any) -> None:
    found = circuit.plan
    most = MAX_OPERATIONS if found.qubits <= MAX_QUBITS else MAX_SIMULATED_OPERATIONS
    assert 0 < found.operations < most / 4


def test_more_steps_and_more_qubits_cost_more() -> None:
    steps = (Hadamards(0b11), Phases(((1, 0),)))
    costs = [operations(steps * k, ANGLES, n) for n in (2, 5, 9) for k in (1, 2, 3)]
    assert costs == sorted(costs)
    assert len(set(costs)) == len(costs)


def _stored(registries: Path) -> Iterator[tuple[Registry, str, str]]:
    for keys in sorted(registries.rglob("trusted_keys")):
        registry = Registry(keys.parent / "registry", keys)
        for name in registry.names():
            for version in registry.versions(name):
                yield registry, name, version


@pytest.mark.parametrize("folder", ["tests/fixtures/v010", "tests/unit/models/data"])
def test_artifacts_of_earlier_versions_are_far_below_the_limit(folder: str) -> None:
    found = list(_stored(ROOT / folder))
    assert found
    for registry, name, version in found:
        assert registry.load(name, version).machine.circuit.plan.operations < MAX_OPERATIONS / 20


def test_a_signed_model_that_costs_too_much_is_not_loaded(tmp_path: Path, tiny_model: TrainedModel) -> None:
    signer, _ = Signer.load_or_create(tmp_path / "private" / "key.pem", tmp_path / "trusted")
    registry = Registry(tmp_path / "registry", tmp_path / "trusted")
    version = registry.publish(tiny_model, signer)
    folder = registry.root / "lateral" / version
    manifest = json.loads((folder / "manifest.json").read_bytes())
    circuit = tiny_model.machine.circuit.plan.to_dict()
    circuit["steps"] = [{"step": "fixed", "steps": [{"step": "hadamards", "qubits": 7}] * 4000}]
    manifest["model"]["machine"]["circuit"] = circuit | {"qubits": 12}
    content = canonical(manifest)
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(signer.sign(content))
    trust(signer.private_key.public_key(), tmp_path / "trusted")
    with pytest.raises(ArtifactRejected, match=r"a row takes about \d+ operations"):
        registry.load("lateral", version)


def _batch(model: TrainedModel, values: Any) -> FeatureBatch:
    columns = {"events": values, "logons": np.minimum(values, 3.0), "failures": np.zeros(len(values))}
    return FeatureBatch("b" * 8, model.name, columns, {}, range(len(values)))


def test_a_batch_that_cannot_be_done_in_time_is_refused_before_and_says_how_many_can(tiny_model: TrainedModel) -> None:
    seconds = 500.5 * tiny_model.operations / 4e9
    different, same = np.arange(1.0, 1001.0), np.ones(1000)
    with pytest.raises(BodyTooLarge, match=r"1000 different rows of lateral.*Send at most 500 rows at a time"):
        score(tiny_model, "1", _batch(tiny_model, different), ScoreOptions(), None, seconds)
    assert len(score(tiny_model, "1", _batch(tiny_model, same), ScoreOptions(), None, seconds)) == 1000
    assert len(score(tiny_model, "1", _batch(tiny_model, different[:500]), ScoreOptions(), None, seconds)) == 500
