"""Attach data: which data and metric evaluate the model. The original is evaluated right away."""

from typing import Any

from .data_rows import DataRows
from .form import FormDialog


class AttachData(FormDialog):
    """The dialog.

    Attributes:
        data: The rows of the data.
    """

    def __init__(self, window: Any) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "The original is evaluated right away. Check the samples and the metric: they reveal wrong preprocessing."
        )
        super().__init__(window, self.tr("Attach data"), sentence, self.tr("Attach and evaluate"))
        self.data = DataRows(self, optional=False)
        if (task := window.document.task) is not None and task.spec is not None:
            self.data.take(task.spec)
        self.problem = self.data.problem
        self.act = lambda: self._attach(window)
        self.check()

    def _attach(self, window: Any) -> None:
        spec = self.data.spec()
        if spec is not None:
            window.document.attach_task(spec)


def ask(window: Any) -> None:
    """Open the dialog over a window."""
    AttachData(window).open()
