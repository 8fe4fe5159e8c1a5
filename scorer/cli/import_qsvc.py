"""``qscore import-qsvc``: a QSVC that was trained with qiskit-machine-learning becomes a model of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scorer.cli import terminal
from scorer.cli.training_options import (
    Grain,
    Group,
    Label,
    Model,
    Positive,
    RecipeFile,
    Seed,
    progress,
    require_training,
)
from scorer.cli.training_report import print_published, print_report


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
    from scorer.rows.recipe_files import recipe_for
    from scorer.service.access.trust.publishing import publish_audited
    from scorer.service.settings import load_settings
    from scorer.training.options import TrainOptions
    from scorer.training.qsvc.from_file import ImportRequest, import_file

    settings, console = load_settings(), terminal.console()
    request = ImportRequest(
        recipe=recipe_for(model, recipe),
        machine=machine,
        data=data,
        columns=Columns(label, positive, group),
        grain=grain,
        options=TrainOptions(fpr=fpr, prevalence=prevalence, seed=seed, note=note),
    )
    with progress(console) as steps:
        trained = import_file(request, steps)
    print_report(console, trained)
    print_published(console, publish_audited(settings, trained, promote), settings.signing_key)
