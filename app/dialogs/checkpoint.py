"""Weights for the model: a checkpoint for one that has none, those that its library offers, or those trained elsewhere.

For the first two the model is opened again. Whether the network may be asked for a library's weights is asked when the
engine does not find them in the library's cache (`consent.py`).
"""

from dataclasses import replace
from pathlib import Path

from secateur.engine.sources.pretrained import DEFAULT

from ..storage.open_target import engine_path, is_missing
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
        self._window = window
        self.read_elsewhere(window.workbench.elsewhere)
        self.path = self.add_path(self.tr("Checkpoint"), hint=self.tr(".safetensors, .pt, .th"))
        self.check()

    def problem(self) -> str:
        """That no file is chosen."""
        missing = is_missing(self.path.text(), self._window.document.engine.place, Path.is_file)
        return self.tr("Choose a file.") if missing else ""

    def act(self) -> None:
        """Attach its weights."""
        self._window.workbench.states.attach_weights(self.path.text())


class ChooseCheckpoint(FormDialog):
    """The dialog.

    Attributes:
        path: The checkpoint.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr("The model is opened again with these weights.")
        super().__init__(window.as_widget(), self.tr("Choose checkpoint"), sentence, self.tr("Open"))
        self._window = window
        self.read_elsewhere(window.workbench.elsewhere)
        self.path = self.add_path(self.tr("Checkpoint"), hint=self.tr(".safetensors, .pt, .th"))
        self.check()

    def problem(self) -> str:
        """That no file is chosen."""
        missing = is_missing(self.path.text(), self._window.document.engine.place, Path.is_file)
        return self.tr("Choose a file.") if missing else ""

    def act(self) -> None:
        """Open the model with it."""
        open_with(self._window, weights=engine_path(self.path.text(), self._window.document.engine.place))


def open_with(window: WindowApi, weights: str = "", pretrained: str = "") -> None:
    """Open the model that is open once more, with other weights."""
    contents = window.document.contents
    if (spec := contents.origin or contents.spec) is not None:
        window.open(replace(spec, weights=weights, pretrained=pretrained))


def take_pretrained(window: WindowApi) -> None:
    """Open the model with the weights of its library; without a question where its cache has them."""
    offered = window.document.contents.offered
    open_with(window, pretrained=DEFAULT if offered is None else offered.name)
