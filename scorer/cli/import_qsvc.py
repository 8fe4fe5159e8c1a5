"""``qscore import-qsvc``: a QSVC that was trained with qiskit-machine-learning becomes a model of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from scorer.cli.training import (
    Grain,
    Group,
    Label,
    Model,
    Positive,
    RecipeFile,
    Seed,
    checked_grain,
    progress,
    require_training,
)
from scorer.cli.training import publish as publish_model
from scorer.cli.training_report import print_report
from scorer.wire.errors import BadTrainingData


def register(app: typer.Typer) -> None:
    """Add `qscore import-qsvc`."""
    app.command("import-qsvc")(import_command)


def import_command(
    machine: Annotated[Path, typer.Argument(help="What write_qsvc wrote where the QSVC was trained.")],
    data: Annotated[Path, typer.Option(help="Labelled events or rows that it was NOT trained on.")],
    label: Label,
    model: Model = None,
    recipe: RecipeFile = None,
    positive: Positive = None,
    group: Group = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of attacks where the model will run.")] = None,
    fpr: Annotated[float, typer.Option(help="False-positive rate of the default line.")] = 0.01,
    grain: Grain = None,
    seed: Seed = 0,
    note: Annotated[str, typer.Option("--version-note", help="Text for the model's card.")] = "",
    promote: Annotated[bool, typer.Option("--promote", help="Make the new version live.")] = False,
) -> None:
    """Take over a QSVC of qiskit-machine-learning: calibrate it, judge it beside its twin, sign it, register it.

    In Python, where the QSVC is: scorer.training.qsvc.file.write_qsvc(path, qsvc, features=..., values=..., inputs=...,
    labels=...). Its decision function stays what it was, within the truncation bound that the model's card states.

    \b
    Example:
      qscore import-qsvc machine.json --model lateral --data held-out.csv --label is_attack
    """
    require_training()
    from scorer.rows.builder import Columns
    from scorer.rows.files import read_table
    from scorer.rows.recipe_files import recipe_for
    from scorer.service.settings import load_settings
    from scorer.training.facts import Provenance
    from scorer.training.options import TrainOptions
    from scorer.training.prepare import prepared
    from scorer.training.qsvc.file import QsvcFileError, read_qsvc
    from scorer.training.qsvc.model import train_imported

    settings, console = load_settings(), Console()
    chosen = recipe_for(model, recipe)
    try:
        stored = read_qsvc(machine)
    except QsvcFileError as error:
        raise BadTrainingData(str(error), "Write the file with scorer.training.qsvc.file.write_qsvc.") from None
    options = TrainOptions(fpr=fpr, prevalence=prevalence, seed=seed, note=note)
    ready = prepared(chosen, read_table(data), Columns(label, positive, group), checked_grain(grain))
    sentence = (
        f"{len(stored.rows)} rows that came with {machine.name}, a QSVC trained elsewhere; calibrated and judged on "
        f"{ready.rows.num_rows} rows ({ready.grain} grain) of {data.name}"
    )
    provenance = Provenance(sentence, remarks=ready.remarks)
    with progress(console) as steps:
        trained = train_imported(chosen, stored, ready.rows, ready.columns, provenance, options, ready.grain, steps)
    print_report(console, trained)
    publish_model(console, trained, settings, promote)
