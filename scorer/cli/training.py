"""``qscore train``, ``qscore rows``, ``qscore generate``: models and rows from data.

Training's libraries are imported by the commands themselves: whoever only scores need not have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from scorer.cli.training_report import print_report
from scorer.wire.errors import BadTrainingData, ConfigurationError

if TYPE_CHECKING:
    from scorer.models.trained import TrainedModel
    from scorer.rows.builder import Columns
    from scorer.rows.recipe import Recipe
    from scorer.service.settings import Settings
    from scorer.training.options import Steps, TrainOptions

Model = Annotated[str | None, typer.Option("--model", help="lateral or lateral_flow.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", help="A recipe of your own instead (TOML): what a row is.")
]
Label = Annotated[str | None, typer.Option(help="Column that says what is malicious.")]
Positive = Annotated[str | None, typer.Option(help="The label's value that is malicious; without it 1 or true.")]
Group = Annotated[str | None, typer.Option(help="Column of what belongs together (a capture, an incident, a day).")]
Grain = Annotated[str | None, typer.Option(help="What a row is: window or event.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]


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
    from scorer.service.settings import load_settings
    from scorer.training.map_parameters import map_parameters
    from scorer.training.options import TrainOptions

    settings = load_settings()  # what is wrong with them should not come out after the training
    chosen = recipe_for(model, recipe)
    parameters = map_parameters(map_parameter or (), entanglement, reps)
    left_out = tuple(without or ())
    options = TrainOptions(qubits, fpr, prevalence, seed, left_out, note, fit_rows, family, map_name, parameters)
    console = Console()
    with progress(console) as steps:
        if data is None:
            _refuse_without_data(label=label, positive=positive, group=group, grain=grain)
            trained = _train_starter(chosen, options, steps)
        else:
            trained = _train_on(chosen, data, Columns(label, positive, group), checked_grain(grain), options, steps)
    print_report(console, trained)
    publish(console, trained, settings, promote)


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
    from scorer.rows.builder import Columns, build_rows
    from scorer.rows.files import check_writable, read_table, write_table
    from scorer.rows.recipe_files import recipe_for

    check_writable(out)
    events = read_table(data)
    rows = build_rows(recipe_for(model, recipe), events, checked_grain(grain), Columns(label, positive, group))
    write_table(rows, out)
    Console().print(f"{rows.num_rows} rows of {events.num_rows} events in {escape(str(out))}")


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
    try:
        events = generate_events(recipe_for(model, None).name, rows, np.random.default_rng(seed), attack_share)
    except ValueError as error:
        raise BadTrainingData(str(error), "Give other --rows or --attack-share.") from None
    write_table(events, out)
    Console().print(f"{events.num_rows} events in {escape(str(out))}; label: label, group: activity")


def require_training() -> None:
    """Raises ConfigurationError where the extra ``train`` is not installed."""
    try:
        import scipy
        import sklearn
    except ImportError as error:
        raise ConfigurationError(
            f"training needs {error.name}, which is not installed", "pip install 'qscore[train]'"
        ) from None
    _ = (scipy, sklearn)


def checked_grain(grain: str | None) -> str | None:
    """``grain``, or BadTrainingData where it is none."""
    if grain not in (None, "window", "event"):
        raise BadTrainingData(f"--grain {grain} is not known", "Use --grain window or --grain event.")
    return grain


def _refuse_without_data(**given: str | None) -> None:
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if named:
        raise BadTrainingData(f"{named[0]} says something about data, but there is no --data", "Add --data FILE.")


def _train_starter(recipe: Recipe, options: TrainOptions, steps: Steps) -> TrainedModel:
    from scorer.training.starter.model import train_starter

    steps("generating activity", 0, 1)
    return train_starter(recipe, options, steps)


def _train_on(
    recipe: Recipe, data: Path, columns: Columns, grain: str | None, options: TrainOptions, steps: Steps
) -> TrainedModel:
    from scorer.models.families import family_named
    from scorer.rows.files import read_table
    from scorer.training.facts import Provenance
    from scorer.training.prepare import prepared
    from scorer.training.train import check_options, train

    check_options(recipe, options)
    one_class = family_named(options.family).one_class
    if columns.label is None and not one_class:
        raise BadTrainingData("--data without --label", "Name the column that says what is malicious: --label COLUMN.")
    steps(f"reading {data.name}", 0, 1)
    ready = prepared(recipe, read_table(data), columns, grain, normal=one_class)
    value = f"{columns.label}={columns.positive}" if columns.positive else columns.label
    told = "all taken for normal" if value is None else f"malicious where {value}"
    sentence = f"{ready.rows.num_rows} rows ({ready.grain} grain) of {data.name}, {told}"
    return train(
        recipe, ready.rows, ready.columns, Provenance(sentence, remarks=ready.remarks), options, ready.grain, steps
    )


@contextmanager
def progress(console: Console) -> Iterator[Steps]:
    """A bar that ``steps(text, done, total)`` moves."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def steps(text: str, done: int, total: int) -> None:
            bar.update(task, description=text, completed=done, total=total)

        yield steps


def publish(console: Console, model: TrainedModel, settings: Settings, promote: bool) -> None:
    """Sign the model, put it into the registry and say so; ``promote``: make it live."""
    from scorer.registry.keys import Signer
    from scorer.registry.store import Registry

    signer, made = Signer.load_or_create(settings.signing_key, settings.trusted_keys)
    registry = Registry(settings.registry, settings.trusted_keys)
    version = registry.publish(model, signer)
    if promote:
        registry.set_alias(model.name, "live", version)
    live = registry.aliases(model.name).get("live", "")
    state = "is live" if live == version else f"is in the registry; live is still {live} (--promote changes that)"
    console.print(f"Version [bold]{version}[/bold] {state}.", highlight=False)
    verb = "Made a signing key" if made else "Signed with the key"
    console.print(
        f"{verb} {signer.key_id} in {escape(str(settings.signing_key))}; keep it private.",
        highlight=False,
        soft_wrap=True,
    )
