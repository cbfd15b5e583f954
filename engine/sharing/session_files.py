"""What a session writes down: its recipe, script, report or bundle in a file, and itself as a project."""

from pathlib import Path

import torch

from ..jobs import CancelToken, Job, NeverCancelled
from ..recipes.recipe import RECIPE, recipe_of, write_recipe
from ..recipes.script import SCRIPT, write_script
from ..recipes.steps import Recipe
from ..session.prediction_store import PredictionStore
from ..session.project_file import compared, parts_of, take_window, write_project
from ..session.session import Session
from ..session.structures_file import STRUCTURES, analysis_to_json
from ..storage.atomic_files import removed_unless_finished, write
from ..storage.paths import absolute_to
from ..storage.weight_store import WeightStore
from .bundle import write_bundle
from .project_files import FILES, UNFINISHED, first_save
from .report import write_report

NEVER = NeverCancelled()


def session_recipe(session: Session, state: str) -> Recipe:
    """The steps from the original to a state."""
    return recipe_of(session.history, state, session.analysis, torch.get_num_threads(), session.loaded.consent)


def save_recipe(session: Session, state: str, path: str) -> tuple[str, ...]:
    """Write the recipe of a state into a file; returns what was written."""
    file = Path(absolute_to(Path.cwd())(path))
    write_recipe(file, session_recipe(session, state))
    return (str(file),)


def save_script(session: Session, state: str, path: str) -> tuple[str, ...]:
    """Write the Python script of a state, with a file of marks next to it where they are many; what was written."""
    return tuple(map(str, write_script(Path(absolute_to(Path.cwd())(path)), session_recipe(session, state))))


def save_report(session: Session, state: str, path: str) -> tuple[str, ...]:
    """Write a report of a state as one HTML file; returns what was written."""
    file = Path(absolute_to(Path.cwd())(path))
    return (str(write_report(file, session.history, session_recipe(session, state), state)),)


def save_bundle(
    session: Session, state: str, path: str, weights: bool = False, token: CancelToken = NEVER
) -> Job[tuple[str, ...]]:
    """Write a bundle of all states, with or without their weights; returns what was written."""
    job = write_bundle(
        Path(absolute_to(Path.cwd())(path)),
        session.history,
        session_recipe(session, state),
        state,
        analysis_to_json(session.analysis),
        session.store.folder if weights else None,
        token,
    )
    return (str((yield from job)),)


def save_project(session: Session, folder: str, state: str, token: CancelToken = NEVER) -> Job[str]:
    """Write a project: every state with its weights, recipe and script of one. Returns the folder.

    What takes long comes first and leaves nothing when it is cancelled; what says what the project is comes last.

    Args:
        session: What is saved.
        folder: Where to; need not exist.
        state: The present one.
        token: Cancels.

    Raises:
        OpenError: Another project is there and would be lost; or another process works in it.
    """
    location, target = session.location, Path(folder).expanduser().absolute()
    held = location.holds(folder)
    assert session.history.spec is not None
    yield from location.hold(target)
    try:
        history = session.history
        assert history.spec is not None
        history.require_room(target)
        parts = yield from compared(parts_of(history.spec, history.task), token)
        store, digests = WeightStore(target / "weights"), history.weights
        predictions, named = PredictionStore(target), history.predictions
        files = (target / name for name in (UNFINISHED, *FILES))
        made = (target, store.folder, *map(store.path, digests), predictions.folder, *predictions.paths(named), *files)
        with removed_unless_finished(*made), first_save(target):
            yield from store.take(digests, session.store, token)
            yield from predictions.take(named, session.predictions, token)
            recipe = session_recipe(session, state)
            write_recipe(target / RECIPE, recipe)
            write_script(target / SCRIPT, recipe)
            write(target / STRUCTURES, analysis_to_json(session.analysis))
            write_project(target, parts, state)
            take_window(session.folder, target)
            history.write_to(target)
    finally:
        if not held:
            location.release(target)
    return str(target)
