"""Keep the page in front, as it is arranged, under a name."""

from .form import FormDialog
from .window_api import WindowApi

LONGEST = 40
"""Characters of a name: menus show it whole."""


class SaveLayout(FormDialog):
    """The dialog.

    Attributes:
        name: What the layout is called.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr("Keeps the page in front with its panels, tabs and sizes. View > Layouts brings it back.")
        super().__init__(window.as_widget(), self.tr("Save layout"), sentence, self.tr("Save"))
        self._window = window
        self.name = self.add_line(self.tr("Name"), hint=self.tr("Two screens"))
        self.name.setMaxLength(LONGEST)
        self.name.setFocus()
        self.check()

    def problem(self) -> str:
        """That it has no name."""
        return "" if self.name.text().strip() else self.tr("Enter a name.")

    def act(self) -> None:
        """Save it."""
        self._window.save_layout(self.name.text().strip())
