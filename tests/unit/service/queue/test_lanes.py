"""A lane is one row: what is said there appears wherever lanes are told apart, and 0.1.0's lanes are what they were."""

from __future__ import annotations

import ast
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

import scorer
from scorer.engine.backends.table import BACKENDS, UnknownBackend
from scorer.models.trained import TrainedModel
from scorer.registry.store import card_of
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.authority import TlsFiles
from scorer.service.client.status import queue_check
from scorer.service.gateway.metrics import new_metrics
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.jobs import ScoreJob
from scorer.service.queue.lanes import LANES, SCORE, Lane, Lanes, NeededLibrary, Silence, TaskClock
from scorer.service.queue.submit import Admission, Submitter
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.children import child_specs
from scorer.service.stack.supervisor import ChildSpec
from scorer.service.worker.process import main, options, prepared_worker, require_libraries, worker_app
from scorer.wire.errors import ConfigurationError, Unavailable
from scorer.wire.options import ScoreOptions

#: A backend of another maker: one row, beside the three that there are.
FOUNDRY = Lane(
    name="foundry",
    prefix="qscore:f:",
    queues=("foundry",),
    task="qscore.score",
    clock=lambda _settings: TaskClock(300.0, 700),
    processes=lambda _settings: 3,
    wanted=lambda settings: settings.worker.processes == 7,
    process_name="annealers",
    counted_as="annealing",
    silence=Silence("the foundry is closed", "Open it.", "the foundry is closed; its models wait."),
    takes=lambda card: card.family == "annealed",
    needs=(NeededLibrary("no_such_module", "the foundry lane needs a library", "Install it."),),
    backend="mint",
)
ROWS = Lanes((*LANES, FOUNDRY))
JOB = ScoreJob("batch-0001", "lateral", ScoreOptions("3"), 2, "text/csv", 2e9, 1e9, "qscore:reply:1")


def settings_at(tmp_path: Path, **worker: int) -> Settings:
    return load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock", worker=worker)


def test_lanes_are_what_version_0_1_0_left_messages_under(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    told = {
        lane.name: (lane.prefix, lane.queues, lane.task, vars(lane.clock(settings)), lane.processes(settings))
        for lane in LANES
    }
    clocks = [
        {"task_seconds": seconds, "visibility_seconds": visible}
        for seconds, visible in ((10.0, 20), (100.0, 20), (50.0, 20))
    ]
    assert told == {
        "score": ("qscore:i:", ("interactive",), "qscore.score", clocks[0], 2),
        "bulk": ("qscore:q:", ("bulk",), "qscore.score", clocks[0], 2),
        "deliver": ("qscore:d:", ("deliver",), "qscore.deliver", clocks[1], 2),
        "qpu": ("qscore:x:", ("qpu",), "qscore.score", clocks[2], 1),
    }
    assert [lane.wanted(settings) for lane in LANES] == [True, True, False, False]
    # Searches waited there too; bulk workers take them, as they look after all that lies under the prefix.
    assert [lane.inherits for lane in LANES] == [(), ("qscore:q:interactive",), (), ()]
    everything = load_settings(home=tmp_path, sink="file", worker={"qpu_processes": 4, "bulk_processes": 3})
    assert [(lane.wanted(everything), lane.processes(everything)) for lane in LANES] == [
        (True, 2),
        (True, 3),
        (True, 2),
        (True, 4),
    ]


def test_a_slow_sink_gives_deliveries_more_time(tmp_path: Path) -> None:
    for sections, seconds in (({"hec": {"timeout": 30.0}}, 180.0), ({"elastic": {"timeout": 120.0}}, 280.0)):
        clock = LANES.by_name["deliver"].clock(load_settings(home=tmp_path, **sections))
        assert (clock.task_seconds, clock.visibility_seconds) == (seconds, 20)


@pytest.mark.parametrize("part", ["name", "prefix", "queues"])
def test_lanes_share_neither_names_nor_keys(part: str) -> None:
    with pytest.raises(ValueError, match="two lanes have one"):
        Lanes((*LANES, replace(FOUNDRY, **{part: getattr(SCORE, part)})))


def test_only_circuits_above_twelve_qubits_go_to_the_qpu_queue(tiny_model: TrainedModel) -> None:
    card = card_of(tiny_model, "1")
    assert card.qubits == card.details["qubits"] == 3
    for asked in ("interactive", "bulk"):
        for qubits, queue in ((0, asked), (3, asked), (12, asked), (13, "qpu")):
            assert LANES.queue_of(replace(card, qubits=qubits), asked) == queue


def test_a_new_lanes_models_go_to_its_queue(tiny_model: TrainedModel) -> None:
    card = card_of(tiny_model, "1")
    assert ROWS.queue_of(replace(card, family="annealed"), "bulk") == "foundry"
    assert ROWS.queue_of(replace(card, qubits=13), "bulk") == "qpu"
    assert ROWS.queue_of(card, "bulk") == "bulk"


def test_a_new_lanes_clock_and_keys_are_its_application_s(tmp_path: Path) -> None:
    conf = build_app(load_settings(home=tmp_path), FOUNDRY).conf
    assert (conf.task_time_limit, conf.task_soft_time_limit, conf.task_default_queue) == (300.0, 240.0, "foundry")
    transport = conf.broker_transport_options
    assert (transport["global_keyprefix"], transport["visibility_timeout"]) == ("qscore:f:", 700)
    assert transport["client_name"].startswith("qscore-foundry-")


def test_a_new_lane_has_its_way_onto_the_queue(client: redis.Redis, tmp_path: Path) -> None:
    submitter = Submitter.of(settings_at(tmp_path), client, ROWS)
    admission = Admission.to_lane(FOUNDRY, 1)
    with pytest.raises(Unavailable, match="the foundry is closed"):
        submitter.put(JOB, "foundry", b"a\n1\n2\n", 40.0, admission)
    Exchange(client, ROWS).beat("foundry", "worker:1")
    submitter.put(JOB, "foundry", b"a\n1\n2\n", 40.0, admission)
    assert client.llen("qscore:f:foundry") == 1


def test_a_new_lane_is_told_by_every_report(
    client: redis.Redis, tmp_path: Path, application: Callable[..., Flask]
) -> None:
    exchange = Exchange(client, ROWS)
    for lane in ("score", "bulk", "foundry"):
        exchange.beat(lane, "worker:1")
    client.lpush("qscore:f:foundry", b"{}")
    state = exchange.state()
    assert (state.waiting["foundry"], state.workers["foundry"]) == (1, 1)
    metrics = new_metrics(exchange.state).text().decode()
    assert 'qscore_queue_waiting{queue="foundry"} 1.0' in metrics
    assert 'qscore_workers_alive{lane="foundry"} 1.0' in metrics
    reader = {"Authorization": f"Bearer {KeyFile(tmp_path / 'api_keys.json').add(['read'])[1]}"}
    ready: Any = application(settings_at(tmp_path), ROWS).test_client().get("/readyz", headers=reader).json
    assert (ready["waiting"]["foundry"], ready["workers"]["foundry"]) == (1, 1)
    settings = settings_at(tmp_path)
    assert queue_check(settings, state, ROWS).line.endswith(
        "waiting: interactive 0, bulk 0, deliver 0, qpu 0, foundry 1;"
        " workers: 1 scoring, 1 scoring in bulk, 0 delivering, 1 annealing"
    )


def test_a_wanted_lane_without_workers_is_a_failure(client: redis.Redis, tmp_path: Path) -> None:
    exchange = Exchange(client, ROWS)
    assert queue_check(settings_at(tmp_path), exchange.state(), ROWS).line.endswith(
        "no scoring worker is alive. Start one with `qscore up`."
    )
    exchange.beat("score", "worker:1")
    assert "no bulk worker is alive" in queue_check(settings_at(tmp_path), exchange.state(), ROWS).line
    exchange.beat("bulk", "worker:1")
    assert queue_check(settings_at(tmp_path), exchange.state(), ROWS).good
    found = queue_check(settings_at(tmp_path, processes=7), exchange.state(), ROWS)
    assert (found.good, found.line.partition("answers, but ")[2]) == (False, "the foundry is closed; its models wait.")
    line = queue_check(settings_at(tmp_path, qpu_processes=1), exchange.state(), ROWS).line
    assert line.endswith("no worker of the qpu lane is alive; models above 12 qubits wait.")


def specs(settings: Settings, lanes: Lanes = LANES) -> dict[str, ChildSpec]:
    files = TlsFiles(settings.home / "c.pem", settings.home / "k.pem", None)
    with socket.socket() as listener:
        return {spec.name: spec for spec in child_specs(settings, listener, "https://localhost:1", files, lanes)}


def test_a_stack_has_a_worker_for_every_lane_that_the_settings_want(tmp_path: Path) -> None:
    assert list(specs(settings_at(tmp_path))) == ["workers", "bulk", "gateway"]
    delivering = load_settings(home=tmp_path, broker_url="redis://localhost", sink="file", worker={"qpu_processes": 2})
    made = specs(delivering)
    assert list(made) == ["workers", "bulk", "delivery", "qpu", "gateway"]
    assert [spec.command[-1] for spec in made.values()][:-1] == ["score", "bulk", "deliver", "qpu"]
    assert made["qpu"].log.name == "qpu.log"


def test_a_stack_has_a_worker_for_a_new_lane(tmp_path: Path) -> None:
    assert "annealers" not in specs(settings_at(tmp_path), ROWS)
    made = specs(settings_at(tmp_path, processes=7), ROWS)["annealers"]
    assert made.command[-1] == "foundry"
    assert made.log.name == "annealers.log"


def test_what_workers_were_told_on_the_command_line_reaches_their_processes(tmp_path: Path) -> None:
    given = specs(settings_at(tmp_path, processes=3, qpu_processes=2))["qpu"].environment
    assert given["QSCORE_WORKER__QPU_PROCESSES"] == "2"
    assert given["QSCORE_WORKER__PROCESSES"] == "3"
    assert given["QSCORE_WORKER__TASK_SECONDS"] == "10.0"


def test_a_new_lane_has_its_worker(tmp_path: Path) -> None:
    line = options(FOUNDRY, FOUNDRY.processes(load_settings(home=tmp_path)))
    assert {"--queues=foundry", "--concurrency=3"} < set(line)
    tasks = worker_app(load_settings(home=tmp_path), FOUNDRY, ROWS).tasks
    assert ("qscore.score" in tasks, "qscore.deliver" in tasks) == (True, False)
    with pytest.raises(SystemExit, match=r"score\|bulk\|deliver\|qpu\|foundry"):
        main(["mint"], ROWS)
    with pytest.raises(ConfigurationError, match="the foundry lane needs a library"):
        require_libraries(FOUNDRY)
    with pytest.raises(UnknownBackend, match="no backend 'mint'"):
        prepared_worker(load_settings(home=tmp_path), FOUNDRY)


def test_lanes_run_on_backends_that_there_are() -> None:
    assert {lane.name: lane.backend for lane in LANES if lane.backend} == {"qpu": "aer"}
    assert {lane.backend for lane in LANES if lane.backend} <= set(BACKENDS)


def test_no_other_module_says_what_a_lane_s_row_says() -> None:
    """Names of lanes and of their queues, and the prefixes, stand in the table alone. ``score`` has other meanings."""
    known = {text for lane in LANES for text in (lane.name, lane.prefix, *lane.keys.values())} - {"score"}
    package = Path(scorer.__file__).parents[1]
    files = [*(package / "scorer" / "service").rglob("*.py"), *(package / "elastic_connector").rglob("*.py")]
    assert len(files) > 60
    saying = {
        path.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and node.value in known
    }
    assert saying == {"lanes.py"}
