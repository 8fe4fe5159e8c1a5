"""What ``qscore train`` prints: the figures of all models as measured, and what a reader must know about them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scorer.models.trained import TrainedModel


def print_report(console: Console, model: TrainedModel) -> None:
    """In the order in which a reader should take it: rows, figures, verdict, features, remarks."""
    facts = model.facts
    console.print(f"[bold]{model.name}[/bold]: trained on {escape(facts['trained_on'])}", highlight=False)
    console.print(f"Family {model.family}: {facts['model']}; twin: {facts['twin']}.", highlight=False)
    console.print(_judged(facts), highlight=False)
    if facts["metrics"]:
        titles = {"quantum": "quantum model", "twin": "RBF twin", **facts["yardsticks"]}
        console.print(_table(facts["metrics"]["metrics"], titles))
    console.print(facts["verdict"], highlight=False)
    console.print(f"Feature map: {_map(facts['map'])}", highlight=False, markup=False)
    console.print(f"Features: {', '.join(model.feature_names)}", highlight=False)
    for remark in facts["remarks"]:
        console.print(f"Note: {remark}.", highlight=False, markup=False)


def _judged(facts: Any) -> str:
    split = facts["split"]
    how = "held-out" if split["kind"] == "held-out" else f"{split['folds']}-fold cross-fitted"
    grouped = f", grouped by {escape(split['grouped_by'])}" if split["grouped_by"] else ""
    share = f"; share of malicious rows {facts['metrics']['base_rate']:.4f}" if facts["metrics"] else ""
    verb = "Judged" if facts["metrics"] else "Line set"
    return f"{verb} on {split['judged_rows']} {how} rows{grouped}{share}."


def _map(found: Any) -> str:
    parameters = ", ".join(f"{key}={value}" for key, value in found["parameters"].items())
    return f"{found['name']} on {found['qubits']} qubits ({parameters})"


def _table(metrics: dict[str, Any], titles: dict[str, str]) -> Table:
    fpr = metrics["quantum"]["fpr"]
    table = Table("model", "PR-AUC [95 %]", "ROC-AUC", f"recall at {100 * fpr:g} % FPR [95 %]")
    for name, m in metrics.items():
        table.add_row(titles.get(name, name), _interval(m["pr_auc"]), f"{m['roc_auc']:.3f}", _interval(m["recall"]))
    return table


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} \\[{figure['low']:.3f}-{figure['high']:.3f}]"
