"""A workbench whose engine the test plays: opened, scored, and what it is asked for is answered by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PySide6.QtWidgets import QMainWindow, QWidget

from secateur.app.dialogs.window_api import WindowApi
from secateur.app.document.aspects import Aspect
from secateur.app.document.document import Document
from secateur.app.jobs.workbench import Workbench
from secateur.app.widgets.plot_export import Drawing
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.machine.devices import CPU
from secateur.engine.process.events import Progressed
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis
from secateur.engine.tasks.protocol import Metric, Split, TaskInfo

from .demo_analysis import scores_of, small_resnet
from .fake_link import FakeLink, workbench_on
from .stand_in import SPEC, state_of, task_info


class Window(QMainWindow):
    """What dialogs and panels ask of a window, noted.

    Attributes:
        fronts: Panels that came to the front, in order.
        ran: Ids of the commands that were run.
        opened: Models that were to be opened.
        engines: Engines that were chosen.
    """

    def __init__(self, workbench: Workbench) -> None:
        super().__init__()
        self.workbench, self.document = workbench, workbench.document
        self.fronts: list[str] = []
        self.ran: list[str] = []
        self.opened: list[ModelSpec] = []
        self.engines: list[Any] = []
        self.document.requested.connect(self._serve)

    def _serve(self, request: Callable[[WindowApi], None]) -> None:
        request(self)

    def as_widget(self) -> QWidget:
        return self

    def run_command(self, name: str) -> None:
        self.ran.append(name)

    def open(self, spec: ModelSpec) -> None:
        self.opened.append(spec)

    def open_source(self, source: str) -> None:
        self.opened.append(ModelSpec(source))

    def use_engine(self, engine: Any, then: Any = None) -> None:
        self.engines.append(engine)

    def show_panel(self, module: str) -> None:
        self.fronts.append(module)

    def show_page(self, name: str, keep_all: bool = False) -> None:
        self.fronts.append(name)

    def drawings(self) -> tuple[Drawing, ...]:
        return ()

    def drawing_in_front(self) -> Drawing | None:
        return None

    def _nothing(self, *_arguments: Any, **_named: Any) -> None:
        """Nothing is asked for here."""

    hide_error = reopen = show_restorable = show_rating = edit_keeps = toggle_dock = go_back = save_layout = _nothing
    show_job_log = show_tour = toggle_maximised = _nothing
    reset_layout = dress = resize_text = show_palette = show_shortcuts = show_manual = _nothing


class Played(Document):
    """Tells its views at once: a test of a panel is not about turns of the event loop."""

    def announce(self, *aspects: Aspect) -> None:
        super().announce(*aspects)
        self.dispatcher.settle()


@dataclass
class Player:
    """The workbench, its document and link, and what it said.

    Attributes:
        sentences: What was announced.
        failures: Errors that were told.
    """

    workbench: Workbench
    link: FakeLink
    sentences: list[str]
    failures: list[Any]

    @property
    def document(self) -> Document:
        return self.workbench.document

    def answer(self, method: str, result: Any) -> None:
        self.link.finished.emit(self.link.last(method), result)

    def make(self, method: str, *made: Any, done: int = 0, total: int = 0) -> None:
        """The running job made these on its way."""
        self.link.progressed.emit(self.link.last(method), Progressed(1, Progress("on", done, total), (), made))

    def get_on(self, method: str, so_far: Any, done: int, total: int) -> None:
        """The running job has made so much of its result."""
        self.link.progressed.emit(self.link.last(method), Progressed(1, Progress("on", done, total, so_far=so_far)))

    def stop(self, method: str) -> None:
        self.link.failed.emit(self.link.last(method), Cancelled())

    def settle(self) -> None:
        """Score; measurements that nobody asked for step aside."""
        for job in self.workbench.runner.queue.jobs():
            if job.method == "score":
                scores = scores_of(self.document.analysis)  # type: ignore[arg-type]
                self.link.finished.emit(job.id, np.where(self.document.removed, np.nan, scores))
            elif job.background:
                self.link.failed.emit(job.id, Cancelled())


def play(analysis: Analysis | None = None, task: TaskInfo | None = None, devices: tuple[str, ...] = (CPU,)) -> Player:
    """A model is open and scored."""
    analysis, link = analysis or small_resnet(), FakeLink()
    document = Played()
    workbench = workbench_on(link, document)
    player = Player(workbench, link, [], [])
    document.announced.connect(player.sentences.append)
    document.failed.connect(player.failures.append)
    workbench.model.open(SPEC)
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914, 0.76)
    player.answer("open", OpenedModel("net", analysis, state, (), task or task_info(), SPEC, devices=devices))
    player.settle()
    return player


def top1(value: float) -> Metric:
    """An accuracy on the val split."""
    return Metric("top-1", value, 2000, (value * (1 - value) / 2000) ** 0.5, Split.VAL)
