"""What the demo prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from scorer.wire.card import ModelCard

Row = Mapping[str, Any]

_SHOWN = 8
_SCORE_COLUMNS = ("qscore", "qscore_risk", "qscore_band", "qscore_alert", "qscore_pvalue", "qscore_classical")
_ENTITIES = ("user", "src", "dest", "port_class")


def heading(console: Console, number: int, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left")


def model(console: Console, card: ModelCard) -> None:
    """The model, and what it was trained on, before any score of it."""
    lines = [
        f"[bold]{card.name}[/] version [bold]{card.version}[/]: {card.title}",
        f"trained on: {card.trained_on}",
        f"features: {', '.join(card.details['features'])}",
        f"line: probability {card.threshold:.4f}, set for a false-positive rate of {card.fpr:.2%}",
        f"verdict: {card.details.get('verdict', 'not stated')}",
    ]
    if card.starter:
        lines.append("[yellow]A starter: its rows were generated. It says nothing about a network of yours.[/]")
    console.print(Panel("\n".join(lines), title="model", title_align="left"))


def rows(console: Console, scored: Sequence[Row]) -> None:
    """The highest scores first, and how all rows fared."""
    ranked = sorted(scored, key=lambda row: -float(row.get("qscore") or -1))
    entities = [name for name in _ENTITIES if any(row.get(name) for row in scored)]
    table = Table(box=None, header_style="bold")
    for name in (*entities, *_SCORE_COLUMNS, "qscore_reason"):
        table.add_column(name.replace("qscore_", ""), overflow="fold")
    for row in ranked[:_SHOWN]:
        table.add_row(*(str(row.get(name, "")) for name in (*entities, *_SCORE_COLUMNS, "qscore_reason")))
    console.print(table)
    alerts = sum(row.get("qscore_alert") == "1" for row in scored)
    statuses = Counter(str(row.get("qscore_status", "")).partition(":")[0] for row in scored)
    told = ", ".join(f"{status}: {count}" for status, count in statuses.most_common())
    console.print(f"{len(scored)} rows, {alerts} over the line; status {told}")


def truth(console: Console, labelled: Sequence[tuple[bool, Row]]) -> None:
    """Compare the alerts with the labels, which the search never saw."""
    hits = sum(bad for bad, row in labelled if row.get("qscore_alert") == "1")
    alerts = sum(row.get("qscore_alert") == "1" for _, row in labelled)
    bad = sum(bad for bad, _ in labelled)
    console.print(
        f"by the labels, which the search did not see: {hits} of {bad} malicious rows are over the line, "
        f"and {alerts - hits} of {len(labelled) - bad} benign ones"
    )


def events(console: Console, written: Sequence[Row], expected: int) -> None:
    """Print what the event collector took."""
    console.print(f"{len(written)} events taken by the HTTP Event Collector for {expected} scored rows; the highest:")
    top = max(written, key=lambda event: float(event["fields"]["qscore"]))
    console.print_json(json.dumps(top))


def table(console: Console, results: Sequence[Row]) -> None:
    """Results of a search."""
    grid = Table(box=None, header_style="bold")
    for name in results[0] if results else ():
        grid.add_column(name)
    for row in results:
        grid.add_row(*(str(value) for value in row.values()))
    console.print(grid)
