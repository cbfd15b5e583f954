"""Jobs on whole models: open a model or a project, attach data, choose where to compute, save, read other models.

`DeviceWatch` asks for the devices of the engine's machine outside the job queue, also while a job runs.
"""

import math
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

from secateur.engine.machine.device_list import Device
from secateur.engine.machine.devices import CPU
from secateur.engine.session.states import OpenedModel, State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.costs import ModelLayers, layers_of
from secateur.engine.tasks.protocol import TaskInfo, TaskSpec

from ..document.job_state import ConsentRequest
from ..storage import quarantine, settings
from ..storage.autosave.session_autosave import SessionAutosave
from ..storage.user_folders import new_session_folder
from ..text.titles import state_name
from ..text.translate import sentence
from .engine_link import ASIDE
from .job_runner import DocumentJobs, JobRunner
from .plan_jobs import PlanJobs
from .state_jobs import StateJobs


class ModelJobs(DocumentJobs):
    """Opens, attaches, saves.

    Attributes:
        asked: What was asked to be opened and has not been, None for nothing and for a session to be restored.
    """

    def __init__(self, runner: JobRunner, plan: PlanJobs, states: StateJobs, autosave: SessionAutosave) -> None:
        """Work for a document; what is done in it from now on is kept by `autosave`."""
        super().__init__(runner)
        self._plan, self._states = plan, states
        self._autosave = autosave
        self.asked: ModelSpec | None = None

    def open(self, spec: ModelSpec) -> None:
        """Open a model; the document stays as it is until that succeeded."""
        self.asked = spec
        self._runner.consent = ConsentRequest(
            spec.weights or spec.source, lambda consent: self.open(replace(spec, **{consent: True}))
        )
        samples = {"bundled:resnet": self.tr("sample ResNet"), "bundled:vit": self.tr("sample ViT")}
        name = samples.get(spec.source) or Path(spec.source).name or spec.source
        self._runner.start()
        own = self._document.engine.folder if self._document.analysis is None else new_session_folder()
        self._runner.run(
            self.tr("Open {name}").format(name=name),
            lambda model: self.show(model, spec),
            "open",
            spec,
            False,
            str(own),
            changes=True,
        )

    def show(self, model: OpenedModel, spec: ModelSpec) -> None:
        """Show a model that a job has opened, and read or measure what belongs to it."""
        document = self._document
        drafts = document.analysis is not None and not document.history.clean and not document.engine.place
        left = document.model_name if drafts else ""
        self.adopt(model, spec)
        self.asked = None
        words = (
            self.tr("{name} is open. Your work on {left} is kept: File > Drafts.")
            if left
            else self.tr("{name} is open")
        )
        document.say(words.format(name=model.name, left=left))
        if model.has_history:
            title = self.tr("Read the history")
            self._runner.run(title, lambda states: self._take_project(states, spec.source), "states")
        else:
            self._states.measure_missing()

    def adopt(self, model: OpenedModel, spec: ModelSpec) -> None:
        """Show a model that the engine has opened; what is done from now on is kept in its folder."""
        self._autosave.leave()
        self.replace_model(model, spec)
        if model.folder:
            folder = Path(model.folder)
            self._document.take_engine(replace(self._document.engine, folder=folder))
            self._autosave.enter(folder)

    def replace_model(self, model: OpenedModel, spec: ModelSpec) -> None:
        """Put a model into the document, and tell which of its files have changed since they were recorded."""
        first = self._document.analysis is None
        self._document.adopt(model, spec)
        if first and (device := settings.value(settings.DEVICE, "")) in model.devices:
            # Only the first model takes the preferred device: later ones stay where the user has put them.
            self.set_device(device)
        for change in model.changed:
            quarantine.add_notice(sentence(change))

    def _take_project(self, states: tuple[State, ...], folder: str) -> None:
        document = self._document
        document.project.emit(folder, document.engine.place)
        document.take_states(states)
        self._runner.run(self.tr("Read the baselines"), document.take_baselines, "baselines")
        # Which state is the current one is known only then.
        self._autosave.open_project(folder, self._states.measure_missing)

    def attach_task(self, spec: TaskSpec) -> None:
        """Attach data and metric."""

        def take_metrics(states: tuple[State, ...]) -> None:
            self._document.take_metrics(states)
            self._states.measure_missing()

        def take(task: TaskInfo) -> None:
            self._document.take_task(task)
            # The engine evaluated the original as it attached.
            self._runner.run(self.tr("Read the metric"), take_metrics, "states")
            self._plan.score()

        self._runner.run(self.tr("Open the data"), take, "attach_task", spec, changes=True)

    def set_device(self, device: str) -> None:
        """Choose where models are trained and evaluated from now on."""
        if self._document.set_device(device):
            self._use_device()

    def use_threads(self) -> None:
        """Compute with as many threads as the preferences say from now on."""
        document, threads = self._document, settings.value(settings.THREADS, 0)

        def apply(number: int) -> None:
            self._runner.tell_threads(number)

        title = self.tr("Compute with as many threads as chosen")
        self._runner.run(title, apply, "use_threads", threads, background=True)
        document.set_recovery(replace(document.recovery, threads=threads))

    def use_device_again(self) -> None:
        """The engine is there again: compute where the document says."""
        if self._document.contents.device != CPU:
            self._use_device()

    def _use_device(self) -> None:
        device = self._document.contents.device
        self._runner.run(self.tr("Compute on {device}").format(device=device), lambda _: None, "use_device", device)

    def save(self, folder: str) -> None:
        """Write a project: every state with its weights, and the recipe of the current one."""

        def save() -> None:
            place = self._document.history.position

            def apply(written: str) -> None:
                self._document.saved(written, place)

            self._runner.run(self.tr("Save the project"), apply, "save", folder, self._document.contents.present)

        # The engine copies the window's file into the project, so it has to say what is shown now.
        self._autosave.save(save)


class OtherModelJobs(DocumentJobs):
    """Reads models for a comparison.

    Signals:
        read: (ModelLayers, ModelLayers), of the current state and of the other model.
    """

    read = Signal(object, object)

    def compare(self, spec: ModelSpec) -> None:
        """Read a model, foreign code only with consent, and emit it with the current state."""
        source = spec.weights or spec.source
        again = ConsentRequest(source, lambda consent: self.compare(replace(spec, **{consent: True})))
        self._runner.consent = again

        def apply(other: ModelLayers) -> None:
            document = self._document
            if document.analysis is not None and document.state is not None:
                title = f"{document.model_name}, {state_name(document.states, document.state.id)}"
                own = layers_of(document.analysis, document.contents.removed)
                self.read.emit(replace(own, name=title), other)

        title = self.tr("Read {name}").format(name=Path(spec.source).name or spec.source)
        self._runner.run(title, apply, "read_layers", spec)


class DeviceWatch(QObject):
    """Asks for devices.

    Attributes:
        known: The last answer.

    Signals:
        updated: tuple of Device in the engine's order, the CPU first.
    """

    updated = Signal(object)

    def __init__(self, runner: JobRunner) -> None:
        """Ask the engine that a runner has."""
        super().__init__(runner)
        self._runner, self._tickets, self._asked = runner, count(ASIDE), 0
        self.known: tuple[Device, ...] = ()
        if runner.link is not None:
            runner.link.finished.connect(self._on_finished)
            runner.link.failed.connect(self._on_failed)

    def look(self) -> None:
        """Ask, unless an answer is still to come; the engine is started for it."""
        if self._runner.link is None or self._asked:
            return
        self._runner.start()
        self._asked = next(self._tickets)
        self._runner.link.call(self._asked, "devices")

    def free_of(self, device: str) -> float:
        """Bytes of memory that were free on a device when it was looked at last, NaN unknown."""
        return next((float(one.free) for one in self.known if one.name == device and one.total), math.nan)

    @Slot(object, object)
    def _on_finished(self, ticket: int, result: Any) -> None:
        if ticket == self._asked:
            self._asked, self.known = 0, result
            self.updated.emit(result)

    @Slot(object, object)
    def _on_failed(self, ticket: int, _error: object) -> None:
        # The engine has gone, or is an older one without this call: ask again next time.
        if ticket == self._asked:
            self._asked = 0
