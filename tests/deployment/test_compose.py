"""The compose file as docker compose's own loader takes it, and what every service in it has to be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scorer.service.queue.sealing.keys import read_keys
from tests import go

LINT = Path(__file__).parent / "compose_lint"
IMAGES = {"QSCORE_IMAGE": "qscore@sha256:" + "0" * 64, "VALKEY_IMAGE": "valkey@sha256:" + "1" * 64}
OURS = {"gateway", "worker-score", "worker-bulk", "worker-deliver", "connector", "admin"}


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory, require: Callable[[bool, str], None]) -> Path:
    """compose-go, compiled."""
    return go.built(LINT, tmp_path_factory.mktemp("lint"), require)


def load(loader: Path, file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in IMAGES}
    return subprocess.run(
        [str(loader), str(file)], env=clean | variables, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="session")
def compose(repository: Path) -> Path:
    return repository / "packaging" / "compose" / "compose.yaml"


@pytest.fixture(scope="session")
def services(loader: Path, compose: Path) -> dict[str, Any]:
    loaded = load(loader, compose, **IMAGES)
    assert loaded.returncode == 0, loaded.stderr
    return dict(json.loads(loaded.stdout)["services"])


def test_images_have_to_be_named(loader: Path, compose: Path) -> None:
    loaded = load(loader, compose)
    assert loaded.returncode == 1
    assert "QSCORE_IMAGE" in loaded.stderr
    assert "VALKEY_IMAGE" in loaded.stderr


def test_a_file_with_a_fault_is_refused(loader: Path, compose: Path, tmp_path: Path) -> None:
    broken = tmp_path / "compose.yaml"
    broken.write_text(compose.read_text().replace("read_only: true", "readonly: true"))
    assert load(loader, broken, **IMAGES).returncode == 1


def test_every_service_is_confined(services: dict[str, Any]) -> None:
    assert set(services) == OURS | {"valkey-durable", "valkey-fast"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] == ("10001:10001" if name in OURS else "999:999"), name
        assert int(service["mem_limit"]) <= 4 * 2**30, name
        assert 0 < service["cpus"] <= 2, name
        assert service["pids_limit"] > 0, name
        assert all("noexec" in mount for mount in service["tmpfs"]), name
        assert "privileged" not in service, name
        assert "password" not in json.dumps(service).lower(), name


def test_every_service_that_stays_is_looked_after(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name != "admin":
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name


def test_the_gateway_alone_has_a_port_and_workers_that_write_alone_a_way_out(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if service.get("ports")] == ["gateway"]
    (port,) = services["gateway"]["ports"]
    assert port["host_ip"] == "127.0.0.1"
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert {name for name, joined in networks.items() if "out" in joined} == {"worker-deliver", "connector"}
    assert {name for name, joined in networks.items() if joined == {"queue"}} == {
        "valkey-durable", "valkey-fast", "worker-score", "worker-bulk", "admin",
    }  # fmt: skip


@pytest.fixture(scope="session")
def prepared(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that prepare.py wrote."""
    out = tmp_path_factory.mktemp("compose") / "secrets"
    assert prepare(repository, out).returncode == 0
    return out


def prepare(repository: Path, out: Path) -> subprocess.CompletedProcess[str]:
    script = str(repository / "packaging" / "compose" / "prepare.py")
    return subprocess.run(
        [sys.executable, script, "--out", str(out)], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_secret_is_one_that_prepare_makes(loader: Path, compose: Path, repository: Path, prepared: Path) -> None:
    secrets = json.loads(load(loader, compose, **IMAGES).stdout)["secrets"]
    assert {Path(secret["file"]).name for secret in secrets.values()} == {path.name for path in prepared.iterdir()}
    again = prepare(repository, prepared)
    assert again.returncode == 1
    assert "passwords that are in use are not replaced" in again.stderr


def test_whoever_uses_the_queue_has_the_key_of_its_seals(services: dict[str, Any], prepared: Path) -> None:
    users = set()
    for name in OURS:
        mounted = {secret["target"]: secret["source"] for secret in services[name]["secrets"]}
        settings = mounted["qscore.toml"].removesuffix("_settings") + ".toml"
        assert tomllib.loads((prepared / settings).read_text())["queue_key_file"] == "/run/secrets/queue_seal", name
        assert mounted["queue_seal"] == "queue_seal", name
        users.add(settings)
    assert users == {path.name for path in prepared.glob("*.toml")}
    (key,) = read_keys(prepared / "queue_seal").keys
    assert (key.begins, key.ends) == (None, None)


def test_secrets_are_each_for_the_user_of_their_container(prepared: Path) -> None:
    assert prepared.stat().st_mode & 0o777 == 0o700
    mode = {path.name: path.stat().st_mode & 0o777 for path in prepared.iterdir()}
    assert mode == dict.fromkeys(mode, 0o600)
    if os.geteuid() == 0:
        ours = {path.name for path in prepared.iterdir() if path.stat().st_uid == 10001}
        assert ours == {"queue_ca.pem", "queue_seal", *(path.name for path in prepared.glob("*.toml"))}
