"""Save a plot: which one, as what, and where. The suffix follows the format; the file is there whole or not at all."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, Slot

from ..document.document import Document
from ..storage.user_folders import home
from ..widgets.fields import ComboBox
from ..widgets.plot_export import FORMATS, Drawing
from .form import FormDialog
from .paths import name_part, place_problem
from .window_api import WindowApi

CONTEXT = "SavePlot"


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate(CONTEXT, text)


class SavePlot(FormDialog):
    """The dialog.

    Attributes:
        plot: Combo box of plots.
        format: Combo box of formats.
        path: File to write.
    """

    def __init__(self, window: WindowApi, drawings: Sequence[Drawing], chosen: int = 0) -> None:
        """Ask in a window about plots that have something to show."""
        sentence = self.tr("Images look as on the screen. CSV contains the plotted numbers.")
        super().__init__(window.as_widget(), self.tr("Save plot"), sentence, self.tr("Save"))
        self._window, self._drawings = window, tuple(drawings)
        self.plot = ComboBox(self.tr("Plot"))
        for drawing in self._drawings:
            self.plot.addItem(drawing.title)
        self.plot.setCurrentIndex(chosen)
        self.add_row(self.tr("Plot"), self.plot)
        self.format = ComboBox(self.tr("Format"))
        for name, words in (
            ("png", self.tr("PNG image")),
            ("svg", self.tr("SVG vector graphics")),
            ("csv", self.tr("CSV numbers")),
        ):
            self.format.addItem(words, name)
        self.add_row(self.tr("Format"), self.format)
        self.path = self.add_path(self.tr("Write to"), self._default_path(), pick="save")
        self.plot.currentIndexChanged.connect(self._rename)
        self.format.currentIndexChanged.connect(self._rename)
        self.check()

    def file(self) -> Path:
        """Where to write, with the format's suffix."""
        path, suffix = Path(self.path.text().strip()).expanduser(), FORMATS[self.format.currentData()]
        if path.suffix.casefold() == suffix:
            return path
        known = path.suffix.casefold() in FORMATS.values()
        return path.with_suffix(suffix) if known else path.with_name(path.name + suffix)

    def _default_path(self) -> str:
        model = name_part(self._window.document.model_name)
        drawing = self._drawings[self.plot.currentIndex()]
        name = "-".join(part for part in (model, drawing.name) if part)
        return str(home() / (name + FORMATS[self.format.currentData()]))

    @Slot()
    def _rename(self) -> None:
        """Another plot or format: the name follows, the folder stays."""
        self.path.setText(str(Path(self.path.text()).parent / Path(self._default_path()).name))

    def problem(self) -> str:
        """Why the file cannot be written."""
        if problem := place_problem(self.path.text()):
            return problem
        is_folder = self.tr("{path} is a folder. Enter a file name.").format(path=self.file())
        return is_folder if os.path.isdir(self.file()) else ""

    def written(self) -> list[Path]:
        """The file, with its suffix."""
        return [self.file()]

    def act(self) -> None:
        """Save the plot as it is now."""
        drawing = self._drawings[self.plot.currentIndex()]
        # A panel behind another tab does not show the last changes.
        self._window.show_panel(drawing.panel)
        self._window.workbench.save_file(self.file(), drawing.content(self.format.currentData()))


def ask(window: WindowApi) -> None:
    """Open the dialog over a window, with the plot that is in front."""
    drawings, front = window.drawings(), window.drawing_in_front()
    if not drawings:
        return window.document.say(say("No plot has data yet."))
    chosen = next((n for n, one in enumerate(drawings) if front is not None and one.name == front.name), 0)
    return SavePlot(window, drawings, chosen).open()


def copy(window: WindowApi, numbers: bool = False) -> None:
    """Copy the plot that is in front."""
    drawing = window.drawing_in_front()
    if drawing is None:
        return window.document.say(say("No plot has data yet."))
    drawing.copy(numbers)
    return window.document.say(say("Copied: {plot}").format(plot=drawing.title))


def asks_to_save(document: Document) -> Callable[[Drawing], None]:
    """What the menu of a plot does to save it: the main window opens the dialog, whichever window shows the plot."""

    def save(drawing: Drawing) -> None:
        document.requested.emit(lambda window: SavePlot(window, (drawing,)).open())

    return save
