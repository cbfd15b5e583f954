"""Bars above the panels that offer something: to restore sessions that did not close normally, to fetch weights."""

from typing import Any

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..commands.registry import command_named
from ..dialogs.closing import leave
from ..dialogs.window_api import WindowApi
from ..storage.autosave.session_folders import Draft
from ..widgets.buttons import PrimaryButton, button
from ..widgets.card import Card
from ..widgets.labels import ElidedLabel, label, set_role
from .file_menus import draft_text, time_ago

SHOWN = 3
"""Sessions that are listed at once; the others come when these are answered."""


class RestoreBar(Card):
    """Hidden where nothing was left; each session can be restored, discarded, or left for later."""

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget(), margin=10)
        self._window = window
        self._sessions = window.workbench.sessions
        self._later = False
        self._rows = QVBoxLayout()
        self._rows.setSpacing(6)
        self.later = button(self.tr("Later"), "link", self.tr("Ask again at the next start"))
        head = QHBoxLayout()
        head.addWidget(label(self.tr("Secateur did not close normally. You can restore your work."), "strong"))
        head.addStretch(1)
        head.addWidget(self.later)
        self.body.addLayout(head)
        self.body.addLayout(self._rows)
        self.later.clicked.connect(self._postpone)
        self._sessions.found.connect(self.refresh)
        self.hide()

    @Slot()
    def refresh(self) -> None:
        """List what there is."""
        while (item := self._rows.takeAt(0)) is not None:
            if (row := item.widget()) is not None:
                row.hide()
                row.deleteLater()
        drafts = self._sessions.crashed
        for number, draft in enumerate(drafts[:SHOWN]):
            self._rows.addWidget(self._row(draft, first=number == 0))
        if len(drafts) > SHOWN:
            self._rows.addWidget(label(self.tr("and {0} more").format(len(drafts) - SHOWN), "muted"))
        self.setVisible(bool(drafts) and not self._later)

    def show_again(self) -> None:
        """Show what was left for later."""
        self._later = False
        self.refresh()

    @Slot()
    def _postpone(self) -> None:
        self._later = True
        self.hide()

    def _row(self, draft: Draft, first: bool) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(10)
        line.addWidget(label(draft.name, "strong"))
        line.addWidget(label(time_ago(draft.when), "muted"))
        gone = draft.folder in self._sessions.discarded
        what = ElidedLabel(self.tr("Discarded. It will be deleted at the next start.") if gone else draft_text(draft))
        what.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        line.addWidget(what, 1, Qt.AlignmentFlag.AlignVCenter)
        if gone:
            line.addWidget(self._action(self.tr("Undo"), draft, lambda: self._sessions.discard(draft, False)))
            return row
        if draft.folder == self._sessions.restoring:
            line.addWidget(label(self.tr("restoring"), "good"))
            return row
        restore = PrimaryButton(self.tr("Restore")) if first else button(self.tr("Restore"))
        restore.setAccessibleName(self.tr("Restore {0}").format(draft.name))
        sessions = self._sessions
        restore.clicked.connect(lambda: leave(self._window, lambda: sessions.restore(draft.folder, draft.name)))
        line.addWidget(restore)
        line.addWidget(self._action(self.tr("Discard"), draft, lambda: self._sessions.discard(draft)))
        return row

    def _action(self, text: str, draft: Draft, act: Any) -> QWidget:
        made = button(text, "link")
        made.setAccessibleName(f"{text}: {draft.name}")
        made.clicked.connect(act)
        return made


class WeightsBar(Card):
    """Hidden where all weights are there.

    Attributes:
        sentence: What is missing.
        name: Opens the dialog that names the weights of a bundle.
        checkpoint: Opens the dialog that names a checkpoint of an untrained model.
        pretrained: Asks for the weights that the model's library offers.
    """

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget(), margin=3)
        self._window = window
        self.sentence = label(wrap=True)
        self.name = button(self.tr("Add weights..."), "link", self.tr("Choose the model and its checkpoint"))
        self.checkpoint = self._command("file.checkpoint", self.tr("Choose checkpoint..."))
        self.pretrained = self._command("file.pretrained", self.tr("Download pretrained weights..."))
        row = QHBoxLayout()
        row.addWidget(self.sentence, 1)
        for each in (self.name, self.checkpoint, self.pretrained):
            row.addWidget(each)
        self.body.addLayout(row)
        self.name.clicked.connect(self._ask)
        self.hide()

    def refresh(self) -> None:
        """Show what is missing, or nothing; the window calls it, as the dispatcher passes over hidden views."""
        document = self._window.document
        untrained = document.untrained and not document.absent
        set_role(self.sentence, "marked" if untrained else "")
        self.sentence.setText(self.tr("Untrained weights: scores mean nothing.") if untrained else document.absent)
        self.name.setVisible(not untrained)
        self.checkpoint.setVisible(untrained)
        self.pretrained.setVisible(untrained and document.contents.offered is not None)
        self.setVisible(untrained or bool(document.absent))

    def _command(self, command: str, text: str) -> QPushButton:
        made = button(text, "link", command_named(command).explanation())
        made.clicked.connect(lambda: self._window.run_command(command))
        return made

    def _ask(self) -> None:
        from ..dialogs.apply_recipe import ask

        ask(self._window)
