"""What a written score costs beside scoring: from columns to the bytes that a sink is sent, now and as 0.1.0 did it.

    git archive 53776b9 scorer | tar -x -C build/v010        # make bench-delivery does both
    python bench/delivery.py --old build/v010 [--rounds 15]

Both sides get the same batch: 2,000 windows of generated activity with their context, scored by a small model, alerts
explained. Each side is a process of its own; they take turns, and of each step the best round counts, in processor time
a row. Network and queue are left out. The sides are the same in what is made: every event and every document is
compared before anything is timed.

* shape: from the batch and its scores to rows to write (ids among it)
* pack, read: onto the queue's bytes, and from them to checked rows
* encode: to the bodies of requests
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS, ATTACKS = 2000, 30
SEED = 20_260_101
STEPS = ("shape", "pack", "read", "encode")
KINDS = ("hec", "elastic", "elastic, copied fields")
GOAL_MICROSECONDS, GOAL_BYTES = 10.0, 0.5
REPOSITORY = Path(__file__).resolve().parents[1]
_BULK = 1000  # documents in one request


@dataclass(frozen=True)
class Work:
    """One kind of delivery: each step takes what the one before it made. ``size``: bytes of what is packed."""

    steps: dict[str, Callable[[Any], Any]]
    size: Callable[[Any], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="a checkout of 0.1.0 (commit 53776b9)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--side", choices=("old", "new"), help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve({"old": old_work, "new": new_work}[options.side](json.loads(options.batch.read_text())))
    elif options.old is None:
        parser.error("--old is needed: the comparison is with 0.1.0 in the same run")
    else:
        report(options.old, options.rounds)


def report(old: Path, rounds: int) -> None:
    """Measure both sides in turns and print one table."""
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder) / "batch.json"
        batch.write_text(json.dumps(make_batch()))
        with side("old", old, batch) as ask_old, side("new", REPOSITORY, batch) as ask_new:
            print(f"{'us and bytes a row':24}{'':6}" + "".join(f"{name:>9}" for name in (*STEPS, "sum", "bytes")))
            for kind in KINDS:
                compare(kind, ask_old("made", kind), ask_new("made", kind))
                timed = [(ask_old("time", kind), ask_new("time", kind)) for _ in range(rounds)]
                before, after = (best(found) for found in zip(*timed, strict=True))
                show(kind, "0.1.0", before)
                show("", "now", after)
                verdict(before, after)


def compare(kind: str, before: list[Any], after: list[Any]) -> None:
    """What is timed is what was compared: raises AssertionError where the two sides make different things."""
    assert len(before) == len(after) > 0.9 * ROWS, (kind, len(before), len(after))
    for one, other in zip(before, after, strict=True):
        assert one == other, (kind, one, other)


def best(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {step: min(one[step] for one in found) for step in found[0]}


def show(kind: str, name: str, found: dict[str, float]) -> None:
    numbers = [*(found[step] for step in STEPS), sum(found[step] for step in STEPS)]
    print(f"{kind:24}{name:6}" + "".join(f"{number:9.2f}" for number in numbers) + f"{found['bytes']:9.0f}")


def verdict(before: dict[str, float], after: dict[str, float]) -> None:
    total, share = sum(after[step] for step in STEPS), after["bytes"] / before["bytes"]
    met = total <= GOAL_MICROSECONDS and share <= GOAL_BYTES
    print(
        f"{'':24}goal: {GOAL_MICROSECONDS:.0f} us a row ({total:.1f}), half of the bytes ({share:.0%}): "
        f"{'met' if met else 'MISSED'}; {sum(before[step] for step in STEPS) / total:.1f} times as fast"
    )


def make_batch() -> dict[str, Any]:
    """A scored batch as plain values."""
    import numpy as np

    from demo.small_model import small_model
    from scorer.circuits.zz import ZZMap
    from scorer.registry.store import card_of
    from scorer.rows.batches import FeatureBatch
    from scorer.rows.builder import build_rows
    from scorer.rows.columns import CONTEXT_COLUMNS
    from scorer.rows.recipe import load_recipe
    from scorer.rows.transform import derive, required_inputs
    from scorer.scoring.score import score
    from scorer.training.starter.generator import generate_events
    from scorer.training.starter.model import STARTER_COLUMNS
    from scorer.wire.options import ScoreOptions

    recipe = load_recipe("lateral")
    names = tuple(feature.name for feature in recipe.features[:6])
    rows = build_rows(
        recipe, generate_events("lateral", 12_000, np.random.default_rng(SEED), 0.15), "window", STARTER_COLUMNS
    )
    y = np.array(rows["label"].to_pylist()).astype(int)
    inputs = {name: rows[name].to_numpy().astype(float) for name in required_inputs(recipe, names)}
    X = derive(recipe, names, inputs)
    circuit = ZZMap(qubits=6, reps=2, entanglement="full", bandwidth=0.3)
    rng = np.random.default_rng(7)
    some = rng.permutation(len(y))[:1500]
    model = small_model(recipe, names, X[some], y[some], circuit, 0.01, "rows made up by a benchmark")
    benign, attacks = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    chosen = rng.permutation(np.concatenate([benign[: ROWS - ATTACKS], attacks[:ATTACKS]]))
    context = {
        name: [str(rows[name][int(at)].as_py()) for at in chosen]
        for name in CONTEXT_COLUMNS
        if name in rows.column_names
    }
    batch = FeatureBatch("bench", "lateral", {k: v[chosen] for k, v in inputs.items()}, context, list(range(ROWS)))
    scored = score(model, "1-starter", batch, ScoreOptions())
    parts = ("probability", "pvalue", "classical", "risk", "band", "alert")
    return {
        "context": context,
        "scores": {name: np.asarray(getattr(scored, name)).tolist() for name in parts}
        | {"reason": list(scored.reason), "status": list(scored.status)},
        "card": card_of(model, "1-starter").to_dict(),
    }


def edge(context: dict[str, list[str]], kind: str) -> dict[str, list[str]]:
    """The context of one kind of delivery: a connector's windows have revisions, and may have copied fields."""
    if kind == "hec":
        return context
    found = context | {"qscore_revision": [str(1 + at % 40) for at in range(ROWS)]}
    if "copied" not in kind:
        return found
    copies = [json.dumps({"host.os.name": "Windows", "agent.id": f"a{at % 70}"}) for at in range(ROWS)]
    return found | {"qscore_fields": copies}


def facts(kind: str, make: Callable[..., Any]) -> Any:
    if kind == "hec":
        return None
    return make(errors=True, sha256="ab" * 32, scored=1_790_000_000.5, submitted=1_790_000_000.25)


def old_work(batch: dict[str, Any]) -> dict[str, Work]:
    """As 0.1.0 does it; runs with its checkout on the path."""
    import msgpack

    messages, rows = importlib.import_module("scorer.wire.messages"), importlib.import_module("scorer.delivery.rows")
    hec = importlib.import_module("scorer.delivery.hec_event")
    elastic = importlib.import_module("scorer.delivery.elastic_document")
    card = messages.ModelCard.from_dict(batch["card"])

    def shape(kind: str) -> Callable[[Any], Any]:
        features, scores = batches(batch, kind, messages.FeatureBatch, messages.ScoreBatch)
        return lambda _: rows.scored_rows(features, scores, card, facts(kind, rows.ScoringFacts)).rows

    def bodies(made: list[bytes], joint: bytes) -> list[bytes]:
        return [joint.join(made[start:end]) for start, end in hec.by_bytes(made, 3 * 1024 * 1024)]

    def encode_hec(found: Any) -> list[bytes]:
        return bodies([hec.encode(row, "qscore") for row in found], b"\n")

    def encode_elastic(found: Any) -> list[bytes]:
        parts = [found[first : first + _BULK] for first in range(0, len(found), _BULK)]
        return [
            body for part in parts for body in bodies([elastic.encode(row, "default", INGESTED) for row in part], b"")
        ]

    return {
        kind: Work(
            {
                "shape": shape(kind),
                "pack": lambda found: msgpack.packb({"rows": list(found)}),
                "read": lambda packed: rows.check_rows(msgpack.unpackb(packed)["rows"]),
                "encode": encode_hec if kind == "hec" else encode_elastic,
            },
            len,
        )
        for kind in KINDS
    }


def new_work(batch: dict[str, Any]) -> dict[str, Work]:
    """As it is done now."""
    import msgpack

    from scorer.delivery.elastic.document import document_lines
    from scorer.delivery.hec.event import event_lines
    from scorer.delivery.scored import ScoringFacts, scored_rows
    from scorer.delivery.stored_rows import read_rows, stored
    from scorer.rows.batches import FeatureBatch, ScoreBatch
    from scorer.rows.defects import Defect
    from scorer.wire.card import ModelCard

    def as_scored(
        batch_id: str, model: str, version: str, ids: list[int], *, status: list[str], **columns: Any
    ) -> ScoreBatch:
        defects = {row: Defect.read(text) for row, text in enumerate(status) if text != "ok"}
        return ScoreBatch(batch_id, model, version, ids, defects=defects, **columns)

    card = ModelCard.from_dict(batch["card"])

    def shape(kind: str) -> Callable[[Any], Any]:
        features, scores = batches(batch, kind, FeatureBatch, as_scored)
        return lambda _: scored_rows(features, scores, card, facts(kind, ScoringFacts)).rows

    def bodies(lines: Any) -> list[bytes]:
        return [lines[start:end].body() for start, end in lines.within(3 * 1024 * 1024)]

    def encode_elastic(found: Any) -> list[bytes]:
        parts = [found[first : first + _BULK] for first in range(0, len(found), _BULK)]
        return [body for part in parts for body in bodies(document_lines(part, "default", INGESTED))]

    return {
        kind: Work(
            {
                "shape": shape(kind),
                "pack": lambda found: msgpack.packb({"rows": stored(found)}),
                "read": lambda packed: read_rows(msgpack.unpackb(packed)["rows"]),
                "encode": (lambda found: bodies(event_lines(found, "qscore"))) if kind == "hec" else encode_elastic,
            },
            len,
        )
        for kind in KINDS
    }


INGESTED = "2026-09-21T00:00:00.000Z"


def batches(batch: dict[str, Any], kind: str, features: Any, scores: Any) -> tuple[Any, Any]:
    import numpy as np

    ids, card = list(range(ROWS)), batch["card"]
    numbers = {
        name: np.array(values) if name not in ("reason", "status") else values
        for name, values in batch["scores"].items()
    }
    return (
        features("bench", "lateral", {}, edge(batch["context"], kind), ids),
        scores("bench", "lateral", card["version"], ids, serve=card["serve"], **numbers),
    )


@contextmanager
def side(name: str, tree: Path, batch: Path) -> Iterator[Callable[[str, str], Any]]:
    """One side as a process that answers questions, one line each."""
    command = [sys.executable, str(Path(__file__).resolve()), "--side", name, "--batch", str(batch)]
    environment = os.environ | {"PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        out, into = process.stdin, process.stdout

        def ask(question: str, kind: str) -> Any:
            out.write(json.dumps([question, kind]) + "\n")
            out.flush()
            return json.loads(into.readline())

        yield ask
        out.close()


def serve(work: dict[str, Work]) -> None:
    for line in sys.stdin:
        question, kind = json.loads(line)
        print(json.dumps({"made": made, "time": timed}[question](work[kind])), flush=True)


def made(work: Work) -> list[Any]:
    """Everything that is sent, as objects of JSON."""
    found: Any = None
    for step in STEPS:
        found = work.steps[step](found)
    return [json.loads(line) for body in found for line in body.decode().splitlines()]


def timed(work: Work) -> dict[str, float]:
    """Microseconds of processor time a row, by step, and bytes a row on the queue."""
    found: Any = None
    result: dict[str, float] = {}
    for step in STEPS:
        start = time.process_time()
        found = work.steps[step](found)
        result[step] = (time.process_time() - start) / ROWS * 1e6
        if step == "pack":
            result["bytes"] = work.size(found) / ROWS
    return result


if __name__ == "__main__":
    main()
