"""About: what this is, its version, how a newer one comes, and its licence."""

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLayout, QVBoxLayout

from secateur.engine.machine.installation import how_to_update, version

from ..text.translate import sentence
from ..widgets.buttons import button
from ..widgets.labels import label
from .window_api import WindowApi

WIDTH = 480
"""Pixels."""


class About(QDialog):
    """The dialog."""

    def __init__(self, window: WindowApi) -> None:
        """Open over a window."""
        super().__init__(window.as_widget())
        self._window = window
        self.setWindowTitle(self.tr("About Secateur"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        layout = QVBoxLayout(self)
        # Without a constraint: Qt's would make wrapped words as high as they are at the least width.
        layout.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(8)
        layout.addWidget(label(self.tr("Secateur {0}").format(version()), "number"))
        words = (
            self.tr("Makes a trained network smaller by removing whole filters, heads, neurons and blocks."),
            sentence(how_to_update()),
            self.tr(
                "Licence: Apache 2.0. The libraries it uses have their own licences. Diagnostics lists their versions."
            ),
        )
        for each in words:
            layout.addWidget(label(each, "muted", wrap=True))
        row = QHBoxLayout()
        row.addStretch(1)
        diagnostics, close = button(self.tr("Diagnostics...")), button(self.tr("Close"))
        diagnostics.clicked.connect(self._show_diagnostics)
        close.clicked.connect(self.reject)
        row.addWidget(diagnostics)
        row.addWidget(close)
        layout.addSpacing(8)
        layout.addLayout(row)
        self.ensurePolished()
        self.resize(WIDTH, layout.totalHeightForWidth(WIDTH))

    @Slot()
    def _show_diagnostics(self) -> None:
        from .diagnostics import Diagnostics

        self.accept()
        Diagnostics(self._window).open()
