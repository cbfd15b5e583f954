"""What dialogs, commands and panels may ask of the main window, and nothing else of it."""

from collections.abc import Callable
from typing import Protocol

from PySide6.QtWidgets import QWidget

from secateur.engine.sources.protocol import ModelSpec

from ..document.document import Document
from ..jobs.engine_link import Client
from ..jobs.workbench import Workbench
from ..widgets.plot_export import Drawing


class WindowApi(Protocol):
    """The main window, as `window/main_window.py` makes it."""

    @property
    def workbench(self) -> Workbench:
        """The document and all jobs."""
        ...

    @property
    def document(self) -> Document:
        """What is shown."""
        ...

    def as_widget(self) -> QWidget:
        """The window itself: what dialogs open over."""
        ...

    def close(self) -> bool:
        """Close it; False where it asks first."""
        ...

    def run_command(self, name: str) -> None:
        """Run a command by its id, unless it cannot be done now; then say why."""
        ...

    def hide_error(self) -> None:
        """Take the bar of an error away: it was about something before."""
        ...

    def use_engine(self, engine: Client | None, then: "Callable[[WindowApi], None] | None" = None) -> None:
        """Go on in a window with another engine, in the place of this one, which closes.

        Args:
            engine: One that is connected, None for this machine's.
            then: Called with the other window once it is shown.
        """
        ...

    # What is open.

    def open(self, spec: ModelSpec) -> None:
        """Open a model; the errors of an earlier try are gone."""
        ...

    def open_source(self, source: str) -> None:
        """Open what a path or name says; asks where more must be known."""
        ...

    def reopen(self, source: str) -> None:
        """Open something of the list of what was opened as it was: with its checkpoint and data."""
        ...

    def show_restorable(self) -> None:
        """Show the sessions that can be restored."""
        ...

    # Panels, look and pages that know the table of commands.

    def show_panel(self, module: str) -> None:
        """Bring a panel to the front, by its module."""
        ...

    def show_page(self, name: str, keep_all: bool = False) -> None:
        """Bring a page to the front, by its name (`window/pages.py`); `keep_all` stays where all is on one screen."""
        ...

    def go_back(self) -> None:
        """Bring the page before to the front."""
        ...

    def toggle_maximised(self) -> None:
        """Give the panel in front all the room of its page, or take it away again."""
        ...

    def save_layout(self, name: str) -> None:
        """Keep the page in front, as it is arranged, under a name."""
        ...

    def show_rating(self) -> None:
        """Open the options of the scores."""
        ...

    def show_job_log(self, job: int) -> None:
        """Bring the log to the front, with the lines of one job."""
        ...

    def edit_keeps(self) -> None:
        """Type in the tree how many the selected layer keeps."""
        ...

    def toggle_dock(self, name: str) -> None:
        """Hide a dock, or show it again."""
        ...

    def reset_layout(self) -> None:
        """Panels as at first."""
        ...

    def drawings(self) -> tuple[Drawing, ...]:
        """All plots that have something to show."""
        ...

    def drawing_in_front(self) -> Drawing | None:
        """The plot that has the focus, else the one in the middle, else any; None where there is none."""
        ...

    def dress(self, scheme: str) -> None:
        """Choose the look, now and for the next start."""
        ...

    def resize_text(self, step: int) -> None:
        """Make text larger or smaller by so many pixels, 0 for the first size, now and for the next start."""
        ...

    def show_palette(self) -> None:
        """Open the command palette."""
        ...

    def show_manual(self) -> None:
        """Open the manual at the page of the panel in front."""
        ...

    def show_tour(self) -> None:
        """Begin the tour over the sample."""
        ...

    def show_shortcuts(self) -> None:
        """Open the sheet of shortcuts."""
        ...
