"""A bar of progress, which stands still where its end is unknown and nothing is to move."""

from PySide6.QtWidgets import QProgressBar, QWidget

from ..theme import theme

FINE = 1000
"""Steps of a bar that shows a share."""


class ProgressBar(QProgressBar):
    """How far something is; what it is, its accessible name says."""

    def __init__(self, parent: QWidget | None = None, maximum: int = 100) -> None:
        """Show no text."""
        super().__init__(parent)
        self.setTextVisible(False)
        self.setRange(0, maximum)

    def setRange(self, minimum: int, maximum: int) -> None:
        """Count from one number to another one; 0 to 0: the end is unknown, and a piece moves through the bar."""
        super().setRange(minimum, 1 if maximum == 0 and theme().still else maximum)

    def show_progress(self, done: int, total: int, work: float) -> None:
        """Show how far a job is: of its whole work, else of its present stage; with a `total` of 0 that is unknown."""
        if work >= 0:
            self.setRange(0, FINE)
            self.setValue(round(FINE * work))
        else:
            self.setRange(0, total)
            self.setValue(done)
