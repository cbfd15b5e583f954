"""What a session hands on: recipes, scripts, reports, bundles and projects."""

from pathlib import Path

import torch

from ..jobs import CancelToken, Job, NeverCancelled
from ..recipes.recipe import RECIPE, recipe_of, write_recipe
from ..recipes.script import SCRIPT, write_script
from ..recipes.steps import Recipe
from ..sharing.bundle import write_bundle
from ..sharing.report import write_report
from ..sharing.structures import STRUCTURES, analysis_to_json
from ..storage.atomic_files import removed_unless_finished, write
from ..storage.paths import absolute_to
from ..storage.weight_store import WeightStore
from ..workflows.measure import TargetJobs
from .project_file import compared, parts_of, take_window, write_project
from .project_files import FILES, UNFINISHED, first_save

NEVER = NeverCancelled()


class Handing(TargetJobs):
    """Writes down what was done."""

    def recipe(self, state: str) -> Recipe:
        """The steps from the original to a state."""
        live = self._need()
        return recipe_of(self.history, state, live.analysis, torch.get_num_threads(), live.consent)

    def write_recipe(self, state: str, path: str) -> tuple[str, ...]:
        """Write the recipe of a state into a file; returns what was written."""
        file = Path(absolute_to(Path.cwd())(path))
        write_recipe(file, self.recipe(state))
        return (str(file),)

    def write_script(self, state: str, path: str) -> tuple[str, ...]:
        """Write the Python script of a state, with a file of marks beside it where they are many; what was written."""
        return tuple(map(str, write_script(Path(absolute_to(Path.cwd())(path)), self.recipe(state))))

    def write_report(self, state: str, path: str) -> tuple[str, ...]:
        """Write a report of a state as one HTML file; returns what was written."""
        file = Path(absolute_to(Path.cwd())(path))
        return (str(write_report(file, self.history, self.recipe(state), state)),)

    def write_bundle(
        self, state: str, path: str, weights: bool = False, token: CancelToken = NEVER
    ) -> Job[tuple[str, ...]]:
        """Write a bundle of all states, with or without their weights; returns what was written."""
        file, structures = Path(absolute_to(Path.cwd())(path)), analysis_to_json(self._need().analysis)
        folder = self.store.folder if weights else None
        told = (self.history, self.recipe(state), state, structures, folder)
        return (str((yield from write_bundle(file, *told, token))),)

    def save(self, folder: str, state: str, token: CancelToken = NEVER) -> Job[str]:
        """Write a project: every state with its weights, recipe and script of one. Returns the folder.

        What takes long comes first and leaves nothing when it is cancelled; what says what the project is comes last.

        Raises:
            OpenError: Another project lies there, and what it has would be lost; or another process works in it.
        """
        target, held = Path(folder).expanduser().absolute(), self.holds(folder)
        assert self.history.spec is not None
        yield from self.hold(target)
        try:
            yield from self._save(target, state, token)
        finally:
            if not (held or self._exclusive):
                self._let_go(self._locks.keys() - {target.resolve()})
        return str(target)

    def _save(self, target: Path, state: str, token: CancelToken) -> Job[None]:
        assert self.history.spec is not None
        self.history.require_room(target)
        parts = yield from compared(parts_of(self.history.spec, self.history.task), token)
        store, digests = WeightStore(target / "weights"), self.history.weights
        files = (target / name for name in (UNFINISHED, *FILES))
        with removed_unless_finished(target, store.folder, *map(store.path, digests), *files), first_save(target):
            yield from store.take(digests, self.store, token)
            recipe = self.recipe(state)
            write_recipe(target / RECIPE, recipe)
            write_script(target / SCRIPT, recipe)
            write(target / STRUCTURES, analysis_to_json(self._need().analysis))
            write_project(target, parts, state)
            take_window(self.folder, target)
            self.history.write_to(target)
