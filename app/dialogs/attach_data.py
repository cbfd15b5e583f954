"""Attach data: which data and metric evaluate the model. The original is evaluated right away."""

from .data_rows import DataRows
from .form import FormDialog
from .window_api import WindowApi


class AttachData(FormDialog):
    """The dialog.

    Attributes:
        data: The rows of the data.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "The original is evaluated right away. Check the samples and the metric: they reveal wrong preprocessing."
        )
        super().__init__(window.as_widget(), self.tr("Attach data"), sentence, self.tr("Attach and evaluate"))
        self.read_elsewhere(window.workbench.elsewhere)
        self.data = DataRows(self, window.document.engine.place, optional=False)
        if (task := window.document.task) is not None and task.spec is not None:
            self.data.take(task.spec)
        self.problem = self.data.problem
        self.act = lambda: self._attach(window)
        self.check()

    def _attach(self, window: WindowApi) -> None:
        spec = self.data.spec()
        if spec is not None:
            window.workbench.model.attach_task(spec)


def ask(window: WindowApi) -> None:
    """Open the dialog over a window."""
    AttachData(window).open()
