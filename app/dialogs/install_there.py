"""Install this Secateur on another machine: asks, shows what pip says there, and can be cancelled."""

import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtWidgets import QDialog, QWidget
from shiboken6 import isValid

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.process.remote.installation import install_there, python_there
from secateur.engine.process.remote.protocol import own_version
from secateur.engine.subprocesses.ssh import Address

from ..storage.background import BackgroundTasks
from ..text.translate import sentence
from ..theme import px
from ..widgets.buttons import PrimaryButton, button
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from .question_layout import lay_out_question

WIDE = 520
"""Width at first, for text of the first size, in device-independent pixels."""


class Installation(QObject):
    """An installation on its way.

    Signals:
        progressed: What is done now, a `Message`.
    """

    progressed = Signal(object)

    def __init__(self, address: Address, parent: QObject) -> None:
        """Nothing is installed yet; it ends with its parent."""
        super().__init__(parent)
        self._address = address
        self._cancelled = threading.Event()
        parent.destroyed.connect(self._cancelled.set)

    def cancel(self) -> None:
        """Go no further."""
        self._cancelled.set()

    def run(self) -> bool:
        """In a thread of its own: install; False where it was cancelled."""
        try:
            for progress in install_there(self._address, self._cancelled):
                self.progressed.emit(progress.message)
        except Cancelled:
            return False
        return not self._cancelled.is_set()


class InstallThere(QDialog):
    """The dialog.

    Attributes:
        sentence: The question.
        state: What is done now, or why it could not be done.
        bar: Moves while it is done.
        install_button: Begins.
        cancel_button: Ends it.
    """

    def __init__(self, parent: QWidget, address: Address, error: SecateurError, act: Callable[[], None]) -> None:
        """Ask whether it is to be installed.

        Args:
            parent: What the dialog stands over.
            address: Where.
            error: Why it is needed.
            act: Called once it is there.
        """
        super().__init__(parent)
        self._act, self._address = act, address
        self._installation: Installation | None = None
        self._tasks = BackgroundTasks("installation there")
        whose = (
            self.tr("Secateur {version} is sent to {host} and installed there by {command}.")
            if address.program
            else self.tr("Secateur {version} is sent to {host} and installed there by {command}, for you alone.")
        )
        told = [
            whose.format(version=own_version(), host=address.title, command=f"{python_there(address)} -m pip"),
            self.tr(
                "pip also fetches the packages that it needs from its package index: about 1 GB, more where it brings "
                "PyTorch for a GPU."
            ),
        ]
        if there := str(error.message.arguments.get("there", "")):
            told.append(self.tr("It replaces Secateur {version}.").format(version=there))
        self.setWindowTitle(self.tr("Install Secateur there?"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(px(WIDE))
        self.sentence, self.state = label(" ".join(told), wrap=True), label("", "muted", wrap=True)
        self.bar = ProgressBar(maximum=0)
        self.bar.setAccessibleName(self.tr("Progress of installing"))
        self.bar.hide()
        self.state.hide()
        self.cancel_button, self.install_button = button(self.tr("Cancel")), PrimaryButton(self.tr("Install"))
        self.install_button.setDefault(True)
        lay_out_question(self, (self.sentence, self.state, self.bar), (self.cancel_button, self.install_button))
        self.install_button.clicked.connect(self._install)
        self.cancel_button.clicked.connect(self.reject)

    @Slot()
    def _install(self) -> None:
        """Install it, and close once it is there."""
        installation = self._installation = Installation(self._address, self)
        installation.progressed.connect(self._progressed)
        self.install_button.setEnabled(False)
        self.bar.show()

        def done(installed: bool) -> None:
            if isValid(self) and installed:
                self.accept()
                self._act()

        def failed(error: SecateurError) -> None:
            if isValid(self):
                self._installation = None
                self.state.setText(sentence(error.message))
                self.state.show()
                self.bar.hide()
                self.install_button.setEnabled(True)

        self._tasks.run(installation.run, done, failed)

    @Slot(object)
    def _progressed(self, message: object) -> None:
        self.state.setText(sentence(message))  # type: ignore[arg-type]
        self.state.show()

    def done(self, result: int) -> None:
        """Install no further, and end the thread."""
        if self._installation is not None:
            self._installation.cancel()
        self._tasks.close(0.0)
        super().done(result)
