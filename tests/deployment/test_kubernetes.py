"""The manifests against Kubernetes's schemas and our own demands; the chart makes exactly them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scorer.service.queue.lanes import LANES
from scorer.service.settings import Settings
from tests.deployment.conftest import said

VERSIONS = ("1.29", "1.37")
#: The profile "restricted" of Kubernetes's Pod Security Standards, for each container.
CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
#: Of KEDA's ScaledObject, what ours uses; KEDA's own definition is in its repository.
SCALED = {
    "type": "object",
    "additionalProperties": False,
    "required": ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "fallback", "triggers"],
    "properties": {
        "scaleTargetRef": {"type": "object", "required": ["name"], "additionalProperties": False,
                           "properties": {"name": {"type": "string"}}},
        "minReplicaCount": {"type": "integer", "minimum": 1},
        "maxReplicaCount": {"type": "integer", "minimum": 1},
        "cooldownPeriod": {"type": "integer"},
        "pollingInterval": {"type": "integer", "minimum": 1},
        "fallback": {"type": "object", "required": ["failureThreshold", "replicas"], "additionalProperties": False,
                     "properties": {"failureThreshold": {"type": "integer"}, "replicas": {"type": "integer"}}},
        "triggers": {
            "type": "array", "minItems": 1,
            "items": {
                "type": "object", "additionalProperties": False, "required": ["type", "metadata", "authenticationRef"],
                "properties": {
                    "type": {"const": "metrics-api"},
                    "authenticationRef": {"type": "object", "required": ["name"]},
                    "metadata": {
                        "type": "object", "additionalProperties": False,
                        "required": ["url", "format", "valueLocation", "targetValue", "authMode"],
                        "properties": {
                            "url": {"type": "string", "pattern": "^https://"},
                            "format": {"const": "prometheus"},
                            "valueLocation": {"type": "string", "pattern": "^qscore_backlog_seconds\\{queue="},
                            "targetValue": {"type": "string", "pattern": "^[0-9.]+$"},
                            "authMode": {"const": "bearer"},
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def folder(repository: Path) -> Path:
    return repository / "packaging" / "kubernetes"


@pytest.fixture(scope="session")
def objects(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.yaml"))
    assert len(files) == 7
    return [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            yield one["metadata"]["name"].removeprefix("qscore-"), one["spec"]["template"]["spec"]


VALIDATE = """
import json, sys, kubernetes_validate
for one in json.load(sys.stdin):
    kubernetes_validate.validate(one, sys.argv[1], strict=True)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_them(tools: Path, objects: list[dict[str, Any]], version: str) -> None:
    built_in = [one for one in objects if not one["apiVersion"].startswith("keda.sh")]
    assert len(built_in) == 17
    checked = said(str(tools / "python"), "-c", VALIDATE, version, given=json.dumps(built_in))
    assert checked.returncode == 0, checked.stderr[-2000:]
    deployment = [one for one in built_in if one["kind"] == "Deployment"][:1]
    wrong = json.loads(json.dumps(deployment).replace('"readOnlyRootFilesystem"', '"readonlyRootFilesystem"'))
    assert said(str(tools / "python"), "-c", VALIDATE, version, given=json.dumps(wrong)).returncode == 1


def test_every_pod_is_confined(objects: list[dict[str, Any]]) -> None:
    assert {name for name, _ in pods(objects)} == {
        "gateway", "worker-score", "worker-bulk", "worker-deliver", "connector",
    }  # fmt: skip
    for name, pod in pods(objects):
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        # Kubernetes would else name the gateway's service in variables that begin as our settings do.
        assert pod["enableServiceLinks"] is False, name
        for container in pod["containers"]:
            assert container["securityContext"] == CONFINED, name
            assert "@sha256:" in container["image"], name
            assert container["resources"]["limits"]["memory"], name
            assert container["startupProbe"], name
            assert container["livenessProbe"], name


def test_every_pod_has_the_key_of_the_queues_seals(objects: list[dict[str, Any]]) -> None:
    for name, pod in pods(objects):
        volumes = {one["name"]: one.get("secret", {}).get("secretName") for one in pod["volumes"]}
        assert volumes["queue-key"] == "qscore-queue-key", name
        for container in pod["containers"]:
            variables = {one["name"]: one["value"] for one in container["env"]}
            folder, _, _ = variables["QSCORE_QUEUE_KEY_FILE"].rpartition("/")
            mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
            assert mounts[folder] == "queue-key", name


def test_a_pod_has_the_time_that_its_work_may_take(objects: list[dict[str, Any]]) -> None:
    settings, grace = Settings(), {name: pod["terminationGracePeriodSeconds"] for name, pod in pods(objects)}
    for lane in ("score", "bulk", "deliver"):
        assert grace[f"worker-{lane}"] > LANES.by_name[lane].clock(settings).task_seconds, lane
    (gateway,) = (pod for name, pod in pods(objects) if name == "gateway")
    pause = int(gateway["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert grace["gateway"] > settings.gateway.max_timeout + pause


def test_what_runs_several_times_has_a_budget_and_never_stops_all_at_once(objects: list[dict[str, Any]]) -> None:
    budgets = {one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"}
    assert budgets == {f"qscore-{name}" for name, _ in pods(objects)}
    for one in objects:
        if one["kind"] == "Deployment" and one["metadata"]["name"] != "qscore-connector":
            assert one["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_nobody_reaches_anything_that_is_not_named(objects: list[dict[str, Any]]) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "NetworkPolicy"}
    everything = policies["qscore-all"]
    assert set(everything["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in everything
    assert all(rule["to"] and rule["ports"] for policy in policies.values() for rule in policy.get("egress", []))
    assert policies["qscore-gateway"]["ingress"] == [{"ports": [{"port": 8417, "protocol": "TCP"}]}]


def test_scaling_goes_by_seconds_of_work(objects: list[dict[str, Any]]) -> None:
    scaled = [one for one in objects if one["kind"] == "ScaledObject"]
    assert len(scaled) == 2
    for one in scaled:
        jsonschema.validate(one["spec"], SCALED)
        queue = LANES.by_name[one["spec"]["scaleTargetRef"]["name"].removeprefix("qscore-worker-")].queues[0]
        assert one["spec"]["triggers"][0]["metadata"]["valueLocation"].endswith(f'{{queue="{queue}"}}')


@pytest.fixture(scope="session")
def helm(repository: Path) -> str:
    found = shutil.which("helm")
    if found is None:
        pytest.skip("helm is not installed; the chart is not held against the manifests")
    return found


def test_the_chart_makes_the_manifests(repository: Path, folder: Path, helm: str, tmp_path: Path) -> None:
    script = str(repository / "packaging" / "render_kubernetes.py")
    subprocess.run([sys.executable, script, "--helm", helm, "--out", str(tmp_path)], check=True, timeout=120)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in folder.iterdir()}


def test_helm_finds_nothing(repository: Path, helm: str) -> None:
    linted = said(helm, "lint", "--strict", str(repository / "packaging" / "helm" / "qscore"))
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    "wrong", ["image.digest=latest", "gateway.replicas=0", "workers.score.threads=2", "surprise=1"]
)
def test_values_that_mean_nothing_are_refused(repository: Path, helm: str, wrong: str) -> None:
    chart = str(repository / "packaging" / "helm" / "qscore")
    assert said(helm, "template", "x", chart, "--kube-version", "1.31.0", "--set", wrong).returncode == 1


def test_the_schema_of_the_values_takes_the_values(repository: Path) -> None:
    chart = repository / "packaging" / "helm" / "qscore"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values | {"image": {"repository": "qscore", "digest": "latest"}}, schema)
