"""What the commands that train, import and measure share: options, parameters, the check of what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from scorer.cli.progress import progress_bar
from scorer.progress import Steps
from scorer.wire.errors import BadTrainingData, ConfigurationError

Model = Annotated[str | None, typer.Option("--model", help="lateral or lateral_flow.")]
RecipeFile = Annotated[
    Path | None, typer.Option("--recipe", help="A recipe of your own instead (TOML): what a row is.")
]
Label = Annotated[str | None, typer.Option(help="Column that says what is malicious.")]
Positive = Annotated[str | None, typer.Option(help="The label's value that is malicious; without it 1 or true.")]
Group = Annotated[str | None, typer.Option(help="Column of what belongs together (a capture, an incident, a day).")]
Grain = Annotated[str | None, typer.Option(help="What a row is: window or event.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]

_WORDS = {"true": True, "false": False}


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


def progress(console: Console) -> AbstractContextManager[Steps]:
    """Show a bar with what is being done and the time since it began."""
    return progress_bar(console, TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())


def map_parameters(words: Sequence[str], entanglement: str | None, reps: int | None) -> dict[str, Any]:
    """Read ``name=value`` from each word; values with commas become lists.

    ``entanglement`` and ``reps`` have options of their own. Raises BadTrainingData. Whether the map takes them is the
    map's to say.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier():
            raise BadTrainingData(f"--map-parameter {word!r} is not name=value", "Write --map-parameter layers=3.")
        if name == "bandwidth":
            raise BadTrainingData("the bandwidth is searched for", "Leave bandwidth out of --map-parameter.")
        found[name] = [_value(item) for item in value.split(",")] if "," in value else _value(value)
    if entanglement is not None:
        found["entanglement"] = entanglement
    if reps is not None:
        found["reps"] = reps
    return found


def _value(word: str) -> Any:
    """A number or truth value where it reads as one, else the word itself."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
