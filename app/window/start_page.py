"""What an empty window shows: what the program does, sample models to try, drafts, and what was opened recently."""

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLayoutItem, QVBoxLayout, QWidget

from ..commands.command import say
from ..commands.registry import command_named
from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..storage.autosave.session_folders import Draft
from ..widgets.buttons import button
from ..widgets.card import Card
from ..widgets.labels import ElidedLabel, label
from ..widgets.progress import ProgressBar
from .file_menus import draft_text, out_of_reach_text, time_ago

SHOWN = frozenset({Aspect.JOBS})
SAMPLES = ("file.resnet", "file.vit")
ROWS = 5
"""Drafts, and recent models, that are listed at once."""


class StartPage(QWidget):
    """Three sentences, buttons, and a line that says what is being opened."""

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget())
        self._window = window
        self._sessions = window.workbench.sessions
        card = Card(margin=28)
        card.setMinimumWidth(620)
        card.setMaximumWidth(900)
        card.body.setSpacing(10)
        title = label(self.tr("Secateur"), "number")
        title.setAccessibleName(self.tr("Secateur"))
        card.body.addWidget(title)
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
        offers = QGridLayout()
        offers.setHorizontalSpacing(12)
        offers.setVerticalSpacing(10)
        offers.setColumnStretch(1, 1)
        self._offer(offers, self.tr("Try it on a sample"), (*SAMPLES, "help.tour"))
        offers.setRowMinimumHeight(offers.rowCount(), 8)
        self._offer(offers, self.tr("Use your own model"), ("file.open", "file.open_project"))
        card.body.addLayout(offers)
        drop = self.tr("Or drop a Python file, a checkpoint, or a project or export folder on this window.")
        card.body.addWidget(label(drop, "muted", wrap=True))
        self._drafts = QVBoxLayout()
        card.body.addLayout(self._drafts)
        self._recent = QVBoxLayout()
        card.body.addLayout(self._recent)
        self._status = label("", "muted", wrap=True)
        self._bar = ProgressBar()
        self._bar.setAccessibleName(self.tr("Progress of opening"))
        card.body.addSpacing(8)
        card.body.addWidget(self._status)
        card.body.addWidget(self._bar)
        layout = QVBoxLayout(self)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(card)
        row.addStretch(1)
        layout.addStretch(1)
        layout.addLayout(row)
        layout.addStretch(2)
        self.refresh()
        self._sessions.found.connect(self.show_drafts)
        window.document.dispatcher.watch(SHOWN, self.show_progress)
        self.show_progress()

    def _offer(self, offers: QGridLayout, title: str, names: tuple[str, ...]) -> None:
        """Add a title and commands below it: their buttons are as wide as the widest of all."""
        offers.addWidget(label(title, "strong"), offers.rowCount(), 0, 1, 2)
        for command in map(command_named, names):
            made = button(say(command.title), tip=say(command.tooltip))
            made.setMinimumWidth(160)
            made.clicked.connect(lambda _on=False, name=command.id: self._window.run_command(name))
            row = offers.rowCount()
            offers.addWidget(made, row, 0, Qt.AlignmentFlag.AlignTop)
            offers.addWidget(label(say(command.tooltip), "muted", wrap=True), row, 1)

    @Slot()
    def show_drafts(self) -> None:
        """List the drafts that were closed; those that crashed have a bar of their own."""
        while (item := self._drafts.takeAt(0)) is not None:
            _discard(item)
        drafts, out_of_reach = self._sessions.closed, self._sessions.out_of_reach
        if not drafts and not out_of_reach:
            return
        self._drafts.addSpacing(8)
        self._drafts.addWidget(label(self.tr("Drafts"), "strong"))
        for draft in drafts[:ROWS]:
            self._drafts.addLayout(self._draft_row(draft))
        if out_of_reach:
            words = out_of_reach_text(out_of_reach, self._window.document)
            self._drafts.addWidget(label(words, "muted", wrap=True))
        if len(drafts) > ROWS:
            words = self.tr("{0} more in File > Drafts").format(len(drafts) - ROWS)
            self._drafts.addWidget(label(words, "muted"))

    def _draft_row(self, draft: Draft) -> QHBoxLayout:
        sessions, gone = self._sessions, draft.folder in self._sessions.discarded
        made = button(draft.name, "link", self.tr("Open this draft. It is kept in {0}.").format(draft.folder))
        made.setEnabled(not gone)
        made.clicked.connect(lambda: sessions.restore(draft.folder, draft.name))
        words = self.tr("Discarded. It will be deleted at the next start.")
        what = ElidedLabel(words if gone else f"{draft_text(draft)}, {time_ago(draft.when)}", "muted")
        act = button(self.tr("Undo") if gone else self.tr("Discard"), "link")
        act.setAccessibleName(f"{act.text()}: {draft.name}")
        act.clicked.connect(lambda: sessions.discard(draft, on=not gone))
        row = QHBoxLayout()
        row.addWidget(made)
        row.addWidget(what, 1)
        row.addWidget(act)
        return row

    def refresh(self) -> None:
        """List what was opened recently."""
        entries = self._sessions.recent_models()
        while (item := self._recent.takeAt(0)) is not None:
            _discard(item)
        if not entries:
            return
        self._recent.addSpacing(8)
        self._recent.addWidget(label(self.tr("Recent"), "strong"))
        for title, source in entries[:ROWS]:
            made = button(title, "link", self.tr("Open {source} again").format(source=source))
            made.clicked.connect(lambda _checked=False, path=source: self._window.reopen(path))
            row = QHBoxLayout()
            row.addWidget(made)
            row.addWidget(ElidedLabel(source, "muted"), 1)
            self._recent.addLayout(row)

    def show_progress(self, _aspects: frozenset[Aspect] = frozenset()) -> None:
        """Say what is being opened."""
        jobs = self._window.document.jobs
        self._bar.setVisible(bool(jobs))
        self._status.setVisible(bool(jobs))
        if jobs:
            job = jobs[0]
            self._status.setText(f"{job.title}: {job.text or self._window.document.engine.text}")
            self._bar.show_progress(job.done, job.total, job.work)


def _discard(item: QLayoutItem) -> None:
    """Take a row of widgets off the page."""
    if (widget := item.widget()) is not None:
        widget.deleteLater()
    elif (row := item.layout()) is not None:
        while (inner := row.takeAt(0)) is not None:
            _discard(inner)
