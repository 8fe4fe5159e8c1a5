"""The Celery application of a lane: every setting in one place, with its reason.

Imports no NumPy: the gateway uses this too.
"""

from __future__ import annotations

import socket
from typing import Any

from celery import Celery
from kombu.entity import Queue

from scorer.service.queue.broker import broker_url, tls_options
from scorer.service.queue.lanes import Lane, TaskClock
from scorer.service.queue.sealing.seal import Seal
from scorer.service.queue.transport import lane_amqp
from scorer.service.settings import Settings


def build_app(settings: Settings, lane: Lane) -> Celery:
    """Build the Celery application of one lane: enough to name tasks; workers register their tasks on it."""
    broker, amqp = broker_url(settings, lane.server), lane_amqp(Seal.of(settings, lane.server))
    app = Celery(f"qscore-{lane.name}", broker=broker, backend=None, set_as_current=False, amqp=amqp)
    clock = lane.clock(settings)
    app.conf.update(_serialisation() | _reliability(clock) | _worker() | _routing(lane))
    app.conf.update(_connection(settings, lane, clock))
    return app


def _serialisation() -> dict[str, Any]:
    return {
        # Never pickle: whoever reaches the queue would own the workers. msgpack carries bytes as bytes.
        "task_serializer": "msgpack",
        "accept_content": ["msgpack"],
        "result_serializer": "msgpack",
        # The worker pushes its reply to a key with a life; stored results would fill the server within minutes.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
    }


def _reliability(clock: TaskClock) -> dict[str, Any]:
    return {
        # A task is gone only when it has run: a killed worker's batch is redelivered. Every task is idempotent.
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": True,
        # A lost pool process: send the task again at once, a bounded number of times (max_retries on the task).
        # Rejecting instead would requeue a poisonous body without end; deliveries, which must stay, count their runs.
        "task_retry_on_worker_lost": True,
        "task_reject_on_worker_lost": False,
        # The soft limit lets the task tell its caller; the hard one ends a task that does not listen.
        "task_soft_time_limit": 0.8 * clock.task_seconds,
        "task_time_limit": clock.task_seconds,
    }


def _worker() -> dict[str, Any]:
    return {
        # One message per process: a batch must never wait behind another while a second process is idle.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # SIGTERM waits for running batches; who asks a second time (Ctrl-C, SIGQUIT) leaves them so many seconds.
        "worker_soft_shutdown_timeout": 3.0,
        "worker_enable_soft_shutdown_on_idle": False,
        # After a lost connection the running batch's message is redelivered anyway; its result would come twice.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        # Memory that libraries leak ends with the process. KiB per process.
        "worker_max_memory_per_child": 1_500_000,
        "worker_max_tasks_per_child": 20_000,
        # Liveness is a key with a life (exchange.py); events and remote control would be traffic and surface.
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "worker_hijack_root_logger": False,
        "worker_proc_alive_timeout": 30.0,
        # Seconds between a pool process's death and its batch's next run, for a result that may still be in the pipe.
        "worker_lost_wait": 1.0,
    }


def _routing(lane: Lane) -> dict[str, Any]:
    return {
        "task_queues": [Queue(name, routing_key=name) for name in lane.queues],  # type: ignore[no-untyped-call]
        "task_default_queue": lane.queues[0],
        "task_create_missing_queues": False,
        # The fanout exchange of events and the priority sub-queues are not used.
        "task_queue_max_priority": None,
        "event_queue_exclusive": False,
    }


def _connection(settings: Settings, lane: Lane, clock: TaskClock) -> dict[str, Any]:
    tls = tls_options(settings, lane.server)
    return {
        "broker_use_ssl": tls or None,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker outlives any outage of its queue
        # A refusal of the server (no memory, read-only) is an outage too: without it Celery's main process ends.
        "broker_channel_error_retry": True,
        "broker_pool_limit": 32,  # one for each thread of the gateway and some
        # A publish fails after two quick tries instead of holding a search; the caller repeats whole batches.
        "task_publish_retry": True,
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.05, "interval_max": 0.2},
        "broker_transport_options": {
            "global_keyprefix": lane.prefix,
            "visibility_timeout": clock.visibility_seconds,
            # Renew what is held, and look for lost messages, every two seconds (transport.py).
            "unacked_restore_interval": min(2.0, clock.visibility_seconds / 4),
            # Without it a publish to a server that vanished silently waits for ever.
            "socket_timeout": 10.0,
            "socket_connect_timeout": 3.0,
            "socket_keepalive": not broker_url(settings, lane.server).startswith("redis+socket"),
            "health_check_interval": 10,
            "client_name": f"qscore-{lane.name}-{socket.gethostname()}"[:60].replace(" ", "-"),
        },
    }
