"""The bar above a bundle that came without weights: why it can only be looked at, and the place to name them."""

from PySide6.QtWidgets import QHBoxLayout

from ..dialogs.window_api import WindowApi
from ..widgets.buttons import button
from ..widgets.card import Card
from ..widgets.labels import label


class MissingWeightsBar(Card):
    """Hidden unless what is open can only be looked at.

    Attributes:
        sentence: Why.
        name: Opens the dialog that names the weights.
    """

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget(), margin=8)
        self._window = window
        self.sentence = label(wrap=True)
        self.name = button(self.tr("Add weights..."), "link", self.tr("Choose the model and its checkpoint"))
        row = QHBoxLayout()
        row.addWidget(self.sentence, 1)
        row.addWidget(self.name)
        self.body.addLayout(row)
        self.name.clicked.connect(self._ask)
        self.hide()

    def refresh(self) -> None:
        """Show why, or nothing; the window calls it, as a hidden view is told nothing."""
        absent = self._window.document.absent
        self.sentence.setText(absent)
        self.setVisible(bool(absent))

    def _ask(self) -> None:
        from ..dialogs.apply_recipe import ask

        ask(self._window)
