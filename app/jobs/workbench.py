"""Puts together what a window works with: the document, the engine's link, the job runner, and all jobs.

This is the one place that makes them. Who only shows the document takes that; who starts jobs takes the workbench.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Slot

from secateur.engine.storage.atomic_files import write

from ..document.document import Document
from ..storage import settings
from ..storage.autosave.session_autosave import SessionAutosave
from ..storage.background import BackgroundTasks
from .baselines import BaselineJobs
from .budget_search import BudgetSearchJobs, SweepJobs
from .changes import ChangesJobs
from .cost_estimator import CostEstimator
from .job_runner import JobRunner
from .model_jobs import DeviceWatch, ModelJobs, OtherModelJobs
from .plan_jobs import PlanJobs, SensitivityJobs
from .recipes import RecipeJobs
from .remote_files import RemoteFiles
from .session_restore import SessionRestore
from .shape import ShapeJobs
from .sharing import JobFolders, RemoteBenchJobs, SharingJobs
from .state_jobs import StateJobs


class Workbench(QObject):
    """A document and all that can be done with it.

    Attributes:
        document: What is shown and edited.
        estimator: How long jobs took, and how long the next ones will take.
        runner: Runs jobs against the engine; its queue is published in the document.
        files: Writes small files in another thread, in order.
        layouts: Lays graphs out in another thread.
        elsewhere: Folders and files of the engine's machine, None where that is this one.
        autosave: Keeps the session on disk.
        plan: Scores, latencies, plans.
        states: Cut, recover, export, evaluate, measure.
        model: Open, attach data, save.
        sensitivity: How the metric falls as each layer loses a share.
        sweep: Several budgets, one after the other.
        shape: Target shapes: what they come to, and pruning to them.
        search: The lowest cost that loses at most so much.
        bench: Measurements on other machines.
        job_folders: Recoveries on other machines.
        baselines: What the result has to be better than.
        changes: What got worse from one state to another.
        sharing: Files of the present state for others.
        others: Other models, read to be compared.
        recipes: Recipes that are done again.
        sessions: Sessions that were broken off, and can be restored.
        devices: The devices of the engine's machine now.
    """

    def __init__(self, link: Any = None, document: Document | None = None) -> None:
        """Make everything. `link` reaches the engine; without one, only what needs no engine works."""
        super().__init__()
        self.document = document = document or Document()
        self.estimator = CostEstimator(document)
        self.runner = runner = JobRunner(document, link, self.estimator)
        self.files = BackgroundTasks("files")
        self.layouts = BackgroundTasks("layouts of graphs")
        self.elsewhere = RemoteFiles(link.client) if link is not None and link.place else None
        self.autosave = SessionAutosave(document, None if link is None else link.engine)
        self.plan = PlanJobs(runner)
        self.states = StateJobs(runner, self.plan)
        self.model = ModelJobs(runner, self.plan, self.states, self.autosave)
        self.sensitivity = SensitivityJobs(runner)
        self.sweep = SweepJobs(runner, self.states)
        self.search = BudgetSearchJobs(runner, self.states)
        self.shape = ShapeJobs(runner, self.states)
        self.bench = RemoteBenchJobs(runner)
        self.job_folders = JobFolders(runner)
        self.baselines = BaselineJobs(runner)
        self.changes = ChangesJobs(runner)
        self.sharing = SharingJobs(runner)
        self.others = OtherModelJobs(runner)
        self.recipes = RecipeJobs(runner, self.model, self.states)
        self.sessions = SessionRestore(runner, self.model, self.states, self.autosave)
        self.devices = DeviceWatch(runner)
        self.estimator.free_of = self.devices.free_of
        runner.came_back.connect(self._came_back)
        runner.began_anew.connect(self.begin)

    @Slot()
    def begin(self) -> None:
        """The engine was started: have it compute as the preferences say."""
        if settings.value(settings.THREADS, 0):
            self.model.use_threads()

    @Slot()
    def _came_back(self) -> None:
        """The engine was lost and runs again: compute where the document says, go on with what was broken off."""
        self.begin()
        self.model.use_device_again()
        self.runner.ask_again()
        self.plan.go_on()

    def save_file(self, path: Path, content: Callable[[], bytes]) -> None:
        """Write a file whole or not at all, and say so; `content` is called in another thread: no widget in it."""
        self.files.run(
            lambda: write(path, content()),
            on_done=lambda _none: self.document.say(self.tr("Saved {path}").format(path=path)),
            on_error=self.document.fail,
        )

    def close(self) -> None:
        """Keep everything, and end the engine, for good."""
        self.stop()
        self.end()

    def stop(self) -> None:
        """Ask for nothing any more, and let go of the session: another window can take it."""
        self.runner.stop()
        self.autosave.close()

    def end(self) -> None:
        """After `stop`: wait until all is written and the engine has ended. May be called in another thread."""
        self.files.close()
        self.layouts.close()
        self.plan.close()
        self.runner.end_engine()
        if self.elsewhere is not None:
            self.elsewhere.close()
