"""Which recipe a training follows: one that is shipped, by its model's name, or a file of one's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

from scorer.rows.recipe import Recipe, RecipeError, load_recipe, recipe_names
from scorer.wire.errors import BadTrainingData, UnknownModel
from scorer.wire.names import check_model_name

_FILE_CAP = 1024 * 1024
_REMEDY = "docs/models.md, `A recipe of your own`, explains the parts of a recipe."


def recipe_for(model: str | None, file: Path | None) -> Recipe:
    """Read the recipe in ``file``, or the shipped one of ``model``; both may be given where they agree.

    Raises UnknownModel or BadTrainingData.
    """
    if file is None:
        return _shipped(model)
    recipe = _read(file)
    check_model_name(recipe.name)
    if model not in (None, recipe.name):
        raise BadTrainingData(
            f"{file.name} is the recipe of the model {recipe.name}, not of {model}", "Leave --model out, or correct it."
        )
    return recipe


def _shipped(model: str | None) -> Recipe:
    if model is None:
        raise BadTrainingData("neither --model nor --recipe says what to work on", "Give --model lateral, or a recipe.")
    check_model_name(model)
    if model not in recipe_names():
        raise UnknownModel(
            f"there is no recipe for a model {model}",
            f"Recipes are {', '.join(recipe_names())}; --recipe FILE brings one of your own.",
        )
    return load_recipe(model)


def _read(file: Path) -> Recipe:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_FILE_CAP + 1)
        if len(raw) > _FILE_CAP:
            raise BadTrainingData(f"the recipe {file} is larger than {_FILE_CAP} bytes", _REMEDY)
        return Recipe.from_dict(tomllib.loads(raw.decode("utf-8")))
    except OSError as error:
        raise BadTrainingData(f"the recipe {file} cannot be read: {error.strerror}", "Name a readable file.") from None
    except RecipeError as error:
        raise BadTrainingData(f"the recipe {file}: {error}", _REMEDY) from None
    except (ValueError, RecursionError) as error:  # of the text, of TOML, of a number or of lists without end
        raise BadTrainingData(f"the recipe {file} is no TOML: {error}", _REMEDY) from None
