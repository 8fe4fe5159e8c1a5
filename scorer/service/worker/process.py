"""A worker process: ``python -m scorer.service.worker <lane>``, by the lane's row in ``scorer.service.queue.lanes``.

Celery's main process holds the queue's connection and beats; its pool processes score. Nothing here imports Qiskit,
scikit-learn or pandas, but the qpu lane's pool processes, which simulate with Qiskit Aer. Numba, where it is installed,
brings SciPy along.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import signal
import socket
import sys
import threading
from typing import Any

from celery import Celery, bootsteps, signals
from celery.worker import state

from scorer.delivery.dead_letters import DeadLetters
from scorer.engine.backends.table import use_backend
from scorer.engine.fast import enable_compiled
from scorer.logs import configure_logs, get_log
from scorer.registry.store import Registry
from scorer.service.access.trust.anchors import log_ends, seen_aliases
from scorer.service.process import ONE_THREAD, end_with_parent
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.closing.switches import SwitchBoard
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.lanes import LANES, Lane, Lanes
from scorer.service.queue.living import HEARTBEAT_EVERY, member, worker_name
from scorer.service.queue.pace import PaceNotes
from scorer.service.queue.sealing.exposure import warn_of_exposures
from scorer.service.settings import Settings, load_settings
from scorer.service.worker.delivering import DeliveryWorker, register_delivery
from scorer.service.worker.lost import PoolWatch, answering
from scorer.service.worker.memory import limit_memory
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring import ScoringWorker, register_scoring
from scorer.service.worker.sinks import Sinks
from scorer.wire.errors import ConfigurationError, Unavailable

#: Share of a scoring task's hard limit after which its reasons end; its soft limit is 0.8 of it.
REASONS = 0.5
#: Beats in a row with messages waiting and nothing to do, after which a worker counts as deaf.
_IDLE_BEATS = 3


def worker_app(settings: Settings, lane: Lane, lanes: Lanes = LANES) -> Celery:
    """Make the lane's Celery application with its task and its heartbeat."""
    app = build_app(settings, lane)
    if lane.scores:
        make_worker = functools.cache(functools.partial(prepared_worker, settings, lane))
        queue = Exchanges.of(settings, connections=2, lanes=lanes)
        register_scoring(app, make_worker, answering(queue.serving(lane), queue.durable))
    else:
        register_delivery(app, functools.cache(functools.partial(delivery_worker, settings)))
    app.steps["worker"].add(_heartbeat(settings, lane, lanes))
    app.steps["worker"].add(PoolWatch)
    return app


def scoring_worker(settings: Settings, lane: Lane) -> ScoringWorker:
    """Make what scores a lane's batches in this process."""
    queue = Exchanges.of(settings, connections=2)
    return ScoringWorker(
        queue.serving(lane),
        ModelCache(Registry(settings.registry, settings.trusted_keys, seen_aliases(settings))),
        queue.submitter(settings),
        REASONS * lane.clock(settings).task_seconds,
        settings.sink,
        queue.durable,
        lane.clock(settings).task_seconds,
        SwitchBoard(settings.switches, queue.durable.client),
        PaceNotes(queue.serving(lane).client, lane.name),
    )


def prepared_worker(settings: Settings, lane: Lane) -> ScoringWorker:
    """Make a scoring worker in a process that runs large circuits on the lane's backend, where it has one."""
    if lane.backend:
        use_backend(lane.backend)
    return scoring_worker(settings, lane)


def delivery_worker(settings: Settings) -> DeliveryWorker:
    """Make what writes rows in this process."""
    queue = Exchanges.of(settings, connections=2)
    return DeliveryWorker(
        queue.durable, Sinks(settings).of, DeadLetters(settings.dead_letters), queue.submitter(settings)
    )


def _heartbeat(settings: Settings, lane: Lane, lanes: Lanes) -> type[bootsteps.StartStopStep]:
    """Make a step that beats from the worker's own event loop: a worker which no longer consumes falls silent."""
    name = member(worker_name(socket.gethostname(), os.getpid(), lane.processes(settings)))
    queue = Exchanges.of(settings, connections=2, lanes=lanes)
    exchange, submitter = queue.serving(lane), queue.submitter(settings)

    class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery publishes no types
        requires = {"celery.worker.components:Timer", "celery.worker.components:Pool"}  # noqa: RUF012  # Celery's form

        idle_beats = 0

        def start(self, parent: Any) -> None:
            self.beat()
            self.timer = parent.timer.call_repeatedly(HEARTBEAT_EVERY, self.beat)

        def stop(self, _parent: Any) -> None:
            self.timer.cancel()
            try:
                exchange.sign_off(lane.name, name)
            except Unavailable:
                get_log().info("queue_gone_before_worker")

        def beat(self) -> None:
            try:
                exchange.beat(lane.name, name)
                waiting = exchange.state().waiting
                submitter.inherit(lane)  # after the look: what it brings could not be taken yet
            except Unavailable as error:
                get_log().warning("no_heartbeat", reason=error.detail)
                return
            idle = not state.reserved_requests and any(waiting[queue] for queue in lane.queues)
            self.idle_beats = self.idle_beats + 1 if idle else 0
            if self.idle_beats >= _IDLE_BEATS:
                # A consumer can stay deaf after its queue's server was lost in the middle of an acknowledgement. Its
                # supervisor starts a new one; nothing is lost, for this one holds no message.
                get_log().error("not_consuming", waiting=dict(waiting))
                os._exit(1)

    return Heartbeat


@signals.worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
def _die_with_worker(**_kwargs: Any) -> None:
    """End this pool process with the worker that feeds it."""
    end_with_parent(signal.SIGKILL, os.getppid())
    # What was imported stays for ever; collecting garbage need not walk through it in every cycle.
    gc.freeze()


def main(arguments: list[str], lanes: Lanes = LANES) -> None:
    """Be a worker of the lane that the one argument names. Raises SystemExit for other arguments."""
    if len(arguments) != 1 or arguments[0] not in lanes.by_name:
        raise SystemExit(f"usage: python -m scorer.service.worker {'|'.join(lanes.by_name)}")
    settings, lane = load_settings(), lanes.by_name[arguments[0]]
    configure_logs(f"worker-{lane.name}")
    warn_of_exposures(settings)
    require_libraries(lane)
    os.nice(lane.nice)
    signals.worker_process_init.connect(functools.partial(_limit_memory, lane.memory_mb(settings)), weak=False)
    if lane.scores:
        log_ends(settings)
        signals.worker_process_init.connect(_load_engine)
    worker_app(settings, lane, lanes).worker_main(options(lane, lane.processes(settings)))


def _limit_memory(mib: int, **_kwargs: Any) -> None:
    limit_memory(mib)


def _load_engine(**_kwargs: Any) -> None:
    """Load compiled code beside the work.

    That takes a second, the first time several: NumPy scores until it is there.
    """
    threading.Thread(target=lambda: get_log().info("engine", compiled=enable_compiled()), daemon=True).start()


def require_libraries(lane: Lane) -> None:
    """Say at the start, not with the first batch, that a library is absent. Raises ConfigurationError."""
    for library in lane.needs:
        if importlib.util.find_spec(library.module) is None:
            raise ConfigurationError(library.absent, library.remedy)


def options(lane: Lane, processes: int) -> list[str]:
    """Write Celery's command line for a worker of the lane."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO"]
    name = f"--hostname={lane.name}-{os.getpid()}@%h"
    return ["worker", "--pool=prefork", f"--concurrency={processes}", f"--queues={','.join(lane.queues)}", name, *quiet]


def _limit_threads() -> None:
    """Start once more without BLAS's own threads: it read its variables when NumPy was imported above."""
    if any(os.environ.get(name) != count for name, count in ONE_THREAD.items()):
        command = [sys.executable, "-m", "scorer.service.worker", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ONE_THREAD)  # noqa: S606  # a list, without a shell


@signals.setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
def _keep_our_logs(**_kwargs: Any) -> None:
    """Keep Celery from configuring logging itself: a receiver of this signal is what does so."""


def run() -> None:
    """Be a worker until a signal; a wrong setting ends it with one sentence. Raises SystemExit."""
    _limit_threads()
    try:
        main(sys.argv[1:])
    except ConfigurationError as error:
        raise SystemExit(f"qscore: {error.sentence()}") from None
