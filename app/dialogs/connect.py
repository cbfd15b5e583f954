"""Connects the window with an engine on another machine: which one, how far it is, why it failed, installing it."""

import threading
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QWidget
from shiboken6 import isValid

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import Cancelled
from secateur.engine.process.events import Refused
from secateur.engine.process.remote.client import RemoteClient
from secateur.engine.process.remote.installation import can_install, install_there, python_there
from secateur.engine.process.remote.protocol import own_version
from secateur.engine.subprocesses.ssh import SCHEME, Address, read_address, ssh_aliases, typed_address

from ..storage import settings
from ..storage.autosave.remote_engine import RemoteEngine
from ..storage.background import BackgroundTasks
from ..text.translate import sentence
from ..theme import px
from ..widgets.buttons import PrimaryButton, button, lay_out_question
from ..widgets.fields import ComboBox, SpinBox
from ..widgets.labels import label
from ..widgets.progress import ProgressBar
from .closing import leave
from .form import FormDialog
from .window_api import WindowApi

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
            parent: What the dialog opens over.
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
        words = [
            whose.format(version=own_version(), host=address.title, command=f"{python_there(address)} -m pip"),
            self.tr(
                "pip also fetches the packages that it needs from its package index: about 1 GB, more where it brings "
                "PyTorch for a GPU."
            ),
        ]
        if there := str(error.message.arguments.get("there", "")):
            words.append(self.tr("It replaces Secateur {version}.").format(version=there))
        self.setWindowTitle(self.tr("Install Secateur there?"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(px(WIDE))
        self.sentence, self.state = label(" ".join(words), wrap=True), label("", "muted", wrap=True)
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
        installation.progressed.connect(self._show_progress)
        self.install_button.setEnabled(False)
        self.bar.show()

        def done(installed: bool) -> None:
            if isValid(self) and installed:
                self.accept()
                self._act()

        def fail(error: SecateurError) -> None:
            if isValid(self):
                self._installation = None
                self.state.setText(sentence(error.message))
                self.state.show()
                self.bar.hide()
                self.install_button.setEnabled(True)

        self._tasks.run(installation.run, done, fail)

    @Slot(object)
    def _show_progress(self, message: object) -> None:
        self.state.setText(sentence(message))  # type: ignore[arg-type]
        self.state.show()

    def done(self, result: int) -> None:
        """Install no further, and end the thread."""
        if self._installation is not None:
            self._installation.cancel()
        self._tasks.close(0.0)
        super().done(result)


LOOK = 50
"""Milliseconds between two looks at whether it is connected."""
MOST_PORT = 65535


class Connect(FormDialog):
    """The dialog.

    Attributes:
        recent: Combo box of machines that were connected before, or that the configuration of ssh names.
        host: The machine, or a whole address.
        user: "" for what the configuration of ssh says.
        port: 0 for what the configuration of ssh says.
        program: Path of secateur there, "" for the one that a login finds.
        bar: Moves while it connects.
        copy: Copies what ssh has said.
        install: Asks whether this Secateur is to be installed there, where it is missing or of another version.
    """

    def __init__(self, window: WindowApi, address: Address | None = None, name: str = "") -> None:
        """Ask in a window.

        Args:
            window: What the dialog opens over.
            address: What is offered.
            name: Of an engine that an earlier window has left there, "" for a new one.
        """
        words = self.tr(
            "Model, data and computing are then on that machine; the window stays here. Secateur uses your own ssh: "
            "keys, agent and aliases work as in a terminal."
        )
        super().__init__(window.as_widget(), self.tr("Connect to an engine"), words, self.tr("Connect"))
        self._window, self._name = window, name
        self._client: RemoteClient | None = None
        self._error: SecateurError | None = None
        self.then: Callable[[WindowApi], None] | None = None
        self.recent = ComboBox(self.tr("Known machines"))
        self.add_row(self.recent.accessibleName(), self.recent)
        self.host = self.add_line(self.tr("Machine"), hint=self.tr("gpu.example.org, or a name of your ssh config"))
        self.user = self.add_line(self.tr("User"), hint=self.tr("as ssh is configured"))
        self.port = SpinBox(self.tr("Port"), 0, MOST_PORT)
        self.port.setSpecialValueText(self.tr("as ssh is configured"))
        self.add_row(self.port.accessibleName(), self.port)
        self.program = self.add_line(self.tr("Path of secateur"), hint=self.tr("found by a login"))
        self.bar = ProgressBar(maximum=0)
        self.bar.setAccessibleName(self.tr("Progress of connecting"))
        self.copy = button(self.tr("Copy what ssh said"), "link")
        self.install = button(self.tr("Install there..."))
        self.form.addRow(self.bar)
        self.buttons.insertWidget(0, self.copy)
        self.buttons.insertWidget(1, self.install)
        self.setTabOrder(self.program, self.copy)
        self.setTabOrder(self.copy, self.install)
        self.bar.hide()
        self.copy.hide()
        self.install.hide()
        self._timer = QTimer(self, interval=LOOK)
        self._timer.timeout.connect(self._look_at_client)
        self.copy.clicked.connect(self._copy)
        self.install.clicked.connect(self._install)
        self.recent.activated.connect(self._fill_from_known)
        self.recent.addItem(self.tr("choose one, or type below"), "")
        connected = settings.machines(settings.ENGINES)
        for text in dict.fromkeys([*connected, *(f"{SCHEME}{alias}" for alias in ssh_aliases())]):
            self.recent.addItem(text.removeprefix(SCHEME), text)
        self.show_row(self.recent, self.recent.count() > 1)
        if address is not None:
            self._fill(address)
        self.check()
        self.host.setFocus()

    @Slot()
    def _fill_from_known(self) -> None:
        if text := self.recent.currentData():
            self._fill(read_address(text))

    def _fill(self, address: Address) -> None:
        self.host.setText(address.host)
        self.user.setText(address.user)
        self.port.setValue(address.port)
        self.program.setText(address.program)

    def address(self) -> Address:
        """What was asked for; raises SecateurError where it is no address."""
        read = typed_address(self.host.text())
        user, port = self.user.text().strip() or read.user, self.port.value() or read.port
        program = self.program.text().strip() or read.program
        return read_address(str(Address(read.host, user, port, program)))

    def problem(self) -> str:
        """Which field says nothing that can be."""
        if not self.host.text().strip():
            return self.tr("Enter a machine.")
        if self.program.text().strip() and not self.program.text().strip().startswith("/"):
            return self.tr("Enter a whole path of secateur, such as /opt/venv/bin/secateur.")
        try:
            self.address()
        except SecateurError as error:
            return sentence(error.message)
        return ""

    def check(self) -> None:
        """As in any form; why it could not connect stays until something is changed."""
        super().check()
        self._error = None
        self.copy.hide()
        self.install.hide()

    # Connecting.

    def accept(self) -> None:
        """Connect, and close once that is done."""
        if self.problem() or self._client is not None:
            return
        address = self.address()
        self._client = RemoteClient(address, name=self._name)
        self._client.prepare()
        self._enable_fields(False)
        self.bar.show()
        self.missing.setText(self.tr("Connecting to {host}").format(host=address.title))
        self.missing.show()
        self.copy.hide()
        self.install.hide()
        self._fit()
        self._timer.start()

    def _enable_fields(self, on: bool) -> None:
        for each in (self.recent, self.host, self.user, self.port, self.program, self.accept_button):
            each.setEnabled(on)

    @Slot()
    def _look_at_client(self) -> None:
        """See whether it is connected, or was refused."""
        client = self._client
        if client is None:
            return
        while (event := client.poll()) is not None:
            if isinstance(event, Refused):
                self._stop()
                self._error = event.error
                self.missing.setText(sentence(event.error.message))
                self.missing.show()
                self.copy.setVisible(bool(event.error.details))
                self.install.setVisible(can_install(event.error))
                self._fit()
                return self.host.setFocus()
        if client.known:
            self._timer.stop()
            settings.remember_machine(settings.ENGINES, str(self.address()))
            self._client = None
            super(FormDialog, self).accept()
            self._window.use_engine(client, self.then)

    def _stop(self) -> None:
        """Connect no more; ending a connection may take a while."""
        self._timer.stop()
        client, self._client = self._client, None
        if client is not None:
            self._window.workbench.files.run(client.close)
        if isValid(self):
            self.bar.hide()
            self._enable_fields(True)

    @Slot()
    def _install(self) -> None:
        """Connect again once it is installed."""
        if self._error is not None:
            InstallThere(self, self.address(), self._error, self.accept).open()

    @Slot()
    def _copy(self) -> None:
        if self._error is not None:
            QGuiApplication.clipboard().setText(f"{sentence(self._error.message)}\n\n{self._error.details}")

    def reject(self) -> None:
        """While it connects, stop that; else close."""
        if self._client is not None:
            self._stop()
            self.check()
        else:
            super().reject()


def ask(window: WindowApi) -> None:
    """Open the dialog over a window; unsaved work on another machine is asked about first."""
    leave(window, lambda: Connect(window).open(), closes=True)


def go_on(window: WindowApi, engine: RemoteEngine | None, then: Callable[[WindowApi], None]) -> None:
    """Connect with an engine that an earlier window has left, None for this machine's, and go on there.

    Args:
        window: Which is left for one with that engine.
        engine: Where.
        then: Called with the other window.
    """
    if engine is None:
        return window.use_engine(None, then)
    dialog = Connect(window, read_address(engine.address), engine.name)
    dialog.then = then
    dialog.open()
    dialog.accept()


def disconnect(window: WindowApi) -> None:
    """Go back to an engine on this machine."""
    leave(window, lambda: window.use_engine(None), closes=True)
