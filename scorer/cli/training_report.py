"""What ``qscore train`` and ``qscore import-qsvc`` print: figures as measured, what to know about them, the version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from scorer.models.trained import TrainedModel
    from scorer.registry.publish import Published


def print_report(console: Console, model: TrainedModel) -> None:
    """Print a model's facts in the order in which to take them: rows, figures, verdict, features, remarks."""
    facts = model.facts
    console.print(f"[bold]{model.name}[/bold]: trained on {escape(facts['trained_on'])}", highlight=False)
    console.print(f"Family {model.family}: {facts['model']}; twin: {facts['twin']}.", highlight=False)
    console.print("Quantum circuits are simulated exactly on classical processors.", highlight=False)
    console.print(_judged(facts), highlight=False)
    if facts["metrics"]:
        titles = {"quantum": "quantum model", "twin": "RBF twin", **facts["yardsticks"]}
        console.print(_table(facts["metrics"]["metrics"], titles))
    console.print(facts["verdict"], highlight=False)
    console.print(f"Feature map: {_map(facts['map'])}", highlight=False, markup=False)
    console.print(f"Features: {', '.join(model.feature_names)}", highlight=False)
    if "imported" in facts:
        console.print(f"{facts['imported']['sentence']}.", highlight=False, markup=False)
    for remark in facts["remarks"]:
        console.print(f"Note: {remark}.", highlight=False, markup=False)


def print_published(console: Console, published: Published, signing_key: Path) -> None:
    """Print the version, whether it is live, and which key signed it."""
    later = f"is in the registry; live is still {published.live} (--promote changes that)"
    state = "is live" if published.is_live else later
    console.print(f"Version [bold]{published.version}[/bold] {state}.", highlight=False)
    verb = "Made a signing key" if published.key_made else "Signed with the key"
    console.print(
        f"{verb} {published.key_id} in {escape(str(signing_key))}; keep it private.", highlight=False, soft_wrap=True
    )


def _judged(facts: Any) -> str:
    split = facts["split"]
    how = "held-out" if split["kind"] == "held-out" else f"{split['folds']}-fold cross-fitted"
    grouped = f", grouped by {escape(split['grouped_by'])}" if split["grouped_by"] else ""
    share = f"; share of malicious rows {facts['metrics']['base_rate']:.4f}" if facts["metrics"] else ""
    verb = "Judged" if facts["metrics"] else "Line set"
    return f"{verb} on {split['judged_rows']} {how} rows{grouped}{share}."


def _map(found: Any) -> str:
    parameters = ", ".join(f"{key}={value}" for key, value in found["parameters"].items())
    return f"{found['name']} on {found['qubits']} qubits" + (f" ({parameters})" if parameters else "")


def _table(metrics: dict[str, Any], titles: dict[str, str]) -> Table:
    fpr = metrics["quantum"]["fpr"]
    table = Table("model", "PR-AUC [95 %]", "ROC-AUC", f"recall at {100 * fpr:g} % FPR [95 %]")
    for name, m in metrics.items():
        table.add_row(titles.get(name, name), _interval(m["pr_auc"]), f"{m['roc_auc']:.3f}", _interval(m["recall"]))
    return table


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} \\[{figure['low']:.3f}-{figure['high']:.3f}]"
