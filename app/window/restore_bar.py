"""A bar that offers what an earlier window has left; nothing waits for the answer."""

from typing import Any

from PySide6.QtCore import QDateTime, QLocale, Qt, Slot
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from ..dialogs.window_api import WindowApi
from ..storage.autosave.session_folders import Offer
from ..text.translate import counted
from ..widgets.buttons import PrimaryButton, button
from ..widgets.card import Card
from ..widgets.labels import ElidedLabel, label

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
        self.later.clicked.connect(self._not_now)
        self._sessions.offered.connect(self.refresh)
        self.hide()

    @Slot()
    def refresh(self) -> None:
        """List what there is."""
        while (item := self._rows.takeAt(0)) is not None:
            if (row := item.widget()) is not None:
                row.hide()
                row.deleteLater()
        offers = self._sessions.offers
        for number, offer in enumerate(offers[:SHOWN]):
            self._rows.addWidget(self._row(offer, first=number == 0))
        if len(offers) > SHOWN:
            self._rows.addWidget(label(self.tr("and {0} more").format(len(offers) - SHOWN), "muted"))
        self.setVisible(bool(offers) and not self._later)

    def show_again(self) -> None:
        """Show what was left for later."""
        self._later = False
        self.refresh()

    @Slot()
    def _not_now(self) -> None:
        self._later = True
        self.hide()

    def _row(self, offer: Offer, first: bool) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(10)
        when = QLocale().toString(QDateTime.fromSecsSinceEpoch(int(offer.when)), QLocale.FormatType.ShortFormat)
        line.addWidget(label(offer.name, "strong"))
        line.addWidget(label(when, "muted"))
        gone = offer.folder in self._sessions.discarded
        what = ElidedLabel(self.tr("Discarded. It will be deleted at the next start.") if gone else self.told(offer))
        what.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        line.addWidget(what, 1, Qt.AlignmentFlag.AlignVCenter)
        if gone:
            line.addWidget(self._action(self.tr("Undo"), offer, lambda: self._sessions.discard(offer, False)))
            return row
        if offer.folder == self._sessions.restoring:
            line.addWidget(label(self.tr("restoring"), "good"))
            return row
        restore = PrimaryButton(self.tr("Restore")) if first else button(self.tr("Restore"))
        restore.setAccessibleName(self.tr("Restore {0}").format(offer.name))
        restore.clicked.connect(lambda: self._sessions.restore(offer.folder, offer.name))
        line.addWidget(restore)
        line.addWidget(self._action(self.tr("Discard"), offer, lambda: self._sessions.discard(offer)))
        return row

    def _action(self, text: str, offer: Offer, act: Any) -> QWidget:
        made = button(text, "link")
        made.setAccessibleName(f"{text}: {offer.name}")
        made.clicked.connect(act)
        return made

    def told(self, offer: Offer) -> str:
        """What is in a session, in words."""
        parts = [
            counted(offer.states, self.tr("{count} state"), self.tr("{count} states")),
            counted(offer.steps, self.tr("{count} step"), self.tr("{count} steps")) if offer.steps else "",
            counted(offer.marked, self.tr("{count} structure marked"), self.tr("{count} structures marked"))
            if offer.marked
            else "",
            self.tr("{0} locked").format(f"{offer.locked:,}") if offer.locked else "",
        ]
        words = ", ".join(part for part in parts if part)
        if offer.job is None:
            return words
        goes_on = self.tr("{words}. Unfinished: {job}; it resumes.")
        stopped = self.tr("{words}. Unfinished: {job}.")
        return (goes_on if offer.job.settings is not None else stopped).format(words=words, job=offer.job.title)
