"""The lanes of the queue, each defined once: a row of ``LANES`` says all that tells one lane from the next.

Searches have a server of their own, which keeps nothing on disk; the other lanes share the durable one. Each lane has
a key prefix of its own, also because settings may make the two one server: kombu redelivers by one global index per
prefix, and the workers of one lane must not take the messages of another for lost. A slow delivery must not end on the
clock of a scoring task; a circuit that is simulated row by row takes longer than both.

From a row follow the Celery settings, the keys of the queues, the way onto them, the worker's process and arguments,
what `qscore up` starts, and what `qscore status`, /readyz and /metrics tell. Another backend with workers of its own is
another row. Imports no NumPy: the gateway uses this too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scorer.service.queue.broker import DURABLE, FAST, Server
from scorer.service.settings import Settings
from scorer.wire.card import ModelCard
from scorer.wire.errors import Unavailable
from scorer.wire.names import QUEUE_BULK, QUEUE_INTERACTIVE

TASK_SCORE = "qscore.score"
TASK_DELIVER = "qscore.deliver"
QUEUE_DELIVER = "deliver"
QUEUE_QPU = "qpu"  # models that no ordinary worker can score: circuits above MAX_EXACT_QUBITS

#: Circuits up to here are scored exactly by every worker; larger ones by a worker of the qpu lane.
MAX_EXACT_QUBITS = 12


@dataclass(frozen=True)
class TaskClock:
    """Seconds after which one task is ended, and after which a lost worker's message is given to another.

    A worker that lives renews its hold on what it has taken, so a task may take longer than the second.
    """

    task_seconds: float
    visibility_seconds: int


@dataclass(frozen=True)
class Silence:
    """The words for a lane of which no worker is alive.

    Callers hear the ``refusal`` with its ``remedy``, readers of `qscore status` the line ``status``.
    """

    refusal: str
    remedy: str
    status: str


@dataclass(frozen=True)
class NeededLibrary:
    """A library that a lane's workers cannot do without: its ``module``, and what is said, and to be done, without."""

    module: str
    absent: str
    remedy: str


@dataclass(frozen=True)
class Lane:
    """Queues whose tasks share one clock and one kind of worker.

    ``prefix``: stands before every key that kombu makes. ``task``: the name of the task that its messages call.
    ``processes``: of one worker. ``wanted``: whether `qscore up` starts a worker here. ``process_name``: of that worker
    and its log. ``counted_as``: stands behind the number of its living workers. ``takes``: the models that this lane
    alone can score; None: it is for no models in particular. ``needs``: libraries that must be there at the start.
    ``backend``: what its pool processes run large circuits on, by its name in ``scorer.engine.backends.table``.
    ``memory_mb``: MiB by which one of its processes may grow.
    ``server``: which of the queue's servers holds all that belongs to its batches. ``nice``: how far its processes
    step back from the processor for others. ``inherits``: keys on that server under which earlier versions left
    messages that this lane's workers can run.
    """

    name: str
    prefix: str
    queues: tuple[str, ...]
    task: str
    clock: Callable[[Settings], TaskClock]
    processes: Callable[[Settings], int]
    wanted: Callable[[Settings], bool]
    process_name: str
    counted_as: str
    silence: Silence
    takes: Callable[[ModelCard], bool] | None = None
    needs: tuple[NeededLibrary, ...] = ()
    backend: str = ""
    memory_mb: Callable[[Settings], int] = lambda settings: settings.worker.memory_limit_mb
    server: Server = DURABLE
    nice: int = 0
    inherits: tuple[str, ...] = ()

    @property
    def keys(self) -> dict[str, str]:
        """Queue -> the key of the list on which kombu keeps its waiting messages."""
        return {queue: self.prefix + queue for queue in self.queues}

    @property
    def scores(self) -> bool:
        """True where the lane's workers score batches; the others deliver rows."""
        return self.task == TASK_SCORE

    def nobody(self) -> Unavailable:
        """Make the error that callers get when nobody takes this lane's messages."""
        return Unavailable(self.silence.refusal, self.silence.remedy)


@dataclass(frozen=True)
class Lanes:
    """All lanes of a queue. Raises ValueError where two share a name, a prefix or a queue: their keys would mix."""

    rows: tuple[Lane, ...]

    def __post_init__(self) -> None:
        for what, names in (
            ("name", [lane.name for lane in self.rows]),
            ("prefix", [lane.prefix for lane in self.rows]),
            ("queue", [queue for lane in self.rows for queue in lane.queues]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"two lanes have one {what}: {', '.join(names)}")
        for lane in self.rows:
            if len(lane.queues) != 1:
                raise ValueError(f"lane {lane.name} has {len(lane.queues)} queues; its workers take from one")

    def __iter__(self) -> Iterator[Lane]:
        return iter(self.rows)

    def on(self, server: Server) -> Lanes:
        """Choose the lanes that live on one of the servers."""
        return Lanes(tuple(lane for lane in self.rows if lane.server == server))

    @property
    def by_name(self) -> Mapping[str, Lane]:
        return {lane.name: lane for lane in self.rows}

    @property
    def keys(self) -> Mapping[str, str]:
        """Queue -> the key of its waiting messages, of all lanes."""
        return {queue: key for lane in self.rows for queue, key in lane.keys.items()}

    def serving(self, queue: str) -> Lane:
        """Find the lane whose workers take from ``queue``. Raises KeyError where there is none."""
        return {name: lane for lane in self.rows for name in lane.queues}[queue]

    def queue_of(self, card: ModelCard, asked: str) -> str:
        """Choose the queue for batches of a model.

        It is one of the lane which alone can score the model, or the one ``asked`` for.
        """
        for lane in self.rows:
            if lane.takes is not None and lane.takes(card):
                return lane.queues[0]
        return asked


def _delivery_clock(settings: Settings) -> TaskClock:
    # One run on Elasticsearch: what SEND_SECONDS of the sink allow, and a last request beside a look-up.
    seconds = max(60.0 + 4 * settings.hec.timeout, 40.0 + 2 * settings.elastic.timeout)
    return TaskClock(seconds, settings.worker.visibility_seconds)


def _scoring_clock(settings: Settings) -> TaskClock:
    return TaskClock(settings.worker.task_seconds, settings.worker.visibility_seconds)


#: Searches: short tasks, quickly redelivered when a worker is lost, and gone with their callers.
SCORE = Lane(
    name="score",
    prefix="qscore:i:",
    queues=(QUEUE_INTERACTIVE,),
    task=TASK_SCORE,
    clock=_scoring_clock,
    processes=lambda settings: settings.worker.processes,
    wanted=lambda _settings: True,
    process_name="workers",
    counted_as="scoring",
    silence=Silence(
        "no scoring worker is alive",
        "Run `qscore status` on the gateway's host; `qscore up` starts workers.",
        "no scoring worker is alive. Start one with `qscore up`.",
    ),
    server=FAST,
)
#: Files and documents: the same tasks on a server that survives restarts, by workers that searches do not wait behind.
BULK = Lane(
    name="bulk",
    prefix="qscore:q:",
    queues=(QUEUE_BULK,),
    task=TASK_SCORE,
    clock=_scoring_clock,
    processes=lambda settings: settings.worker.bulk_processes or settings.worker.processes,
    wanted=lambda _settings: True,
    process_name="bulk",
    counted_as="scoring in bulk",
    silence=Silence(
        "no bulk worker is alive",
        "Run `qscore status` on the gateway's host; `qscore up` starts workers.",
        "no bulk worker is alive; files and documents wait. Start one with `qscore up`.",
    ),
    # Searches come first where processors are few; at 5 a saturated machine still leaves bulk a quarter.
    nice=5,
    # Until there were two servers, searches waited here.
    inherits=("qscore:q:interactive",),
)
#: Write-back: a task may wait for a slow sink, so its clock is its own.
DELIVER = Lane(
    name="deliver",
    prefix="qscore:d:",
    queues=(QUEUE_DELIVER,),
    task=TASK_DELIVER,
    clock=_delivery_clock,
    processes=lambda settings: settings.worker.delivery_processes,
    wanted=lambda settings: settings.delivers,
    process_name="delivery",
    counted_as="delivering",
    silence=Silence(
        "no delivery worker is alive",
        "Run `qscore status` on the gateway's host; `qscore up` starts workers.",
        "no delivery worker is alive; scores are not written.",
    ),
)
#: Projected models above 12 qubits, simulated or measured row by row on a worker of their own.
QPU = Lane(
    name="qpu",
    prefix="qscore:x:",
    queues=(QUEUE_QPU,),
    task=TASK_SCORE,
    clock=lambda settings: TaskClock(settings.worker.qpu_task_seconds, settings.worker.visibility_seconds),
    processes=lambda settings: max(1, settings.worker.qpu_processes),
    wanted=lambda settings: settings.worker.qpu_processes > 0,
    process_name="qpu",
    counted_as="of the qpu lane",
    silence=Silence(
        "this model's circuit is too large for the ordinary workers, and no worker of the qpu lane is alive",
        "Set worker.qpu_processes = 1 in qscore.toml (or `qscore up --qpu 1`) where qscore[qiskit] is installed.",
        "no worker of the qpu lane is alive; models above 12 qubits wait.",
    ),
    takes=lambda card: card.qubits > MAX_EXACT_QUBITS,
    needs=(
        NeededLibrary(
            "qiskit_aer",
            "the qpu lane simulates with Qiskit Aer, which is not installed",
            "pip install 'qscore[qiskit]', or set worker.qpu_processes = 0.",
        ),
    ),
    backend="aer",
    memory_mb=lambda settings: settings.worker.qpu_memory_limit_mb,
)

LANES = Lanes((SCORE, BULK, DELIVER, QPU))
