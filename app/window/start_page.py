"""What an empty window shows: what the program does, sample models to try, and what was opened lately."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLayoutItem, QProgressBar, QVBoxLayout, QWidget

from ..commands.command import say
from ..commands.registry import command_named
from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..storage import settings
from ..widgets.buttons import button
from ..widgets.card import Card
from ..widgets.labels import ElidedLabel, label

SHOWN = frozenset({Aspect.JOBS})
SAMPLES = ("file.resnet", "file.vit")


class StartPage(QWidget):
    """Three sentences, buttons, and a line that says what is being opened."""

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget())
        self._window = window
        card = Card(margin=28)
        card.setMinimumWidth(620)
        card.setMaximumWidth(900)
        card.body.setSpacing(10)
        card.body.addWidget(self._title())
        card.body.addWidget(
            label(
                self.tr(
                    "Makes a trained network smaller by removing whole filters, heads, neurons and blocks. Open a "
                    "model and the data to evaluate it on. Secateur suggests a plan, cuts, verifies, recovers, "
                    "measures and exports."
                ),
                "muted",
                wrap=True,
            )
        )
        card.body.addSpacing(8)
        card.body.addWidget(label(self.tr("Try it on a sample"), "strong"))
        for name in SAMPLES:
            card.body.addLayout(self._offer(name))
        card.body.addSpacing(8)
        card.body.addWidget(label(self.tr("Use your own model"), "strong"))
        for name in ("file.open", "file.open_project"):
            card.body.addLayout(self._offer(name))
        drop = self.tr("Or drop a Python file, a checkpoint, or a project or export folder on this window.")
        card.body.addWidget(label(drop, "muted", wrap=True))
        self._recent = QVBoxLayout()
        card.body.addLayout(self._recent)
        self._status = label("", "muted", wrap=True)
        self._bar = QProgressBar(textVisible=False)
        self._bar.setAccessibleName(self.tr("Progress of opening"))
        card.body.addSpacing(8)
        card.body.addWidget(self._status)
        card.body.addWidget(self._bar)
        self._centre(card)
        self.refresh()
        window.document.dispatcher.watch(SHOWN, self._changed)
        self.show_progress()

    def _title(self) -> QLabel:
        title = label(self.tr("Secateur"), "number")
        title.setAccessibleName(self.tr("Secateur"))
        return title

    def _centre(self, card: Card) -> None:
        layout = QVBoxLayout(self)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(card)
        row.addStretch(1)
        layout.addStretch(1)
        layout.addLayout(row)
        layout.addStretch(2)

    def _offer(self, name: str) -> QHBoxLayout:
        command = command_named(name)
        made = button(say(command.title), tip=say(command.tooltip))
        made.setMinimumWidth(160)
        made.clicked.connect(lambda: self._window.run_command(command.id))
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(made, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(label(say(command.tooltip), "muted", wrap=True), 1)
        return row

    def refresh(self) -> None:
        """List what was opened recently."""
        entries = settings.recent()
        while (item := self._recent.takeAt(0)) is not None:
            _discard(item)
        if not entries:
            return
        self._recent.addSpacing(8)
        self._recent.addWidget(label(self.tr("Recent"), "strong"))
        for title, source in entries[:5]:
            made = button(title, "link", self.tr("Open {source} again").format(source=source))
            made.clicked.connect(lambda _checked=False, path=source: self._window.reopen(path))
            row = QHBoxLayout()
            row.addWidget(made)
            row.addWidget(ElidedLabel(source, "muted"), 1)
            self._recent.addLayout(row)

    def _changed(self, _aspects: frozenset[Aspect]) -> None:
        self.show_progress()

    def show_progress(self) -> None:
        """Say what is being opened."""
        jobs = self._window.document.jobs
        self._bar.setVisible(bool(jobs))
        self._status.setVisible(bool(jobs))
        if jobs:
            job = jobs[0]
            self._status.setText(f"{job.title}: {job.text or self._window.document.engine.text}")
            self._bar.setRange(0, job.total)
            self._bar.setValue(job.done)


def _discard(item: QLayoutItem) -> None:
    """Take a row of widgets off the page."""
    if (widget := item.widget()) is not None:
        widget.deleteLater()
    elif (row := item.layout()) is not None:
        while (inner := row.takeAt(0)) is not None:
            _discard(inner)
