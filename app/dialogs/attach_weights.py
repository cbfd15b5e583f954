"""Attach weights that were trained elsewhere to the current state."""

from pathlib import Path

from ..storage.open_target import is_missing
from .form import FormDialog
from .window_api import WindowApi


class AttachWeights(FormDialog):
    """The dialog.

    Attributes:
        path: The checkpoint.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Export the smaller model with Export PyTorch, train it with your own code, then load its checkpoint "
            "here. Parameter names and shapes must match the current state."
        )
        super().__init__(window.as_widget(), self.tr("Attach weights"), sentence, self.tr("Attach weights"))
        self._document = window.document
        self.read_elsewhere(window.workbench.elsewhere)
        self.path = self.add_path(self.tr("Checkpoint"), hint=self.tr(".safetensors, .pt, .th"))
        self.problem = self._problem
        self.act = lambda: window.workbench.states.attach_weights(self.path.text())
        self.check()

    def _problem(self) -> str:
        missing = is_missing(self.path.text(), self._document.engine.place, Path.is_file)
        return self.tr("Choose a file.") if missing else ""


def ask(window: WindowApi) -> None:
    """Open the dialog over a window."""
    AttachWeights(window).open()
