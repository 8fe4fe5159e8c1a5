"""`qscore shots`: what measuring with a finite number of shots does to a model's ranking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scorer.wire.errors import BadOption

if TYPE_CHECKING:
    from scorer.models.trained import TrainedModel
    from scorer.training.options import Steps
    from scorer.training.shots.ranking import ShotRow

_BAR = 30
_DEFAULT_SHOTS = [64, 256, 1024, 8192, 100_000]
_MOST_ROWS = 50_000


def register(app: typer.Typer) -> None:
    """Add `qscore shots`."""
    app.command("shots")(shots_command)


def shots_command(
    model: Annotated[str, typer.Option("--model", help="A model that `qscore models` lists.")],
    data: Annotated[Path, typer.Option(help="Labelled events or rows: CSV, NDJSON, Parquet.")],
    label: Annotated[str, typer.Option(help="Column that says what is malicious.")],
    positive: Annotated[str | None, typer.Option(help="The label's value that is malicious.")] = None,
    version: Annotated[str, typer.Option(help="Version or alias.")] = "live",
    grain: Annotated[str | None, typer.Option(help="What a row is: window or event (default: the model's).")] = None,
    shots: Annotated[list[int] | None, typer.Option(help="Shots of each circuit; give it several times.")] = None,
    method: Annotated[
        str, typer.Option(help="eigenbasis: one circuit a row, the best case; overlaps: one for each eigenvector.")
    ] = "eigenbasis",
    cx_error: Annotated[
        float | None, typer.Option(help="Run the circuits on Qiskit Aer with this error of every CX (slow).")
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows to measure at most, drawn by the seed.", min=10)] = 2000,
    repeats: Annotated[int, typer.Option(help="Independent repetitions of each number of shots.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of rows and shots.", min=0)] = 0,
) -> None:
    """Measure a model with shots instead of exactly, and see how well it still ranks.

    qscore scores exactly, on a simulator. A quantum computer only ever gives estimates: with S shots each score has a
    standard error, which this prints beside the ROC-AUC that is left. Nothing is changed and nothing is written.

    \b
    Example:
      qscore shots --model lateral --data labelled.csv --label is_attack --shots 100 --shots 10000
    """
    from scorer.cli.training import progress, require_training

    require_training()
    trained = _model(model, version)
    Z, y = _rows(trained, data, label, positive, grain, min(rows, _MOST_ROWS), seed)
    console = Console()
    with progress(console) as steps:
        table = _measured(trained, Z, y, shots or _DEFAULT_SHOTS, method, cx_error, repeats, seed, steps)
    _show(console, trained, table, len(y), int(y.sum()))


def _model(name: str, version: str) -> TrainedModel:
    from scorer.registry.store import Registry
    from scorer.service.settings import load_settings

    settings = load_settings()
    registry = Registry(settings.registry, settings.trusted_keys)
    return registry.load(name, registry.resolve(name, version))


def _rows(
    model: TrainedModel, data: Path, label: str, positive: str | None, grain: str | None, most: int, seed: int
) -> tuple[Any, Any]:
    """Scaled features (N, n) and labels (N,) of at most ``most`` rows, both classes among them."""
    import numpy as np

    from scorer.rows.builder import Columns
    from scorer.rows.files import read_table
    from scorer.training.dataset import dataset
    from scorer.training.prepare import prepared
    from scorer.training.splits import subsample

    ready = prepared(model.recipe, read_table(data), Columns(label, positive, None), grain or model.grain)
    found = dataset(model.recipe, ready.rows, ready.columns)
    kept = found.take(subsample(found.y, most, np.random.default_rng(seed)))
    columns = [kept.names.index(name) for name in model.feature_names]
    return model.scaler.apply(kept.X[:, columns]), kept.y


def _measured(
    model: TrainedModel,
    Z: Any,
    y: Any,
    shots: list[int],
    method: str,
    cx_error: float | None,
    repeats: int,
    seed: int,
    steps: Steps,
) -> list[ShotRow]:
    from scorer.training.shots.measure import ShotError
    from scorer.training.shots.ranking import exact_sampler, noisy_sampler, shot_table

    if cx_error is not None and not 0.0 <= cx_error <= 1.0:
        raise BadOption(f"--cx-error {cx_error} is no probability", "Give a number from 0 to 1, such as 0.005.")
    try:
        if cx_error is None:
            sampler = exact_sampler(model.machine, Z, seed, method)
        else:
            sampler = noisy_sampler(model.machine, Z, seed, cx_error)
        return shot_table(model.machine, Z, y, sorted(shots), sampler, repeats, steps)
    except ShotError as error:
        raise BadOption(str(error), "See `qscore shots --help`.") from None
    except ImportError as error:
        raise BadOption(
            f"--cx-error needs {error.name}, which is not installed", "pip install 'qscore[qiskit]'"
        ) from None


def _show(console: Console, model: TrainedModel, table: list[ShotRow], rows: int, malicious: int) -> None:
    console.print(
        f"[bold]{model.name}[/bold], family {model.family}: {rows} rows, {malicious} malicious", highlight=False
    )
    out = Table(
        "shots a circuit",
        "ROC-AUC",
        "lowest - highest",
        "standard error / spread of scores",
        f"{'AUC 0.5 to 1':<{_BAR}}",
    )
    for row in table:
        shots = "exact" if row.shots is None else str(row.shots)
        full = round(_BAR * max(0.0, min(1.0, 2.0 * row.auc - 1.0)))
        span = "" if row.shots is None else f"{row.low:.4f} - {row.high:.4f}"
        error = "0" if row.shots is None else f"{row.standard_error:.3f}"
        out.add_row(shots, f"{row.auc:.4f}", span, error, escape("#" * full))
    console.print(out)
