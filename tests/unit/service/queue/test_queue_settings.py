"""The law of the queue: settings whose absence loses, repeats or delays batches; and what each process imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.service.queue.broker import (
    DURABLE,
    FAST,
    broker_url,
    make_socket_folder,
    private_dir,
    remove_socket_folder,
    shown_url,
    socket_path,
    tls_options,
)
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.lanes import LANES, SCORE, Lane
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import ConfigurationError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path)


@pytest.mark.parametrize("lane", LANES.rows, ids=lambda lane: lane.name)
def test_settings_that_the_facts_demand(settings: Settings, lane: Lane) -> None:
    conf = build_app(settings, lane).conf
    transport = conf.broker_transport_options
    assert conf.accept_content == ["msgpack"]
    assert conf.task_serializer == "msgpack"
    assert (conf.task_acks_late, conf.worker_prefetch_multiplier, conf.task_ignore_result) == (True, 1, True)
    assert conf.task_retry_on_worker_lost
    assert not conf.task_reject_on_worker_lost
    assert transport["socket_timeout"] > 0
    assert transport["visibility_timeout"] <= 20  # a lost worker's batches and rows are another's soon after
    assert 3 * transport["unacked_restore_interval"] < transport["visibility_timeout"]
    assert conf.broker_channel_error_retry
    assert conf.task_soft_time_limit < conf.task_time_limit


def test_urls_of_brokers(settings: Settings, tmp_path: Path) -> None:
    assert broker_url(settings) == f"redis+socket://{tmp_path}/run/valkey.sock"
    other = settings.model_copy(update={"broker_url": "rediss://me:secret@queue.example:6379/0"})
    assert shown_url(other) == "rediss://queue.example:6379/0"
    assert tls_options(other)["ssl_cert_reqs"] == "required"
    assert build_app(other, SCORE).conf.broker_use_ssl["ssl_check_hostname"] is True
    assert tls_options(settings) == {}
    with pytest.raises(ConfigurationError, match=r"broker_ca = .* is not a file"):
        tls_options(other.model_copy(update={"broker_ca": tmp_path / "absent.pem"}))
    with pytest.raises(ConfigurationError, match="none of redis://"):
        broker_url(settings.model_copy(update={"broker_url": "amqp://localhost"}))


@pytest.mark.parametrize("setting", ["broker_url", "interactive_broker_url"])
def test_an_unencrypted_queue_on_another_host_is_refused_unless_named(settings: Settings, setting: str) -> None:
    server = DURABLE if setting == "broker_url" else FAST

    def given(url: str, *plain: str) -> Settings:
        return settings.model_copy(update={setting: url, "broker_plain_hosts": plain})

    for url in (
        "redis://localhost",
        "redis://127.0.0.1:6379/0",
        "redis://:pw@[::1]:1/0",
        "redis://127.9.9.9",
        "redis:///1",
    ):
        assert broker_url(given(url), server) == url
    for url in ("redis://10.1.2.3", "redis://me:secret@queue.example:6379/0", "redis://0.0.0.0", "redis://[fe80::1]"):
        with pytest.raises(
            ConfigurationError, match=rf"{setting} = .* is neither encrypted nor on this machine"
        ) as told:
            broker_url(given(url, "10.1.2.4"), server)
        assert "secret" not in str(told.value)
    assert broker_url(given("redis://10.1.2.3", "10.1.2.3"), server) == "redis://10.1.2.3"
    assert broker_url(given("rediss://10.1.2.3"), server) == "rediss://10.1.2.3"
    with pytest.raises(ConfigurationError, match="several servers"):
        broker_url(given("redis://127.0.0.1/0;redis://10.1.2.3/0"), server)


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_cert_reqs=CERT_OPTIONAL", "ssl_check_hostname=False"])
def test_no_option_of_a_url_ends_the_verification_of_its_server(settings: Settings, option: str) -> None:
    """redis-py and kombu would take a URL's options for more than what they are told beside it."""
    url = "rediss://me:secret@queue.example/0"
    with pytest.raises(ConfigurationError, match=r"broker_url says ssl_.*broker_ca"):
        broker_url(settings.model_copy(update={"broker_url": f"{url}?health_check_interval=5&{option}"}))
    fine = f"{url}?ssl_cert_reqs=required&ssl_check_hostname=true"
    assert broker_url(settings.model_copy(update={"broker_url": fine})) == fine


def test_no_password_is_shown(settings: Settings) -> None:
    url = "rediss://me:secret@queue.example/0?password=secret&username=me"
    assert shown_url(settings.model_copy(update={"broker_url": url})) == "rediss://queue.example/0"


def test_long_homes_get_a_short_socket_whose_place_nobody_can_take(tmp_path: Path) -> None:
    """A name that follows from the home could be taken by anybody, and no stack would start."""
    folders = set()
    for name in ("one", "two", "two"):
        settings = load_settings(home=tmp_path / ("x" * 120) / name)
        settings.run_dir.mkdir(parents=True, exist_ok=True)
        folder = make_socket_folder(settings)
        assert make_socket_folder(settings) == folder  # a killed stack's, taken up again
        paths = {socket_path(settings, server) for server in (DURABLE, FAST)}
        assert {path.parent for path in paths} == {folder}
        assert all(len(os.fsencode(path)) <= 107 for path in paths)
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "valkey.sock").touch()
        remove_socket_folder(settings)
        assert not folder.exists()
        folders.add(folder)
    assert len(folders) == 3


def test_a_recorded_folder_that_others_opened_is_not_used_again(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / ("x" * 120))
    settings.run_dir.mkdir(parents=True)
    folder = make_socket_folder(settings)
    folder.chmod(0o777)
    other = make_socket_folder(settings)
    assert other != folder
    remove_socket_folder(settings)
    folder.rmdir()


def test_a_private_folder_must_be_ours(tmp_path: Path) -> None:
    (tmp_path / "wide").mkdir(mode=0o755)
    assert private_dir(tmp_path / "wide").stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "wide")
    with pytest.raises(ConfigurationError, match="belongs to somebody else"):
        private_dir(tmp_path / "link")


def loaded(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running ``code``."""
    code += "\nimport sys; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_gateway_imports_no_numbers() -> None:
    modules = loaded("import scorer.service.gateway.app, scorer.service.gateway.server, scorer.wire.client")
    assert not modules & {"numpy", "pyarrow", "qiskit", "sklearn", "scipy", "pandas"}


def test_a_worker_that_scores_loads_no_training_library(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> None:
    publish_tiny(tmp_path / "home")
    code = f"""
from pathlib import Path
from scorer.service.worker.lean import keep_pandas_out
keep_pandas_out()
import scorer.service.worker.process
from scorer.registry.store import Registry
from scorer.service.queue.jobs import ScoreJob
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring import score_job
from scorer.wire.options import ScoreOptions
home = Path({str(tmp_path / "home")!r})
held = ModelCache(Registry(home / "registry", home / "trusted_keys")).get("lateral", "live")
names = held.card.required_fields
body = (",".join(names) + "\\n" + ",".join("5" for _ in names) + "\\n").encode()
job = ScoreJob("batch-0001", "lateral", ScoreOptions(explain="all"), 1, "text/csv", 2e9, 1e9)
scored = score_job(job, body, held)
assert scored.scored == 1, scored
"""
    modules = loaded(code)
    assert "numpy" in modules
    assert not modules & {"qiskit", "sklearn", "scipy", "pandas"}
