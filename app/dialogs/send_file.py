"""Send a file of this machine to that of the engine: asks, shows how far it is, and can be cancelled."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, Slot
from PySide6.QtWidgets import QDialog, QWidget
from shiboken6 import isValid

from secateur.engine.errors import SecateurError
from secateur.engine.process.remote.remote_folders import SENT

from ..jobs.remote_files import RemoteFiles, Sending
from ..text.format import size
from ..text.translate import sentence
from ..theme import px
from ..widgets.buttons import PrimaryButton, button
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from .question_layout import lay_out_question

LARGEST = 1 << 30
"""Bytes of a file that can be sent."""
FINE = 1000
"""Steps of the bar."""
WIDE = 520
"""Width at first, for text of the first size, in device-independent pixels."""


class SendFile(QDialog):
    """The dialog.

    Attributes:
        sentence: The question.
        problem: Why it cannot be sent, or was not.
        bar: How far it is; hidden until it is sent.
        send_button: Begins.
        cancel_button: Ends it, and sends no more.
    """

    def __init__(self, parent: QWidget, elsewhere: RemoteFiles, path: str, act: Callable[[str], None]) -> None:
        """Ask whether a file is to be sent; `act` takes its path there."""
        super().__init__(parent)
        self._elsewhere, self._path, self._act = elsewhere, Path(path), act
        self._sending: Sending | None = None
        self._size, problem = _size_of(self._path)
        words = self.tr(
            "{name} ({size}) is copied into {folder} in your home folder on {host}. It replaces no file there."
        )
        told = words.format(name=self._path.name, size=size(self._size), folder=SENT, host=elsewhere.host)
        if self._size > LARGEST:
            problem = self.tr("Files of more than {size} are not sent. Copy it yourself.").format(size=size(LARGEST))
        self.setWindowTitle(self.tr("Send a file?"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(px(WIDE))
        self.sentence, self.problem = label(told, wrap=True), label(problem, "muted", wrap=True)
        self.bar = ProgressBar(maximum=FINE)
        self.bar.setAccessibleName(self.tr("Progress of sending"))
        self.bar.hide()
        self.cancel_button, self.send_button = button(self.tr("Cancel")), PrimaryButton(self.tr("Send"))
        self.send_button.setDefault(True)
        self.send_button.setEnabled(not problem)
        lay_out_question(self, (self.sentence, self.problem, self.bar), (self.cancel_button, self.send_button))
        self.problem.setVisible(bool(problem))
        self.send_button.clicked.connect(self._send)
        self.cancel_button.clicked.connect(self.reject)

    @Slot()
    def _send(self) -> None:
        """Send it, and close once it is there."""
        sending = self._sending = Sending(self)
        sending.progressed.connect(self._progressed)
        self.send_button.setEnabled(False)
        self.problem.hide()
        self.bar.show()

        def done(there: str) -> None:
            if isValid(self) and there:
                self.accept()
                self._act(there)

        def failed(error: SecateurError) -> None:
            if isValid(self):
                self._sending = None
                self.problem.setText(sentence(error.message))
                self.problem.show()
                self.bar.hide()
                self.send_button.setEnabled(True)

        self._elsewhere.send(self._path, sending, done, failed)

    @Slot(object)
    def _progressed(self, sent: int) -> None:
        self.bar.setValue(round(FINE * sent / max(self._size, 1)))

    def reject(self) -> None:
        """Send no more."""
        if self._sending is not None:
            self._sending.cancel()
        super().reject()


def _size_of(path: Path) -> tuple[int, str]:
    """(bytes of a file, why it cannot be read)."""
    try:
        return path.stat().st_size, ""
    except OSError as error:
        return 0, str(error.strerror)
