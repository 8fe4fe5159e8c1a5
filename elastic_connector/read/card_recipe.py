"""The recipe in a gateway's model card, made to fit one source's documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scorer.rows.recipe import TIME, Recipe, RecipeError
from scorer.wire.errors import NonsenseReply


def card_recipe(raw: object, names: Mapping[str, Sequence[str]] | None = None, wanted: Sequence[str] = ()) -> Recipe:
    """Read ``card.details["recipe"]``, which is data from outside, as the recipe of one source's documents.

    ``names``: field -> names in the documents, in place of the recipe's ECS names. ``wanted``: the inputs that the
    model needs; none named: all. Raises NonsenseReply naming the part that is wrong or that no document can have.
    """
    try:
        recipe = Recipe.from_dict(raw)
    except RecipeError as error:
        raise _nonsense(str(error)) from None
    _check_for_documents(recipe)
    return recipe.of_documents(names or {}, wanted)


def _check_for_documents(recipe: Recipe) -> None:
    """Refuse what an artifact may say and a source of documents cannot follow."""
    if not recipe.null_key:
        raise _nonsense("recipe.row.null_key is ''; a document without a key would have no identity")
    for one in recipe.fields:
        if one.scale_ecs <= 0.0:
            raise _nonsense(f"field {one.name}: scale_ecs is {one.scale_ecs}; it must be above 0")
    for i in recipe.inputs:
        if i.field == TIME:
            raise _nonsense(f"input {i.name} is made of the time, which documents have in two spellings")


def _nonsense(what: str) -> NonsenseReply:
    return NonsenseReply(f"the model card's recipe cannot be used: {what}", "Run the same version everywhere.")
