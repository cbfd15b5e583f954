"""Where a recipe may lie: in a file of its own, in a project, in a bundle."""

from dataclasses import replace
from pathlib import Path

from ..foreign_code.consent import NO_CONSENT, Consent
from ..session.bundle_file import Bundle, is_bundle, read_bundle
from ..session.state_history import StateHistory, is_project
from .recipe import RECIPE, read_recipe, recipe_from, sealed_consent, with_model
from .steps import Open, Recipe


def recipe_at(path: Path) -> Recipe:
    """The recipe of a file, a project folder or a bundle, its paths absolute; raises OpenError with a sentence."""
    if is_bundle(path):
        return recipe_in(read_bundle(path))
    return read_recipe(path / RECIPE if path.is_dir() else path)


def consent_at(path: Path, recipe: Recipe) -> Consent:
    """What this user's seals consent to of the recipe at a path: its own, and that of the project that it lies in.

    The one of the project counts for the model that the project is of: it is newer where code was allowed again since.
    """
    consent, folder = sealed_consent(recipe), path if path.is_dir() else path.parent
    if not is_project(str(folder)):
        return consent
    history, first = StateHistory(folder), recipe.steps[0]
    history.read()
    assert isinstance(first, Open) and history.spec is not None
    named, known = first.intent.model, history.spec
    same = (named.source, named.arguments, named.task) == (known.source, known.arguments, history.task)
    return consent | (history.consent or NO_CONSENT) if same else consent


def recipe_in(bundle: Bundle) -> Recipe:
    """The recipe of a bundle, paths as if its files lay beside it; raises OpenError for one that cannot be run.

    Where the data is not at hand, it opens the model with an input of the shape that it had.
    """
    spec = bundle.history.spec
    assert spec is not None
    recipe = recipe_from(bundle.recipe, bundle.path)
    return with_model(recipe, lambda model: replace(model, task=bundle.history.task, input_shape=spec.input_shape))
