"""The rows that say where data comes from and how it is preprocessed: for opening a model and for attaching data."""

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from secateur.engine.tasks.protocol import TaskSpec

from ..widgets.fields import ComboBox
from .texts import is_valid, numbers, shape

if TYPE_CHECKING:
    from .form import FormDialog


class DataRows(QObject):
    """Kind, path, mean, standard deviation and size.

    Attributes:
        kind: Combo box of kinds.
        path: Where the data lies.
    """

    def __init__(self, dialog: "FormDialog", optional: bool) -> None:
        """Add the rows to a dialog; `optional` offers to open without data."""
        super().__init__(dialog)
        self.kind = ComboBox(self.tr("Data"))
        if optional:
            self.kind.addItem(self.tr("none, or what the model brings along"), "")
        self.kind.addItem(self.tr("Image folder, one sub-folder a class"), "folder")
        self.kind.addItem(self.tr("Arrays (.npz)"), "arrays")
        self.kind.addItem(self.tr("My own task.py"), "file")
        self.kind.addItem(self.tr("Bundled Fashion-MNIST"), "bundled")
        dialog.add_row(self.tr("Data"), self.kind)
        self.path = dialog.add_path(self.tr("Path of the data"), hint=self.tr("folder, .npz or task.py"))
        self._mean = dialog.add_line(self.tr("Mean per channel"), hint="0.485, 0.456, 0.406")
        self._std = dialog.add_line(self.tr("Standard deviation"), hint="0.229, 0.224, 0.225")
        self._size = dialog.add_line(self.tr("Resize to"), hint=self.tr("224 x 224; empty: as it is"))
        self.kind.currentIndexChanged.connect(lambda _index: self._chosen(dialog))
        self._chosen(dialog)

    def spec(self) -> TaskSpec | None:
        """What the rows say, None for no data."""
        kind = self.kind.currentData()
        if not kind:
            return None
        if kind == "bundled":
            return TaskSpec("bundled")
        if kind == "file":
            return TaskSpec("file", self.path.text())
        size = shape(self._size.text())
        square = None if not size else (size[0], size[-1])
        return TaskSpec(kind, self.path.text(), numbers(self._mean.text()), numbers(self._std.text()), square)

    def problem(self) -> str:
        """What is missing."""
        kind = self.kind.currentData()
        if kind not in ("folder", "arrays", "file"):
            return ""
        if not self.path.text():
            return self.tr("Say where the data lies.")
        if not Path(self.path.text()).expanduser().exists():
            return self.tr("{path} does not exist.").format(path=self.path.text())
        if kind != "file":
            if not (is_valid(numbers, self._mean.text()) and is_valid(numbers, self._std.text())):
                return self.tr("Mean and standard deviation are numbers, one a channel, with commas between them.")
            if not is_valid(shape, self._size.text()) or len(shape(self._size.text())) > 2:
                return self.tr("The size is height x width, for example 224 x 224.")
        return ""

    def _chosen(self, dialog: "FormDialog") -> None:
        kind = self.kind.currentData()
        dialog.show_row(self.path, kind in ("folder", "arrays", "file"))
        for line in (self._mean, self._std, self._size):
            dialog.show_row(line, kind in ("folder", "arrays"))
        dialog.check()
        dialog.adjustSize()
