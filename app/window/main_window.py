"""The window: wires the document to bars, panels and dialogs, and nothing else.

The first paint shows the top bar and the start page; panels are imported and the engine is started after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from PySide6.QtCore import QEvent, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QDialog, QMainWindow, QMenu, QStackedWidget, QVBoxLayout, QWidget

from secateur.engine.sources.protocol import ModelSpec

from .. import theme
from ..commands.actions import Actions
from ..commands.registry import command_named
from ..dialogs.window_api import WindowApi
from ..document.aspects import Aspect
from ..document.document import Document
from ..document.job_state import MOVED
from ..jobs.engine_link import Client
from ..jobs.workbench import Workbench
from ..panels.registry import PANELS
from ..storage import quarantine, settings
from ..storage.autosave.remote_engine import RemoteEngine
from ..storage.open_target import source_of
from ..storage.settings import RecentFiles, spec_of
from ..text.translate import sentence
from ..widgets.card import ErrorBar
from ..widgets.pane import Pane
from ..widgets.plot_export import Drawing
from .command_palette import CommandPalette
from .desktop_signs import DesktopNotifications, TaskbarProgress, WindowTitle
from .file_menus import DraftsMenu, RecentMenu
from .layouts import LayoutsMenu, save_layout
from .manual_window import show_manual
from .offer_bars import RestoreBar, WeightsBar
from .pages import ALL
from .panel_area import PanelArea, PanelPreloader
from .receipt_card import ReceiptCard
from .shortcut_sheet import ShortcutSheet
from .start_page import StartPage
from .status_bar import StatusBar
from .top_bar import TopBar
from .tour import SHOWN as TOUR_ASPECTS
from .tour import Tour

MOST = 5000
"""Widgets of a window that are looked at."""
FIRST = (1440, 900)
TITLE_BAR = 40
"""Height in pixels that window managers add at most."""
SMALLEST = (1024, 700 - TITLE_BAR)
SHOWN = frozenset({Aspect.MODEL, Aspect.MARKS, Aspect.STATES, Aspect.GOAL, Aspect.JOBS, Aspect.CURVE, Aspect.COMPARED})

Dialog = TypeVar("Dialog", bound=QDialog)


class MainWindow(QMainWindow):
    """The window of one document.

    Attributes:
        workbench: The document and all jobs.
        document: What is shown.
        commands: The commands as actions.
        title: Writes its title.
        area: The panels, None until they are built.

    Signals:
        painted: The window was painted for the first time.
        engine_chosen: (engine, callback): go on in another window with that engine, None for this machine's.
        built: All panels are there.
    """

    painted = Signal()
    engine_chosen = Signal(object, object)
    built = Signal()

    def __init__(self, workbench: Workbench) -> None:
        """Show the document of a workbench."""
        super().__init__()
        self.workbench = workbench
        self.document: Document = workbench.document
        document = self.document
        self.commands = Actions(self)
        self.area: PanelArea | None = None
        self._area: PanelArea | None = None
        self._recent = RecentFiles(workbench.files)
        self.title = WindowTitle(self, document)
        self.notices = DesktopNotifications(self, self.title, workbench)
        TaskbarProgress(document, self)
        self._preload = PanelPreloader(PANELS, self)
        self._preload.loaded.connect(self._build)
        self._painted = False
        self._closed = False
        self._ends_beside = False
        self._following = False
        self.setObjectName("main")
        self.setMinimumSize(*SMALLEST)
        self.setAcceptDrops(True)
        self.top_bar = TopBar(self)
        self.errors = ErrorBar()
        self.absence = WeightsBar(self)
        self.restore_bar = RestoreBar(self)
        self.start_page = StartPage(self)
        self._lay_out()
        menus = {"file.open_project": self._recent_menus, "view.save_layout": self._layouts_menu}
        self.commands.fill_menus(self.menuBar(), menus)
        document.failed.connect(self._show_failure)
        document.project.connect(self._remember_project)
        workbench.recipes.fitted.connect(self._ask_to_apply)
        workbench.others.read.connect(self._compare)
        document.requested.connect(self._serve)
        workbench.sessions.elsewhere.connect(self._restore_elsewhere)
        workbench.runner.unsure.connect(self._ask_to_cancel)
        document.changed.connect(self._cover)
        document.dispatcher.settled.connect(self._show_page)
        document.dispatcher.settled.connect(self._show_notices)
        document.dispatcher.watch(SHOWN, self._refresh)
        document.dispatcher.watch(TOUR_ASPECTS, self._refresh_tour)
        if not self.restoreGeometry(settings.load("geometry")):
            room = self.screen().availableSize()
            self.resize(min(FIRST[0], room.width()), min(FIRST[1], room.height() - TITLE_BAR))

    def _lay_out(self) -> None:
        self.pages = QStackedWidget()
        self._cover_page = QWidget()
        self.pages.addWidget(Pane(self.start_page))
        self.pages.addWidget(self._cover_page)
        central = QWidget()
        layout = QVBoxLayout(central)
        layout.setContentsMargins(12, 10, 12, 4)
        layout.setSpacing(10)
        layout.addWidget(self.top_bar)
        layout.addWidget(self.errors)
        layout.addWidget(self.absence)
        layout.addWidget(self.restore_bar)
        layout.addWidget(self.pages, 1)
        self.setCentralWidget(central)
        self.receipt = ReceiptCard(self.document, central)
        self.tour = Tour(self, central, self._find_landmark, beside=self.receipt)
        self.status = StatusBar(self.workbench)
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().addPermanentWidget(self.status, 1)

    # After the first paint.

    def event(self, event: QEvent) -> bool:
        """Note the first paint: what is slow begins only then."""
        handled = super().event(event)
        if event.type() is QEvent.Type.Paint and not self._painted:
            self._painted = True
            QTimer.singleShot(0, self._after_first_paint)
        return handled

    @Slot()
    def _after_first_paint(self) -> None:
        self.painted.emit()
        self._show_notices()
        if not self._closed:
            self.workbench.runner.start()
            self.workbench.begin()
            self.workbench.sessions.look()
            self._preload.begin()

    @Slot()
    def _build(self) -> None:
        """One panel a turn of the event loop, so that the window answers meanwhile."""
        if self._closed:
            return
        if self._area is None:
            self._area = PanelArea(self.workbench)
        if self._area.add_next():
            QTimer.singleShot(0, self._build)
            return
        self.area = self._area
        self.pages.addWidget(self.area)
        self._show_page()
        self._show_first_tab()
        self.built.emit()

    def focusNextPrevChild(self, on: bool) -> bool:
        """Tab goes part by part, whatever was made in which order."""
        put_in_order(self, self.parts())
        return super().focusNextPrevChild(on)

    def parts(self) -> list[QWidget]:
        """What the window consists of, as it is read."""
        panels = [] if self.area is None else self.area.parts()
        return [self.top_bar, self.errors, self.absence, self.start_page, *panels, self.receipt, self.tour, self.status]

    # What commands and drops ask for.

    def open(self, spec: ModelSpec) -> None:
        """Open a model, unless unsaved work would be lost by that and is stayed with."""
        from ..dialogs.closing import leave

        leave(self, lambda: self._open(spec))

    def _open(self, spec: ModelSpec) -> None:
        """Open a model; the errors of an earlier try are gone."""
        self.errors.hide()
        self.workbench.model.open(spec)

    def begin(self, spec: ModelSpec) -> None:
        """Open what the command line named; asks where it does not say enough."""
        if spec == ModelSpec(spec.source):
            self.open_source(spec.source)
        else:
            self.open(spec)

    def begin_with(self, spec: ModelSpec) -> None:
        """Open the default model, unless there is unsaved work to resume."""
        sessions = self.workbench.sessions

        def decide() -> None:
            sessions.found.disconnect(decide)
            if not sessions.drafts and self.document.analysis is None and not self.document.busy:
                self.begin(spec)

        sessions.found.connect(decide)

    def open_source(self, source: str) -> None:
        """Open what a path or name says; asks where more must be known."""
        if self.workbench.sessions.is_session(source):
            from ..dialogs.closing import leave

            def restore() -> None:
                self.errors.hide()
                self.workbench.sessions.restore(Path(source))

            leave(self, restore)
            return
        spec = source_of(source)
        if spec is not None:
            self.open(spec)
        else:
            from ..dialogs.open_model import ask

            ask(self, source)

    @Slot(object, str, object)
    def _restore_elsewhere(self, folder: Path, name: str, engine: RemoteEngine | None) -> None:
        """Go on with a session in a window with the engine that has its states."""
        from ..dialogs.connect import go_on

        go_on(self, engine, lambda window: window.workbench.sessions.restore(folder, name))

    def reopen(self, source: str) -> None:
        """Open something of the list of what was opened as it was: with its checkpoint and data."""
        if (spec := spec_of(source, self.document.engine.place)) is not None:
            self.open(spec)
        else:
            self.open_source(source)

    def dress(self, scheme: str) -> None:
        """Choose the look, now and for the next start."""
        settings.store("theme", scheme)
        theme.theme().switch(theme.Scheme(scheme))

    def resize_text(self, step: int) -> None:
        """Make text larger or smaller by so many pixels, 0 for the first size, now and for the next start."""
        look = theme.theme()
        look.switch(body=look.sizes.body + step if step else theme.Sizes().body)
        settings.store("text", look.sizes.body)

    def show_panel(self, module: str) -> None:
        """Bring a panel to the front, by its module."""
        if self.area is not None:
            self.area.show_tab(module)

    def show_page(self, name: str, keep_all: bool = False) -> None:
        """Bring a page to the front, by its name; `keep_all` stays where all is on one screen."""
        if self.area is not None and not (keep_all and self.area.page.name == ALL):
            self.area.show_page(name)

    def go_back(self) -> None:
        """Bring the page before to the front."""
        if self.area is not None:
            self.area.go_back()

    def toggle_maximised(self) -> None:
        """Give the panel in front all the room of its page, or take it away again."""
        if self.area is not None:
            self.area.toggle_maximised()

    def save_layout(self, name: str) -> None:
        """Keep the page in front, as it is arranged, under a name."""
        if self.area is not None:
            save_layout(self.area, name)

    def show_rating(self) -> None:
        """Open the options of the scores."""
        if self.area is not None:
            self.area.panels["tree"].show_options()

    def show_job_log(self, job: int) -> None:
        """Bring the log to the front, with the lines of one job."""
        if self.area is not None:
            self.area.show_tab("log")
            self.area.panels["log"].show_job(job)

    def edit_keeps(self) -> None:
        """Type in the tree how many the selected layer keeps."""
        if self.area is not None:
            self.area.panels["tree"].edit_keeps()

    def toggle_dock(self, name: str) -> None:
        """Hide a dock, or show it again."""
        if self.area is not None:
            self.area.toggle(name)

    def reset_layout(self) -> None:
        """Panels as at first."""
        if self.area is not None:
            self.area.reset()

    def as_widget(self) -> QWidget:
        """The parent of dialogs."""
        return self

    def run_command(self, name: str) -> None:
        """Run a command by its id, unless it cannot be done now; then say why."""
        self.commands.run(command_named(name))

    def use_engine(self, engine: Client | None, then: Callable[[WindowApi], None] | None = None) -> None:
        """Go on in a window with another engine; who holds this window puts that in its place."""
        self.engine_chosen.emit(engine, then)

    def leave(self, beside: bool = False) -> None:
        """Close without a question; `beside` says that the caller ends the workbench, without the interface waiting."""
        self._closed, self._ends_beside = True, beside
        self.close()

    def hide_error(self) -> None:
        """Take the bar of an error away: it was about something before."""
        self.errors.hide()

    def show_restorable(self) -> None:
        """Show the sessions that can be restored."""
        self.restore_bar.show_again()

    def show_palette(self) -> None:
        """Open the command palette."""
        palette = CommandPalette(self)
        palette.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        palette.open()

    def show_manual(self) -> None:
        """Open the manual at the page of the panel in front."""
        show_manual(self, self.area.panel_in_front() if self.area is not None and self.area.isVisible() else "")

    def show_tour(self) -> None:
        """Begin the tour over the sample."""
        self.tour.begin()

    def _refresh_tour(self, _aspects: frozenset[Aspect]) -> None:
        self.tour.refresh()

    def _find_landmark(self, name: str) -> QWidget | None:
        """What a step of the tour points at."""
        if name in self.top_bar.landmarks:
            return self.top_bar.landmarks[name]
        return None if self.area is None else self.area.panels.get(name)

    def show_shortcuts(self) -> None:
        """Open the sheet of shortcuts."""
        ShortcutSheet(self).open()

    def drawings(self) -> tuple[Drawing, ...]:
        """All plots that have something to show."""
        return () if self.area is None else self.area.drawings()

    def drawing_in_front(self) -> Drawing | None:
        """The plot that has the focus, else the one in the middle, else any; None where there is none."""
        return None if self.area is None else self.area.drawing_in_front()

    def _recent_menus(self, parent: QMenu) -> tuple[QMenu, ...]:
        return RecentMenu(self, parent, self.start_page.refresh), DraftsMenu(self, parent)

    def _layouts_menu(self, parent: QMenu) -> tuple[QMenu, ...]:
        return (LayoutsMenu(lambda: self.area, parent),)

    # What the document says.

    @Slot(object)
    def _serve(self, request: Callable[[WindowApi], None]) -> None:
        """Do what a panel wants of the main window, whichever window the panel is in."""
        request(self)

    @Slot(object)
    def _ask_to_cancel(self, job: Any) -> None:
        from ..dialogs.closing import CancelJob

        CancelJob(self, job.id).open()

    @Slot(object)
    def _show_failure(self, error: Any) -> None:
        from ..dialogs import consent

        if consent.ask(self, error, self.workbench.runner.consent):
            return
        if error.message.code == MOVED:
            from ..dialogs import relocate_file

            relocate_file.ask(self, error, self._open_relocated)
            return
        self.errors.show_error(sentence(error.message), error.details)

    @Slot(str, str)
    def _remember_project(self, folder: str, place: str) -> None:
        self._recent.remember(self.document.model_name, folder, place=place)

    @Slot(str, object)
    def _ask_to_apply(self, recipe: str, fit: Any) -> None:
        """A recipe was held against the model: ask what is to be done with it."""
        from ..dialogs.apply_recipe import ask_mode

        ask_mode(self, recipe, fit)

    @Slot(object, object)
    def _compare(self, own: Any, other: Any) -> None:
        """Another model was read: compare it with the current state."""
        from ..dialogs.compare_models import CompareModels

        CompareModels(self, own, other).open()

    def _open_relocated(self, old: str, new: str) -> None:
        """A file of a project was found: open it again."""
        asked = self.workbench.model.asked
        if asked is not None:
            self._open(replace(asked, moved=(*asked.moved, (old, new))))
        else:
            self.workbench.sessions.restore_moved(old, new)

    @Slot()
    def _show_notices(self) -> None:
        """What was left to be said: files that could not be read and were set aside."""
        if sentences := quarantine.take_notices():
            self.errors.show_error(" ".join(sentences))

    @Slot(object)
    def _cover(self, aspects: frozenset[Aspect]) -> None:
        """Cover the panels until all of them show another model: nothing of the former one may be clicked."""
        if Aspect.MODEL in aspects and self.pages.currentWidget() is self.area:
            self.pages.setCurrentWidget(self._cover_page)

    def _refresh(self, aspects: frozenset[Aspect]) -> None:
        if Aspect.MODEL in aspects:
            self._show_first_tab()
            self._following = False
        if Aspect.CURVE in aspects and self.document.busy and self.area is not None and not self._following:
            self._following = True
            if self.area.page.holds("recovery"):
                self.area.show_tab("recovery", keep_focus=True)
        if not self.document.busy:
            self._following = False
        if Aspect.COMPARED in aspects and Aspect.MODEL not in aspects:
            self.show_panel("compare")
        if aspects & {Aspect.MODEL, Aspect.STATES}:
            self._remember_opened()
            self.absence.refresh()
            self.receipt.refresh()
        if aspects & {Aspect.MODEL, Aspect.MARKS, Aspect.STATES, Aspect.GOAL}:
            self.setWindowModified(not self.document.history.clean)

    def _show_first_tab(self) -> None:
        """What is opened is looked at first; without a model, its history. One screen shows the baseline check too."""
        if self.area is None or self.document.analysis is None:
            return
        if self.area.page.name == ALL:
            self.area.show_tab("tradeoff")
            look = "history" if self.document.absent else "log"
            self.area.show_tab("samples" if self.document.task is not None else look)
        elif self.document.absent:
            self.area.show_tab("history")
        else:
            self.area.show_page("look")

    def _remember_opened(self) -> None:
        """The model can be opened again; the session itself is a draft once it has states."""
        document = self.document
        if document.contents.spec is None:
            return
        if document.absent:
            self._recent.remember(document.model_name, document.contents.spec.source, place=document.engine.place)
        elif len(document.states) == 1:
            # The engine's own specification has absolute paths.
            opened = document.contents.origin or document.contents.spec
            self._recent.remember(document.model_name, opened.source, opened, document.engine.place)

    @Slot()
    def _show_page(self) -> None:
        """The panels, once all of them show the model."""
        if self.area is not None and self.document.analysis is not None and not self.document.dispatcher.busy:
            self.pages.setCurrentWidget(self.area)

    # Drag and drop, geometry.

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files."""
        if event.mimeData().hasUrls() and not self.document.busy:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the first file."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        # An engine elsewhere cannot read a local file: the dialog says so, and offers to send it.
        if paths and self.document.engine.place:
            from ..dialogs.open_model import ask

            ask(self, paths[0])
        elif paths:
            self.open_source(paths[0])

    def _ask_before_close(self) -> bool:
        from ..dialogs.closing import Closing, UnsavedWork, jobs_to_confirm, leaves_work

        if not self.isVisible():
            return False
        if settings.value(settings.ASK_CLOSE, True) and jobs_to_confirm(self.document):
            asked = self._open_dialog(Closing) or Closing(self)
        elif leaves_work(self.document):
            asked = self._open_dialog(UnsavedWork) or UnsavedWork(self, self.leave, closes=True)
        else:
            return False
        asked.open()
        return True

    def _open_dialog(self, kind: type[Dialog]) -> Dialog | None:
        """A dialog of a kind that is open already."""
        return next((one for one in self.findChildren(kind) if one.isVisible()), None)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask where a job runs or work would be lost; then keep the geometry and end the engine.

        The session's folder stays, unless it is on another machine.
        """
        if not self._closed and self._ask_before_close():
            event.ignore()
            return
        self._closed = True
        settings.store("geometry", self.saveGeometry())
        self._preload.stop()
        self.workbench.files.flush()
        if self.area is not None:
            self.area.remember()
        settings.flush()
        self.workbench.stop()
        if not self._ends_beside:
            self.workbench.end()
        super().closeEvent(event)


def put_in_order(window: QWidget, parts: Sequence[QWidget]) -> None:
    """Let Tab go through the parts one after the other; inside each of them as it did."""
    chain, place = tab_chain(window), {id(part): number for number, part in enumerate(parts)}
    ranks = [_rank(widget, place, len(parts)) for widget in chain]
    if ranks == sorted(ranks):
        return
    ordered = [widget for _, _, widget in sorted(zip(ranks, range(len(chain)), chain, strict=True))]
    for one, other in pairwise(ordered):
        QWidget.setTabOrder(one, other)


def tab_chain(window: QWidget) -> list[QWidget]:
    """All that Tab could reach in a window, in its order."""
    found: list[QWidget] = []
    widget: QWidget | None = window.nextInFocusChain()
    while widget is not None and widget is not window and len(found) < MOST:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.window() is window:
            found.append(widget)
        widget = widget.nextInFocusChain()
    return found


def _rank(widget: QWidget, place: dict[int, int], last: int) -> int:
    """The part that holds a widget; widgets outside all parts come last."""
    each: QWidget | None = widget
    while each is not None:
        if id(each) in place:
            return place[id(each)]
        each = each.parentWidget()
    return last
