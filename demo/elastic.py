"""`make demo-elastic`: documents arrive in a real Elasticsearch, the connector scores them, the rules find them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo import show
from demo.commands import Data, Label, Model, Positive, Seed, material, perform, qscore, serve, train
from demo.elastic_documents import documents, with_plain_addresses
from demo.elastic_stage import SOURCE, ElasticStage, elastic_stage
from demo.elasticsearch_server import dev_server
from demo.material import EVENT_NUMBER, Material
from demo.running_stack import running_stack
from elastic_connector.install.rule_search import run_rule
from elastic_connector.install.rules import load_rules

_SHOWN = 8
_COLUMNS = {
    "@timestamp": ("@timestamp",),
    "user": ("user", "name"),
    "source": ("source", "address"),
    "destination": ("destination", "address"),
    "event.risk_score": ("event", "risk_score"),
    "qscore.band": ("qscore", "band"),
    "qscore.classical": ("qscore", "classical"),
    "qscore.decision": ("qscore", "decision"),
    "qscore.reason": ("qscore", "reason"),
}
_KEYS = {
    "user": ("user", "name"),
    "src": ("source", "address"),
    "dest": ("destination", "address"),
    "port_class": ("qscore", "port_class"),
}


def main(
    data: Data = None,
    label: Label = "label",
    positive: Positive = None,
    model: Model = None,
    seed: Seed = 1,
) -> None:
    """Show the Elastic edge on one machine and stop cleanly. Nothing outlives it: its files are temporary."""
    perform(_play, lambda: _plain(material(data, label, positive, model, seed)))


def _plain(chosen: Material) -> Material:
    """Addresses as Elasticsearch's ip type gives them back, so that labels can be found by them."""
    return replace(chosen, searched=with_plain_addresses(chosen.recipe, chosen.searched))


def _play(console: Console, folder: Path, chosen: Material) -> list[Path]:
    """The folders beside ``folder`` in which something ran."""
    show.heading(console, 1, "The model and what it was trained on")
    show.model(console, train(console, folder, chosen))
    show.heading(console, 2, "Elasticsearch, and what qscore installs there")
    with (
        dev_server(lambda text: console.print(f"[dim]{text}[/]")) as server,
        elastic_stage(folder, server, chosen.model) as stage,
    ):
        console.print(f"[dim]{stage.admin.info()['version']['number']} at {server.url}[/]")
        _install(console, stage)
        show.heading(console, 3, "Documents arrive, the connector scores them")
        started = dt.datetime.now(dt.UTC)
        _score(console, stage, chosen)
        show.heading(console, 4, "The scored documents")
        _documents(console, stage)
        _truth(console, stage, chosen)
        show.heading(console, 5, "What each detection rule finds")
        _rules(console, stage, started)
        if server.folder is None:  # a cluster that stays is left as it was found
            qscore(console, folder, "elastic", "uninstall", *stage.login(), "--delete-data", "--yes")
        return [server.folder] if server.folder is not None else []


def _install(console: Console, stage: ElasticStage) -> None:
    console.print(stage.configure(), style="dim", markup=False, highlight=False)
    qscore(console, stage.folder, "elastic", "install", *stage.login())
    qscore(console, stage.folder, "elastic", "diff", *stage.login())


def _score(console: Console, stage: ElasticStage, chosen: Material) -> None:
    number = stage.load(documents(chosen.recipe, chosen.searched), numbered=True)
    console.print(f"{number} documents in {stage.index}")
    time.sleep(1.5)  # the connector leaves out what arrived within settle_seconds
    with running_stack(stage.home, "--workers", "1"):
        started = time.monotonic()
        qscore(console, stage.folder, "elastic", "run", "--once")
        console.print(f"[dim]{time.monotonic() - started:.1f} s from start to the last confirmed score[/]")
        qscore(console, stage.folder, "elastic", "reconcile", "--source", SOURCE)


def _documents(console: Console, stage: ElasticStage) -> None:
    scored, failed = stage.count("event.kind:enrichment"), stage.count("event.kind:pipeline_error")
    console.print(f"{scored} scores and {failed} rows that could not be scored, in {stage.scores}; the highest:")
    found = stage.search(
        query={"term": {"event.kind": "enrichment"}}, sort=[{"event.risk_score": "desc"}, "@timestamp"], size=_SHOWN
    )
    table = Table(*_COLUMNS, header_style="bold")
    for document in found:
        table.add_row(*(str(_at(document, path)) for path in _COLUMNS.values()))
    console.print(table)


def _rules(console: Console, stage: ElasticStage, started: dt.datetime) -> None:
    """Each rule's own search, over what arrived since the demo started."""
    stage.admin.indices.refresh(index=stage.scores)
    end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    table = Table("rule", "type", "alerts", "first", header_style="bold")
    for rule in load_rules():
        finding = run_rule(stage.admin, rule, stage.scores, started, end, examples=1)
        first = finding.examples[0] if finding.examples else {}
        table.add_row(rule.name, rule.type, str(finding.alerts), str(first.get("message") or first or "")[:70])
    console.print(table)


def _truth(console: Console, stage: ElasticStage, chosen: Material) -> None:
    """Compare the scores over the line with the labels, which no document carries."""
    scores = stage.search(query={"term": {"event.kind": "enrichment"}}, size=10_000)
    grain = str(_at(scores[0], ("qscore", "grain"))) if scores else "window"
    judged = chosen.judged(grain, [_as_row(document, chosen) for document in scores])
    alerts = [bad for bad, row in judged if row["alert"]]
    bad = sum(bad for bad, _ in judged)
    console.print(
        f"by the labels, which no document carries: {sum(alerts)} of {bad} malicious rows are over the line, "
        f"and {len(alerts) - sum(alerts)} of {len(judged) - bad} benign ones"
    )


def _as_row(document: Mapping[str, Any], chosen: Material) -> Mapping[str, Any]:
    """A score by the names of the rows that are labelled; a missing key is the recipe's null key there."""
    found = {name: _at(document, path) for name, path in _KEYS.items()}
    keys = {name: found[name] or chosen.recipe.null_key for name in chosen.recipe.keys}
    time_ = dt.datetime.fromisoformat(str(document["@timestamp"])).timestamp()
    number = _at(document, ("qscore", "source", "id")) or "0"
    return {**keys, "_time": time_, EVENT_NUMBER: number, "alert": _at(document, ("qscore", "decision")) is True}


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = document
    for part in path:
        found = found.get(part, "") if isinstance(found, Mapping) else ""
    return found


if __name__ == "__main__":
    serve(main)
