"""The bar above a model that lacks its weights: why it can only be looked at, or that scores mean nothing.

It has the buttons that bring them.
"""

from PySide6.QtWidgets import QHBoxLayout, QPushButton

from ..commands.registry import command_named
from ..dialogs.window_api import WindowApi
from ..widgets.buttons import button
from ..widgets.card import Card
from ..widgets.labels import label, set_role


class WeightsBar(Card):
    """Hidden where all weights are there.

    Attributes:
        sentence: What is missing.
        name: Opens the dialog that names the weights of a bundle.
        checkpoint: Opens the dialog that names a checkpoint of an untrained model.
        pretrained: Asks for the weights that the model's library offers.
    """

    def __init__(self, window: WindowApi) -> None:
        """Stand in a window."""
        super().__init__(window.as_widget(), margin=3)
        self._window = window
        self.sentence = label(wrap=True)
        self.name = button(self.tr("Add weights..."), "link", self.tr("Choose the model and its checkpoint"))
        self.checkpoint = self._command("file.checkpoint", self.tr("Choose checkpoint..."))
        self.pretrained = self._command("file.pretrained", self.tr("Download pretrained weights..."))
        row = QHBoxLayout()
        row.addWidget(self.sentence, 1)
        for each in (self.name, self.checkpoint, self.pretrained):
            row.addWidget(each)
        self.body.addLayout(row)
        self.name.clicked.connect(self._ask)
        self.hide()

    def refresh(self) -> None:
        """Show what is missing, or nothing; the window calls it, as a hidden view is told nothing."""
        document = self._window.document
        untrained = document.untrained and not document.absent
        set_role(self.sentence, "marked" if untrained else "")
        self.sentence.setText(self.tr("Untrained weights: scores mean nothing.") if untrained else document.absent)
        self.name.setVisible(not untrained)
        self.checkpoint.setVisible(untrained)
        self.pretrained.setVisible(untrained and document.contents.offered is not None)
        self.setVisible(untrained or bool(document.absent))

    def _command(self, command: str, text: str) -> QPushButton:
        made = button(text, "link", command_named(command).explained())
        made.clicked.connect(lambda: self._window.run_command(command))
        return made

    def _ask(self) -> None:
        from ..dialogs.apply_recipe import ask

        ask(self._window)
