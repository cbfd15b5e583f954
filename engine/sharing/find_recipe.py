"""Where a recipe may lie: in a file of its own, in a project, in a bundle."""

from pathlib import Path

from ..recipes.recipe import RECIPE, read_recipe
from ..recipes.steps import Recipe
from .bundle import is_bundle, read_bundle


def recipe_at(path: Path) -> Recipe:
    """The recipe of a file, a project folder or a bundle, its paths absolute; raises OpenError with a sentence."""
    if is_bundle(path):
        return read_bundle(path).recipe
    return read_recipe(path / RECIPE if path.is_dir() else path)
