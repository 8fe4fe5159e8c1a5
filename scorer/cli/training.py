"""``qscore train``, ``qscore rows``, ``qscore generate``: models and rows from data.

Training's libraries are imported by the commands themselves: whoever only scores need not have them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scorer.cli import terminal
from scorer.cli.training_options import (
    Grain,
    Group,
    Label,
    Model,
    Positive,
    RecipeFile,
    Seed,
    map_parameters,
    progress,
    require_training,
)
from scorer.cli.training_report import print_published, print_report
from scorer.wire.errors import BadTrainingData


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    app.command("train")(train_command)
    app.command("rows")(rows_command)
    app.command("generate")(generate_command)


def train_command(
    model: Model = None,
    data: Annotated[Path | None, typer.Option(help="Events or rows: CSV, NDJSON, Parquet. None: a starter.")] = None,
    recipe: RecipeFile = None,
    label: Label = None,
    positive: Positive = None,
    group: Group = None,
    family: Annotated[str, typer.Option(help="What kind of model; see above.")] = "svc",
    map_name: Annotated[str, typer.Option("--map", help="Feature map: zz, pauli, qft, reuploading, ...")] = "zz",
    map_parameter: Annotated[
        list[str] | None, typer.Option(help="name=value for the map; several by repeating. docs/circuits.md has them.")
    ] = None,
    entanglement: Annotated[str | None, typer.Option(help="Of the map: full, linear or circular.")] = None,
    reps: Annotated[int | None, typer.Option(help="Repetitions of the map.")] = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of attacks where the model will run.")] = None,
    fpr: Annotated[float, typer.Option(help="False-positive rate of the default line.")] = 0.01,
    qubits: Annotated[int, typer.Option(help="Features at most, one qubit each unless the map has it otherwise.")] = 6,
    grain: Grain = None,
    seed: Seed = 0,
    without: Annotated[list[str] | None, typer.Option(help="Feature or group to leave out, e.g. port_class.")] = None,
    fit_rows: Annotated[
        int | None,
        typer.Option(help="Rows to fit on at most. Default: all for nystrom-logistic and leverage, else 2000."),
    ] = None,
    note: Annotated[str, typer.Option("--version-note", help="Text for the model's card.")] = "",
    promote: Annotated[bool, typer.Option("--promote", help="Make the new version live.")] = False,
) -> None:
    """Train a model, judge it openly beside its classical twin, sign it and put it into the registry.

    \b
    Which --family:
      svc               labelled rows, up to a few thousand: the default
      nystrom-logistic  labelled rows by the ten thousand to the million
      vqc               labelled rows; a trained circuit, to compare with
      density           normal rows alone (--label is then only for judging)
      leverage          normal rows alone, usually the better of the two
      projected         labelled rows and 13 to 20 qubits, shots or hardware

    Bandwidth and one parameter more are searched, with as many tries for the classical twin.

    \b
    Examples:
      qscore train --model lateral
      qscore train --model lateral --data own.csv --label is_attack --promote
      qscore train --model lateral_flow --data normal.parquet --family leverage
    """
    require_training()
    from scorer.rows.builder import Columns
    from scorer.rows.recipe_files import recipe_for
    from scorer.service.access.trust.publishing import publish_audited
    from scorer.service.settings import load_settings
    from scorer.training.from_file import TrainRequest, train_file
    from scorer.training.options import TrainOptions
    from scorer.training.starter.model import train_starter

    settings = load_settings()  # what is wrong with them should not come out after the training
    chosen = recipe_for(model, recipe)
    options = TrainOptions(
        qubits=qubits,
        fpr=fpr,
        prevalence=prevalence,
        seed=seed,
        without=tuple(without or ()),
        note=note,
        fit_rows=fit_rows,
        family=family,
        map=map_name,
        map_parameters=map_parameters(map_parameter or (), entanglement, reps),
    )
    console = terminal.console()
    with progress(console) as steps:
        if data is None:
            _refuse_without_data(label=label, positive=positive, group=group, grain=grain)
            trained = train_starter(chosen, options, steps)
        else:
            columns = Columns(label, positive, group)
            request = TrainRequest(recipe=chosen, data=data, columns=columns, grain=grain, options=options)
            trained = train_file(request, steps)
    print_report(console, trained)
    print_published(console, publish_audited(settings, trained, promote), settings.signing_key)


def rows_command(
    data: Annotated[Path, typer.Option(help="Events: CSV, NDJSON or Parquet.")],
    out: Annotated[Path, typer.Option(help="Where the rows go: .csv, .csv.gz or .parquet.")],
    model: Model = None,
    recipe: RecipeFile = None,
    label: Label = None,
    positive: Positive = None,
    group: Group = None,
    grain: Grain = None,
) -> None:
    """Build rows from a file of events, exactly as the model's macro does in Splunk. Labels become 0 and 1.

    \b
    Example:
      qscore rows --model lateral --data events.csv --out rows.csv
    """
    require_training()
    from scorer.rows.builder import Columns
    from scorer.rows.recipe_files import recipe_for
    from scorer.training.prepare import rows_file

    built = rows_file(recipe_for(model, recipe), data, out, Columns(label, positive, group), grain)
    terminal.console().print(f"{built.rows} rows of {built.events} events in {escape(str(out))}")


def generate_command(
    model: Annotated[str, typer.Option("--model", help="lateral or lateral_flow.")],
    out: Annotated[Path, typer.Option(help="Where the events go: .csv, .csv.gz or .parquet.")],
    rows: Annotated[int, typer.Option(help="About how many rows the events will make.")] = 20_000,
    seed: Seed = 0,
    attack_share: Annotated[float, typer.Option(help="Share of the rows that is malicious.")] = 0.05,
) -> None:
    """Write labelled events of a made-up company: columns label (0 or 1), activity (the group) and profile.

    \b
    Example:
      qscore generate --model lateral --rows 2000 --seed 1 --out events.csv
    """
    require_training()
    import numpy as np

    from scorer.rows.files import check_writable, write_table
    from scorer.rows.recipe_files import recipe_for
    from scorer.training.starter.generator import generate_events

    check_writable(out)
    events = generate_events(recipe_for(model, None).name, rows, np.random.default_rng(seed), attack_share)
    write_table(events, out)
    terminal.console().print(f"{events.num_rows} events in {escape(str(out))}; label: label, group: activity")


def _refuse_without_data(**given: str | None) -> None:
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if named:
        raise BadTrainingData(f"{named[0]} says something about data, but there is no --data", "Add --data FILE.")
