"""`make chaos-elastic`: everything that scores documents is killed while they arrive; in the end each has one score.

Processes are ended by SIGKILL at random moments with rows in flight: the two connectors (the leader and its standby),
the scoring worker, the delivery worker, the queue's server, Elasticsearch itself. Source and scores streams roll over
in between. At the end every document of the source must have exactly one score, over all backing indices.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError, helpers

from elastic_connector.assets import STANDARD
from elastic_connector.cluster import Cluster
from elastic_connector.devserver import DevServer, dev_server
from elastic_connector.install import install
from elastic_connector.privileges import runtime_role
from scorer.demo.elastic_documents import MAPPINGS
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.wire.messages import score_id
from tests.conftest import make_tiny_model
from tests.integration.stack_tools import eventually, processes

SOURCE = "logs-chaos.src-default"
MODEL, VERSION = "lateral", "1-starter"
BATCH = 20  # documents that one request of the feeder writes
LEASE = 4.0
#: As the product has it. Elasticsearch stamps event.ingested and may then wait a minute for a shard that is starting:
#: a document becomes searchable that much after its time.
OVERLAP = 60
_GONE = (ApiError, TransportError)
_SCORES = {"bool": {"must_not": [{"term": {"event.kind": "metric"}}]}}

Say = Callable[[str], None]


@dataclass
class Feeder(threading.Thread):
    """Documents that arrive all the time. A request whose fate is unknown is repeated: the source may then hold a
    document twice after a rollover, and both are documents of the source like any other."""

    client: Elasticsearch
    rng: random.Random
    pause: float = 0.2
    sent: int = 0
    failures: int = 0
    #: Id -> epoch seconds at which Elasticsearch had said that it has the document.
    taken: dict[str, float] = field(default_factory=dict)
    _stop_it: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name="feeder")

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        for number in itertools.count():
            if self._stop_it.is_set():
                return
            self._write([self._document(number, k) for k in range(BATCH)])
            self._stop_it.wait(self.pause)

    def finish(self) -> None:
        self._stop_it.set()
        self.join(120.0)

    def _document(self, number: int, k: int) -> dict[str, Any]:
        draw = self.rng.random
        return {
            "_op_type": "create",
            "_index": SOURCE,
            "_id": f"d{number}-{k}",
            "@timestamp": int(time.time() * 1000),
            "event": {"code": "4624" if draw() < 0.8 else "4625"},
            "user": {"name": f"user{int(draw() * 50)}"},
            "source": {"ip": f"10.0.0.{int(draw() * 200)}"},
            "host": {"name": f"SRV{int(draw() * 30)}"},
        }

    def _write(self, documents: list[dict[str, Any]]) -> None:
        while True:
            try:
                for ok, item in helpers.streaming_bulk(self.client, documents, raise_on_error=False):
                    status = item["create"]["status"]
                    if status == 400:
                        raise SystemExit(f"a document was refused: {item}")
                    if not ok and status != 409:
                        raise TransportError(f"not taken: {item}")
                self.sent += len(documents)
                self.taken |= dict.fromkeys((d["_id"] for d in documents), time.time())
                return
            except _GONE:
                self.failures += 1
                if self._stop_it.wait(0.3):
                    return


@dataclass
class Theatre:
    """All that runs, and what was done to it."""

    folder: Path
    server: DevServer
    admin: Elasticsearch
    namespace: str
    say: Say
    rng: random.Random
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: Counter[str] = field(default_factory=Counter)
    kills: list[dict[str, Any]] = field(default_factory=list)
    rollovers: Counter[str] = field(default_factory=Counter)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def scores(self) -> str:
        return f"logs-qscore.scores-{self.namespace}"

    def tend(self) -> None:
        """Start again what has ended, as a service manager would."""
        commands = {
            "stack": ["up", "--port", "0", "--workers", "1"],
            "connector-a": ["elastic", "run"],
            "connector-b": ["elastic", "run"],
        }
        for name, command in commands.items():
            child = self.children.get(name)
            if child is not None and child.poll() is None:
                continue
            self.restarts[name] += child is not None
            log = (self.folder / f"{name}.log").open("ab")
            variables = os.environ | {"QSCORE_HOME": str(self.home)}
            self.children[name] = subprocess.Popen(
                [sys.executable, "-m", "scorer.cli.main", *command],
                env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            log.close()
            if name == "stack":
                eventually(lambda: (self.home / "run" / "stack.json").exists(), 30.0)

    def in_flight(self) -> int | None:
        """Documents of the source without a score at this moment; None while Elasticsearch does not answer."""
        try:
            return int(self.admin.count(index=SOURCE)["count"]) - self.scored()
        except _GONE:
            return None

    def scored(self) -> int:
        """Scores that can be found; heartbeats are none."""
        return int(self.admin.count(index=self.scores, query=_SCORES, ignore_unavailable=True)["count"])

    def leader(self) -> str:
        """Which connector holds the lease; empty while nobody does, or Elasticsearch does not say."""
        try:
            owner = str(self.admin.get(index="qscore-state", id=f"chaos:{MODEL}")["_source"].get("owner", ""))
        except (*_GONE, KeyError):
            return ""
        thread = [*owner.split(":"), "", ""][1]  # host, thread, a random part
        for name, child in self.children.items():
            if name.startswith("connector") and thread and Path(f"/proc/{child.pid}/task/{thread}").exists():
                return name
        return ""

    def pids(self, target: str) -> list[int]:
        """Processes to kill."""
        if target.startswith("connector"):
            return [self.children[target].pid]
        words = {"worker": "scorer.service.worker score", "delivery": "scorer.service.worker deliver"}
        if target == "broker":
            return processes(self.home, "valkey")
        return processes(self.home, words[target])

    def kill(self, target: str) -> None:
        """SIGKILL now; what is not a service of its own is started again by its supervisor or by ``tend``."""
        flight, leader = self.in_flight(), self.leader()
        if target == "leader":
            target = leader or "connector-a"
        if target == "elasticsearch":
            self.server.kill()
        else:
            for pid in self._found(target):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            target = target if not target.startswith("connector") else "leader" if target == leader else "standby"
        self.kills.append({"target": target, "in_flight": flight, "at": round(time.time(), 1)})
        self.say(f"  kill {len(self.kills):2d} at {time.time():.0f}: {target}, {flight} documents without a score")
        if target == "elasticsearch":
            self.server.start()

    def _found(self, target: str) -> list[int]:
        """Its processes; one that was killed before may still be starting again."""
        found: list[int] = []

        def there() -> bool:
            self.tend()
            found[:] = self.pids(target)
            return bool(found)

        if not eventually(there, 60.0):
            raise SystemExit(f"{target} did not come back within a minute; logs are in {self.folder}")
        return found

    def roll_over(self, stream: str) -> None:
        with contextlib.suppress(*_GONE):
            self.admin.indices.rollover(alias=stream)
            self.rollovers[stream] += 1

    def close(self) -> None:
        """Connectors first, then the stack."""
        for name in ("connector-a", "connector-b", "stack"):
            child = self.children.pop(name, None)
            if child is None:
                continue
            child.terminate()
            try:
                child.wait(40.0)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        for pid in processes(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def theatre(namespace: str, rng: random.Random, say: Say) -> Iterator[Theatre]:
    """A server of its own (it is killed), the assets, a model whose rows are documents, and everything running."""
    with (
        own_server(say) as server,
        tempfile.TemporaryDirectory(prefix="qscore-chaos-") as name,
        Elasticsearch(server.url, basic_auth=(server.user, server.password), request_timeout=20) as admin,
    ):
        folder = Path(name)
        set_the_stage(folder, server, admin, namespace)
        play = Theatre(folder, server, admin, namespace, say, rng)
        try:
            play.tend()
            yield play
        finally:
            play.close()


@contextlib.contextmanager
def own_server(say: Say) -> Iterator[DevServer]:
    """Never the server that the environment names: this one dies."""
    named = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("QSCORE_TEST_ELASTICSEARCH_")}
    try:
        with dev_server(say) as server:
            yield server
    finally:
        os.environ |= named


def set_the_stage(folder: Path, server: DevServer, admin: Elasticsearch, namespace: str) -> None:
    install(Cluster(admin, STANDARD))
    admin.indices.put_index_template(
        name="chaos-source",
        index_patterns=[SOURCE],
        data_stream={},
        priority=500,
        template={
            "settings": {"index": {"final_pipeline": STANDARD.source_pipeline, "number_of_replicas": 0}},
            "mappings": MAPPINGS,
        },
    )
    home = folder / "home"
    home.mkdir(mode=0o700)
    role = runtime_role(["logs-chaos.*"])
    made = admin.security.create_api_key(name="chaos-runtime", role_descriptors={"chaos-runtime": role})
    key = home / "elastic_key"
    key.touch(mode=0o600)
    key.write_text(str(made["encoded"]))
    (home / "qscore.toml").write_text(
        _SETTINGS.format(url=server.url, key=key, namespace=namespace, lease=LEASE, overlap=OVERLAP)
    )
    signer, _ = Signer.load_or_create(home / "private" / "signing_key.pem", home / "trusted_keys")
    model = dataclasses.replace(make_tiny_model(), grain="event")
    Registry(home / "registry", home / "trusted_keys").publish(model, signer)


_SETTINGS = """
sink = "elastic"

[elastic]
url = "{url}"
api_key_file = "{key}"
namespace = "{namespace}"
lease_seconds = {lease}
poll_seconds = 0.3
settle_seconds = 2
overlap_seconds = {overlap}
late_seconds = 6
timeout = 10
page_documents = 100
in_flight_rows = 2000

[[elastic.sources]]
name = "chaos"
index = "logs-chaos.*"
model = "lateral"
"""


@dataclass(frozen=True)
class Verdict:
    """What was found at the end. ``work``: retries and deduplications, by kind."""

    documents: int
    scores: int
    missing: int
    duplicates: int
    strangers: int
    work: dict[str, int]
    lost: tuple[tuple[str, str, float], ...] = ()  # index, id, event.ingested (epoch seconds) of those without a score
    slowest: float = 0.0  # longest time from event.ingested to the server's word that it has the document

    @property
    def good(self) -> bool:
        return (
            not (self.missing or self.duplicates or self.strangers) and self.documents > 0 and any(self.work.values())
        )


def expected_scores(admin: Elasticsearch) -> dict[str, tuple[str, str, float]]:
    """Id of the one score of every document of the source -> its index, id and time of arrival."""
    query = {"query": {"match_all": {}}, "docvalue_fields": [{"field": "event.ingested", "format": "epoch_millis"}]}
    expected = {}
    for hit in helpers.scan(admin, index=SOURCE, query=query, _source=False, size=5000):
        arrived = float(hit["fields"]["event.ingested"][0]) / 1000.0
        known = score_id(MODEL, VERSION, ("origin", hit["_index"], hit["_id"]))
        expected[known] = hit["_index"], hit["_id"], arrived
    return expected


def score_counts(admin: Elasticsearch, stream: str) -> Counter[str]:
    """Id -> in how many backing indices it stands; heartbeats are no scores."""
    found = helpers.scan(admin, index=stream, query={"query": _SCORES}, _source=False, size=5000)
    return Counter(hit["_id"] for hit in found)


def judge(play: Theatre, feeder: Feeder, seconds: float) -> Verdict:
    """Waits until every document has its score, as long as they still become more."""
    expected, found = dict[str, tuple[str, str, float]](), Counter[str]()
    deadline, most = time.monotonic() + seconds, -1
    while time.monotonic() < deadline:
        play.tend()
        with contextlib.suppress(*_GONE, helpers.ScanError):
            play.admin.indices.refresh(index=f"{SOURCE},{play.scores}")
            expected, found = expected_scores(play.admin), score_counts(play.admin, play.scores)
            if not expected.keys() - found.keys():
                break
            if len(found) > most:
                most, deadline = len(found), time.monotonic() + seconds
        time.sleep(1.0)
    return Verdict(
        documents=len(expected),
        scores=sum(found.values()),
        missing=len(expected.keys() - found.keys()),
        duplicates=sum(count - 1 for count in found.values()),
        strangers=len(found.keys() - expected.keys()),
        work=work_done(play),
        lost=tuple(sorted((expected[known] for known in expected.keys() - found.keys()), key=lambda one: one[2])),
        slowest=max((feeder.taken[name] - at for _, name, at in expected.values() if name in feeder.taken), default=0),
    )


def log_records(play: Theatre) -> Iterator[dict[str, Any]]:
    """Every structured record that connectors and workers wrote."""
    for path in [*play.folder.glob("connector-*.log"), *(play.home / "logs").glob("*.log*")]:
        for line in path.read_text("utf-8", "replace").splitlines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        yield record


def work_done(play: Theatre) -> dict[str, int]:
    """What was repeated and what was found to be there already, from the logs."""
    work: Counter[str] = Counter()
    for record in log_records(play):
        name = str(record.get("event", ""))
        if name == "delivered":
            work["scores found to be there already"] += int(record.get("already") or 0)
        elif name == "batch_sent_again":
            work["batches sent again"] += 1
        elif name == "delivery_delayed":
            work["deliveries tried again"] += 1
        elif name == "leading":
            work["times a connector became the leader"] += 1
    return dict(work)


TARGETS = ("connector-a", "connector-b", "worker", "delivery", "broker", "elasticsearch")


def schedule(kills: int, rng: random.Random) -> list[str]:
    """Each target about as often as the others, in random order; fewer than six kills begin with the rarest case."""
    rounds = [rng.sample(TARGETS, len(TARGETS)) for _ in range(-(-kills // len(TARGETS)))]
    return list(itertools.chain.from_iterable(rounds))[:kills]


def run(kills: int, seed: int, say: Say, targets: list[str] | None = None) -> tuple[Verdict, Theatre]:
    """The whole play."""
    rng = random.Random(seed)  # noqa: S311  # moments and targets, no secrets
    with theatre("chaos", rng, say) as play:
        feeding = Elasticsearch(play.server.url, basic_auth=(play.server.user, play.server.password), max_retries=0)
        feeder = Feeder(feeding, random.Random(seed + 1))  # noqa: S311  # its own: kills must not depend on its pace
        feeder.start()
        try:
            if not eventually(lambda: _scored(play) > 0, 90.0):
                raise SystemExit(f"nothing was scored before the first kill; logs are in {play.folder}")
            for number, target in enumerate(targets or schedule(kills, rng)):
                wait(play, rng.uniform(0.5, 3.0))
                eventually(lambda: (play.in_flight() or 0) > 0, 20.0)
                play.kill(target)
                wait(play, rng.uniform(0.2, 1.0))
                play.roll_over(SOURCE if number % 2 else play.scores)
            wait(play, 2.0)
        finally:
            feeder.finish()
            feeding.close()
        verdict = judge(play, feeder, 120.0)
        tell(play, feeder, verdict, seed)
        return verdict, play


def wait(play: Theatre, seconds: float) -> None:
    """Pass time, starting again what has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        play.tend()
        time.sleep(0.1)


def _scored(play: Theatre) -> int:
    try:
        return play.scored()
    except _GONE:
        return 0


def tell(play: Theatre, feeder: Feeder, verdict: Verdict, seed: int) -> None:
    """The ledger."""
    say = play.say
    say(f"\nseed {seed}: {len(play.kills)} kills while {verdict.documents} documents arrived")
    for target, count in sorted(Counter(k["target"] for k in play.kills).items()):
        say(f"  {count:3d} x {target}")
    say(f"  with documents in flight at {sum((k['in_flight'] or 0) > 0 for k in play.kills)} of them")
    for stream, count in sorted(play.rollovers.items()):
        say(f"  {count:3d} rollovers of {stream}")
    say(f"  {feeder.failures:3d} writes of documents repeated by who sends them")
    for name, count in sorted(play.restarts.items()):
        say(f"  {count:3d} starts again of {name}")
    say("retries and deduplications:")
    for kind, count in sorted(verdict.work.items()):
        say(f"  {count:5d} {kind}")
    say(f"scores: {verdict.scores} for {verdict.documents} documents")
    say(f"longest time from event.ingested to the answer that a document is taken: {verdict.slowest:.1f} s")
    for index, name, arrived in verdict.lost[:20]:
        late = feeder.taken.get(name, 0) - arrived
        say(f"  without a score: {index} {name}, arrived {arrived:.3f}, taken {late:.1f} s later")
    say(f"missing: {verdict.missing}, duplicates: {verdict.duplicates}, of no document: {verdict.strangers}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    verdict, _ = run(arguments.kills, arguments.seed, say)
    if not verdict.good:
        raise SystemExit(
            "chaos: the scores are not what they must be" if verdict.work else "chaos: nothing was retried"
        )


if __name__ == "__main__":
    main()
