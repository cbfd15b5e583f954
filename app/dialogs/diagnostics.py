"""Diagnostics: all that a report of a fault needs, on one page to copy. Reads metadata, imports nothing heavy."""

import locale
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, Qt, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout

from secateur.engine.operating_system import free_memory, resident_memory

from ..document.message_log import Level
from ..storage import settings
from ..storage.user_folders import home, sessions_folder
from ..text.format import size
from ..theme import theme
from ..widgets.buttons import button
from ..widgets.labels import label
from .window_api import WindowApi

CONTEXT = "Diagnostics"
PACKAGES = (
    "secateur", "torch", "torchvision", "onnxruntime", "onnx", "onnxscript", "openvino", "numpy", "scipy",
    "safetensors", "timm", "transformers", "PySide6-Essentials", "PySide6", "pyqtgraph", "fast-sugiyama",
)  # fmt: skip
LAST = 20
"""Warnings and errors of the log that are shown."""
Lines = Iterator[tuple[str, str]]


def facts(window: WindowApi) -> str:
    """One fact a line, in sections; the home folder is written as ~."""
    sections: tuple[tuple[str, Callable[[WindowApi], Lines]], ...] = (
        ("Versions", _versions),
        ("System", _system),
        ("Window", _window),
        ("Engine", _engine),
        ("Files", _files),
        ("Document", _document),
    )
    lines: list[str] = []
    for title, section in sections:
        lines += [title, *(f"  {name}: {value}" for name, value in section(window)), ""]
    told = [line for line in window.document.messages.lines() if line.level.rank >= Level.WARNING.rank][-LAST:]
    lines += ["Last warnings and errors", *(f"  {line.written()}" for line in told or ())]
    return private("\n".join(lines).rstrip())


def private(text: str) -> str:
    """A text without the name of the user's home folder."""
    folder = str(home())
    return text.replace(folder, "~") if len(folder) > 1 else text


def _versions(window: WindowApi) -> Lines:
    for name in PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "Qt", f"{qVersion()}, built as {QLibraryInfo.build()}"


def _system(window: WindowApi) -> Lines:
    yield "platform", platform.platform()
    yield "processor", f"{platform.machine()}, {os.cpu_count() or 0} cores"
    free = free_memory()
    yield "free memory", size(free) if free == free else "unknown"
    yield "locale", f"{QLocale.system().name()}, {locale.getpreferredencoding(False)}"
    variables = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "QT_SCALE_FACTOR", "QT_QPA_PLATFORM", "XDG_SESSION_TYPE")
    for name in variables:
        if name in os.environ:
            yield name, os.environ[name]


def _window(window: WindowApi) -> Lines:
    look = theme()
    yield "Qt platform", QGuiApplication.platformName()
    for screen in QGuiApplication.screens():
        area = screen.size()
        yield "screen", f"{area.width()} x {area.height()}, scale {screen.devicePixelRatio():g}"
    size = window.as_widget().size()
    yield "window", f"{size.width()} x {size.height()}"
    yield "look", f"{look.scheme.value}, {'dark' if look.tokens.dark else 'light'}, text {look.sizes.body} px"


def _engine(window: WindowApi) -> Lines:
    engine = window.document.engine
    yield "state", engine.text
    yield "computes with", engine.processor or "unknown"
    pid = int(getattr(window.workbench.runner.link, "pid", 0) or 0)
    yield "process", str(pid) if pid else "none"
    if held := resident_memory(pid):
        yield "memory of the engine", size(held)
    if held := resident_memory(os.getpid()):
        yield "memory of the window", size(held)
    for job in window.document.jobs:
        yield "job", f"{job.title}: {job.text}"


def _files(window: WindowApi) -> Lines:
    yield "settings", str(settings.path())
    yield "sessions", str(sessions_folder())
    yield "this session", str(window.document.engine.folder)
    yield "program", str(Path(__file__).resolve().parent.parent)
    yield "Python", sys.executable


def _document(window: WindowApi) -> Lines:
    document = window.document
    if document.analysis is None:
        yield "model", "none"
        return
    spec, analysis = document.contents.spec, document.analysis
    yield "model", f"{document.model_name}, from {spec.source if spec is not None else 'unknown'}"
    yield "structures", f"{analysis.count:,} in {len(analysis.sets):,} sets, {len(analysis.fixed):,} fixed"
    yield "data", document.task.title if document.task is not None else "none"
    target = document.target
    yield "target", f"{target.runtime}, {target.precision}, {target.threads} threads, batch {target.batch}"
    yield "states", f"{len(document.states)}, present {document.contents.present}"
    yield "criterion", document.rating


class Diagnostics(QDialog):
    """The page.

    Attributes:
        text: The facts.
        copy: Puts them on the clipboard.
    """

    def __init__(self, window: WindowApi) -> None:
        """Show the facts of a window."""
        super().__init__(window.as_widget())
        self.setWindowTitle(self.tr("Diagnostics"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 560)
        self.text = QPlainTextEdit(facts(window), readOnly=True)
        self.text.setAccessibleName(self.tr("Information about this program and this machine"))
        self.copy = button(self.tr("Copy"))
        close = button(self.tr("Close"))
        self.copy.clicked.connect(self._copy)
        close.clicked.connect(self.reject)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.copy)
        row.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        words = self.tr(
            "Attach this to a bug report. Your home folder is written as ~. Check the text before you send it."
        )
        layout.addWidget(label(words, "muted", wrap=True))
        layout.addWidget(self.text, 1)
        layout.addLayout(row)
        self.copy.setFocus()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.toPlainText())
        self.copy.setText(QCoreApplication.translate(CONTEXT, "Copied"))


def ask(window: WindowApi) -> None:
    """Open the page over a window."""
    Diagnostics(window).open()
