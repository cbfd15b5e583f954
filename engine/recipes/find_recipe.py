"""Where a recipe may lie: in a file of its own, in a project, in a bundle."""

from dataclasses import replace
from pathlib import Path

from ..session.bundle_file import Bundle, is_bundle, read_bundle
from .recipe import RECIPE, read_recipe, recipe_from, with_model
from .steps import Recipe


def recipe_at(path: Path) -> Recipe:
    """The recipe of a file, a project folder or a bundle, its paths absolute; raises OpenError with a sentence."""
    if is_bundle(path):
        return recipe_in(read_bundle(path))
    return read_recipe(path / RECIPE if path.is_dir() else path)


def recipe_in(bundle: Bundle) -> Recipe:
    """The recipe of a bundle, paths as if its files lay beside it; raises OpenError for one that cannot be run.

    Where the data is not at hand, it opens the model with an input of the shape that it had.
    """
    spec = bundle.history.spec
    assert spec is not None
    recipe = recipe_from(bundle.recipe, bundle.path)
    return with_model(recipe, lambda model: replace(model, task=bundle.history.task, input_shape=spec.input_shape))
