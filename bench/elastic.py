"""The Elastic connector against elasticsearch-py's own ways of copying the same documents, in one run.

    make bench-elastic                  # 200,000 documents; needs Java 17 and Maven, Docker, or a server that is given

One index of ECS authentication documents is read by
  connector   `qscore elastic run --once`: read, queue, score every document, write the score, confirm; its whole life
              from the start of the process to its end
  reindex     elasticsearch.helpers.reindex, its defaults
  scan+bulk   elasticsearch.helpers.scan into streaming_bulk, `create` into a data stream's kind of index
and the documents per second of each are set side by side, on a server that has seen both kinds of work before; reindex
runs before the connector and after it, and its rate is that of both runs together. The
connector's peak memory is taken from the kernel (maximum resident set of that process), for a quarter of the documents
and for all of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from elasticsearch import ApiError, Elasticsearch, helpers

from demo.elastic_documents import MAPPINGS, documents
from demo.elastic_setup import SCORES_QUERY, Source, settings_text, write_runtime_key
from demo.elasticsearch_server import dev_server
from demo.running_stack import running_stack
from elastic_connector.install.asset_files import STANDARD
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import install
from scorer.rows.files import write_table
from scorer.rows.recipe import load_recipe
from scorer.training.starter.generator import generate_events

NAMESPACE = "bench"
SOURCE_INDEX = "bench-source"
GOAL = 0.70


@dataclass(frozen=True)
class Timed:
    """``seconds`` for ``documents``; ``peak``: MiB of the process, where it was a process of its own."""

    name: str
    documents: int
    seconds: float
    peak: float = 0.0

    @property
    def rate(self) -> float:
        return self.documents / self.seconds


def make_documents(number: int, seed: int) -> Iterator[dict[str, Any]]:
    """``number`` authentication documents as an agent writes them, all arrived a minute ago."""
    made, rng = 0, np.random.default_rng(seed)
    arrived = time.time() - 60.0
    while made < number:
        events = generate_events("lateral", max(100, min(20_000, number // 3)), rng)
        for document in documents(load_recipe("lateral"), events, arrived):
            # Arrival is spread over milliseconds, as it is where documents come one after the other.
            document["event"]["ingested"] = int((arrived - (number - made) * 1e-3) * 1000)
            yield document
            made += 1
            if made == number:
                return


def load(admin: Elasticsearch, index: str, number: int) -> None:
    admin.indices.create(
        index=index, mappings=MAPPINGS, settings={"index": {"number_of_replicas": 0, "refresh_interval": "-1"}}
    )
    actions = ({"_index": index, "_source": d} for d in make_documents(number, 3))
    for _ in helpers.streaming_bulk(admin, actions, chunk_size=2000):
        pass
    admin.indices.refresh(index=index)
    admin.indices.forcemerge(index=index, max_num_segments=1)


def like_a_target(admin: Elasticsearch, index: str) -> str:
    """An empty index with the mappings of the source."""
    admin.indices.create(index=index, mappings=MAPPINGS, settings={"index": {"number_of_replicas": 0}})
    return index


def timed(name: str, number: int, work: Callable[[], Any]) -> Timed:
    started = time.perf_counter()
    work()
    return Timed(name, number, time.perf_counter() - started)


def reindex(admin: Elasticsearch, source: str, number: int, run: str = "warm") -> Timed:
    target = like_a_target(admin, f"bench-reindexed-{run}-{number}")
    try:
        admin.indices.get_data_stream(name=target)
    except ApiError as error:
        if error.meta.status == 405:  # a reduced server cannot be asked; helpers.reindex asks once whether it is one
            admin.indices.get_data_stream = lambda **_: {"data_streams": []}  # type: ignore[method-assign,assignment]
    return timed("reindex", number, lambda: helpers.reindex(admin, source, target))


def scan_and_bulk(admin: Elasticsearch, source: str, number: int) -> Timed:
    target = like_a_target(admin, f"bench-copied-{number}")

    def copy() -> None:
        hits = helpers.scan(admin, index=source, size=1000)
        actions = (
            {"_op_type": "create", "_index": target, "_id": hit["_id"], "_source": hit["_source"]} for hit in hits
        )
        for _ in helpers.streaming_bulk(admin, actions):
            pass

    return timed("scan+bulk", number, copy)


def connector(home: Path, name: str, number: int) -> Timed:
    """One whole life of the process, with its peak memory as the kernel counted it."""
    command = [sys.executable, "-m", "scorer.cli.main", "elastic", "run", "--once", "--source", name]
    with (home / "logs" / f"{name}.log").open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | {"QSCORE_HOME": str(home)}, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"the connector ended with {process.returncode}: {(home / 'logs' / f'{name}.log').read_text()}"
        )
    return Timed("connector", number, seconds, usage.ru_maxrss / 1024)


def prepare(home: Path, admin: Elasticsearch, url: str, sources: dict[str, str]) -> None:
    """Assets, runtime key, settings with one source per size, a model of generated events by document."""
    install(Cluster(admin, STANDARD))
    home.mkdir(mode=0o700)
    write_runtime_key(admin, "bench", sources.values(), home / "key")
    read = [Source(name, index, "lateral") for name, index in sources.items()]
    text = settings_text(url, home / "key", NAMESPACE, read, settle_seconds=0)
    (home / "qscore.toml").write_text(text)
    data = home.parent / "training.parquet"
    write_table(generate_events("lateral", 4000, np.random.default_rng(11)), data)
    train = [sys.executable, "-m", "scorer.cli.main", "train", "--model", "lateral", "--data", str(data)]
    train += ["--label", "label", "--grain", "event"]
    subprocess.run(train, env=os.environ | {"QSCORE_HOME": str(home)}, check=True, stdout=subprocess.DEVNULL)


def scores(admin: Elasticsearch) -> int:
    index = f"{STANDARD.scores}-{NAMESPACE}"
    admin.indices.refresh(index=index, ignore_unavailable=True)
    return int(admin.count(index=index, query=SCORES_QUERY, ignore_unavailable=True)["count"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    small, large = arguments.documents // 4, arguments.documents
    with tempfile.TemporaryDirectory(prefix="qscore-bench-") as folder, dev_server(print) as server:
        run = f"{os.getpid()}"
        sources = {"small": f"{SOURCE_INDEX}-{run}-{small}", "large": f"{SOURCE_INDEX}-{run}-{large}"}
        home = Path(folder) / "home"
        with Elasticsearch(server.url, basic_auth=(server.user, server.password), request_timeout=120) as admin:
            prepare(home, admin, server.url, sources)
            for index, number in zip(sources.values(), (small, large), strict=True):
                print(f"loading {number} documents ...", flush=True)
                load(admin, index, number)
            before = scores(admin)
            with running_stack(home, "--port", "0", "--workers", str(arguments.workers)):
                first = connector(home, "small", small)
                reindex(admin, sources["small"], small)  # not counted: a server just started compiles its code first
                # Once before the connector and once after it: a server grows faster with everything that it has done.
                peers = [reindex(admin, sources["large"], large, "before")]
                lives = [first, connector(home, "large", large)]
                written = scores(admin) - before
            peers += [reindex(admin, sources["large"], large, "after"), scan_and_bulk(admin, sources["large"], large)]
            if server.folder is None:
                made = [*(f"bench-reindexed-{when}-{large}" for when in ("before", "after")), f"bench-copied-{large}"]
                admin.indices.delete(index=[*sources.values(), f"bench-reindexed-warm-{small}", *made])
    report(lives, peers, written)


def report(lives: list[Timed], peers: list[Timed], written: int) -> None:
    expected = sum(life.documents for life in lives)
    print(f"\n{'':<12}{'documents':>10}{'seconds':>10}{'documents/s':>13}{'of reindex':>12}{'peak MiB':>10}")
    reference = (peers[0].documents + peers[1].documents) / (peers[0].seconds + peers[1].seconds)
    for one in [*lives, *peers]:
        peak = f"{one.peak:10.0f}" if one.peak else f"{'':>10}"
        print(
            f"{one.name:<12}{one.documents:>10}{one.seconds:>10.1f}{one.rate:>13.0f}{one.rate / reference:>12.2f}{peak}"
        )
    ratio = lives[-1].rate / reference
    print(f"\nscores written: {written} of {expected}; connector at {ratio:.0%} of reindex (goal {GOAL:.0%})")
    growth = lives[1].peak / lives[0].peak
    print(f"peak memory with {lives[1].documents} documents is {growth:.2f} times that with {lives[0].documents}")
    if written != expected:
        raise SystemExit("not every document has a score")


if __name__ == "__main__":
    main()
