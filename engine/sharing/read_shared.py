"""A project or a bundle as it is read for handing on: neither the model nor its data are opened."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import OpenError
from ..foreign_code.consent import NO_CONSENT
from ..recipes.recipe import RECIPE, RecipeContext, read_recipe, recipe_in, recorded, sealed
from ..recipes.steps import Attach, Cut, Open, OpenIntent, Recipe, Recover
from ..session.bundle_file import is_bundle, read_bundle
from ..session.state_history import StateHistory, is_project, versions
from ..session.states import State
from ..session.structures_file import STRUCTURES
from ..storage.file_limits import JSON_BYTES, read_whole


@dataclass(frozen=True, slots=True)
class Handed:
    """What is handed on.

    Attributes:
        history: All states.
        recipe: Of the state.
        state: Id of the state.
        structures: `analysis_to_json` of the model, b"" where the project has none.
        weights: Folder of the weights of all states, None for a bundle.
        machine: Where it was made, "" for here.
    """

    history: StateHistory
    recipe: Recipe
    state: str
    structures: bytes
    weights: Path | None
    machine: str = ""


def handed(path: Path, state: str = "") -> Handed:
    """Read a project's folder or a bundle.

    Args:
        path: Which.
        state: What it is about, "" for the state that the project was saved at.

    Raises:
        OpenError: It is neither, or is damaged.
    """
    if is_bundle(path):
        bundle = read_bundle(path)
        history, recipe, saved = bundle.history, recipe_in(bundle), bundle.manifest.state
        structures, weights, machine = b"", None, bundle.manifest.machine
    elif is_project(str(path)):
        history = StateHistory(path)
        history.read()
        recipe, saved = _recipe(path, history)
        file = path / STRUCTURES
        structures, weights, machine = read_whole(file, 2 * JSON_BYTES) if file.is_file() else b"", path / "weights", ""
    else:
        template = "{path} is neither a project folder nor a bundle. Name one of these."
        raise OpenError("handed.neither", template, path=str(path))
    if state and history.state(state).id != saved:
        recipe, saved = _of(history, state, recipe), state
    return Handed(history, recipe, saved, structures, weights, machine)


def _recipe(folder: Path, history: StateHistory) -> tuple[Recipe, str]:
    """The recipe with all that was measured since it was saved, and the state that it leads to."""
    file = folder / RECIPE
    known = read_recipe(file) if file.is_file() else None
    # sha256 of the weights that a recipe ends in.
    steps = known.steps if known is not None else ()
    made = [step.outcome.weights for step in steps if isinstance(step, Open | Cut | Recover | Attach)]
    last = made[-1] if made else ""
    ends = [one.id for one in history.states.values() if one.weights == last]
    state = ends[-1] if ends else next(reversed(history.states))
    return _of(history, state, known), state


def _of(history: StateHistory, state: str, known: Recipe | None) -> Recipe:
    """The recipe of a state; threads and widths from one that the model was open for."""
    assert history.spec is not None
    first = known.steps[0] if known is not None else None
    opening = first if isinstance(first, Open) else Open(OpenIntent(history.spec))
    model = replace(history.spec, task=history.task)
    told = opening.intent
    intent = OpenIntent(model, told.threads, told.dtype, history.versions or told.versions or versions())
    found = RecipeContext(opening.outcome.widths, opening.outcome.data)
    path: list[State] = history.path_to(state)
    recipe = recorded(path, intent, history.folder, tuple(history.baselines.values()), found)
    return sealed(recipe, history, history.consent or NO_CONSENT)
