"""The menus of drafts (sessions with unsaved work) and of what was opened recently, and drafts in words."""

import time
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale, Slot
from PySide6.QtWidgets import QMenu

from ..dialogs.closing import leave
from ..dialogs.window_api import WindowApi
from ..document.document import Document
from ..storage import settings
from ..storage.autosave.session_folders import Draft
from ..text.structures import counted as counted_kind
from ..text.translate import counted

MINUTE, HOUR, DAY = 60, 3600, 86400


def draft_text(draft: Draft) -> str:
    """What is in a draft: "2 states, 7 heads, 64 neurons marked, 1 locked"; its steps where there is nothing else."""
    say = QCoreApplication.translate
    marked = ", ".join(counted_kind(kind, number) for kind, number in draft.marked)
    parts = [
        counted(draft.states, say("drafts", "{count} state"), say("drafts", "{count} states"))
        if draft.states > 1
        else "",
        say("drafts", "{0} marked").format(marked) if marked else "",
        say("drafts", "{0} locked").format(f"{draft.locked:,}") if draft.locked else "",
    ]
    words = ", ".join(part for part in parts if part)
    if not words:
        words = counted(draft.steps, say("drafts", "{count} step"), say("drafts", "{count} steps"))
    if draft.engine is not None:
        words = say("drafts", "{words}, on {host}").format(words=words, host=draft.engine.host)
    if draft.job is None:
        return words
    goes_on = say("drafts", "{words}. Unfinished: {job}; it resumes.")
    stopped = say("drafts", "{words}. Unfinished: {job}.")
    return (goes_on if draft.job.settings is not None else stopped).format(words=words, job=draft.job.title)


def time_ago(when: float, now: float | None = None) -> str:
    """How long ago something was, the date where that is more than a week.

    Args:
        when: Seconds since the epoch.
        now: Seconds since the epoch, None for this moment.
    """
    say = QCoreApplication.translate
    seconds = (time.time() if now is None else now) - when
    if seconds < MINUTE:
        return say("drafts", "just now")
    for limit, unit, one, many in (
        (HOUR, MINUTE, say("drafts", "{count} minute ago"), say("drafts", "{count} minutes ago")),
        (DAY, HOUR, say("drafts", "{count} hour ago"), say("drafts", "{count} hours ago")),
        (7 * DAY, DAY, say("drafts", "{count} day ago"), say("drafts", "{count} days ago")),
    ):
        if seconds < limit:
            return counted(int(seconds // unit), one, many)
    return QLocale().toString(QDateTime.fromSecsSinceEpoch(int(when)).date(), QLocale.FormatType.ShortFormat)


def out_of_reach_text(count: int, document: Document) -> str:
    """Why the drafts of this machine are not listed for an engine on another one."""
    say = QCoreApplication.translate
    drafts = counted(count, say("drafts", "{count} draft"), say("drafts", "{count} drafts"))
    words = say("drafts", "{drafts} on this computer. To open them, disconnect from {host}.")
    return words.format(drafts=drafts, host=document.engine.place)


class DraftsMenu(QMenu):
    """Opens a draft: filled whenever it is opened."""

    def __init__(self, window: WindowApi, parent: QMenu) -> None:
        """Stand in a menu of a window."""
        super().__init__(parent)
        self._window = window
        self.setTitle(self.tr("Drafts"))
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.fill)

    @Slot()
    def fill(self) -> None:
        """List the drafts that there are now."""
        self.clear()
        sessions = self._window.workbench.sessions
        shown = [draft for draft in sessions.drafts if draft.folder not in sessions.discarded]
        for draft in shown:
            words = f"{draft.name}: {draft_text(draft)}, {time_ago(draft.when)}"
            action = self.addAction(words.replace("&", "&&"))
            action.setToolTip(str(draft.folder))
            action.setEnabled(not self._window.document.busy)
            restore = partial(sessions.restore, draft.folder, draft.name)
            action.triggered.connect(lambda _checked=False, act=restore: leave(self._window, act))
        if sessions.out_of_reach:
            self.addAction(out_of_reach_text(sessions.out_of_reach, self._window.document)).setEnabled(False)
        elif not shown:
            self.addAction(self.tr("No unsaved work")).setEnabled(False)


class RecentMenu(QMenu):
    """Entries that open again, and one that forgets all."""

    def __init__(self, window: WindowApi, parent: QMenu, forgotten: Callable[[], None]) -> None:
        """Belong to a menu of a window; `forgotten` is called when the list was cleared."""
        super().__init__(parent)
        self._window, self._forgotten = window, forgotten
        self.setTitle(self.tr("Open recent"))
        self.setToolTipsVisible(True)
        self.aboutToShow.connect(self.fill)

    @Slot()
    def fill(self) -> None:
        """List what is there now."""
        self.clear()
        entries = self._window.workbench.sessions.recent_models()
        for title, source in entries:
            action = self.addAction(title.replace("&", "&&"))
            action.setToolTip(source)
            action.setEnabled(not self._window.document.busy)
            action.triggered.connect(lambda _checked=False, path=source: self._window.reopen(path))
        self.addSeparator()
        forget = self.addAction(self.tr("Clear this list"), self._forget)
        forget.setEnabled(bool(entries))

    @Slot()
    def _forget(self) -> None:
        settings.forget(self._window.document.engine.place)
        self._forgotten()
