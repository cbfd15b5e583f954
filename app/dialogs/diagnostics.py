"""Diagnostics: all that a report of a fault needs, on one page to copy. Reads metadata, imports nothing heavy."""

import locale
import os
import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from PySide6.QtCore import QLibraryInfo, QLocale, Qt, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout

from secateur.engine.machine.operating_system import free_memory, resident_memory

from ..document.message_log import Level
from ..storage import settings
from ..storage.user_folders import home, sessions_folder
from ..text.format import size
from ..theme import theme
from ..widgets.buttons import button
from ..widgets.labels import label
from .window_api import WindowApi

PACKAGES = (
    "secateur", "torch", "torchvision", "onnxruntime", "onnx", "onnxscript", "openvino", "numpy", "scipy",
    "safetensors", "timm", "transformers", "PySide6-Essentials", "PySide6", "pyqtgraph", "fast-sugiyama",
)  # fmt: skip
LAST = 20
"""Warnings and errors of the log that are shown."""
VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "QT_SCALE_FACTOR", "QT_QPA_PLATFORM", "XDG_SESSION_TYPE")
"""Of the environment, those that are shown."""


def facts(window: WindowApi) -> str:
    """One fact a line, in sections; the home folder is written as ~."""
    versions: list[tuple[str, str]] = []
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions.append((name, metadata.version(name)))
    versions.append(("Python", f"{platform.python_version()} ({platform.python_implementation()})"))
    versions.append(("Qt", f"{qVersion()}, built as {QLibraryInfo.build()}"))

    free = free_memory()
    system = [
        ("platform", platform.platform()),
        ("processor", f"{platform.machine()}, {os.cpu_count() or 0} cores"),
        ("free memory", size(free) if free == free else "unknown"),
        ("locale", f"{QLocale.system().name()}, {locale.getpreferredencoding(False)}"),
        *((name, os.environ[name]) for name in VARIABLES if name in os.environ),
    ]

    look, shown = theme(), [("Qt platform", QGuiApplication.platformName())]
    for screen in QGuiApplication.screens():
        area = screen.size()
        shown.append(("screen", f"{area.width()} x {area.height()}, scale {screen.devicePixelRatio():g}"))
    area = window.as_widget().size()
    shown.append(("window", f"{area.width()} x {area.height()}"))
    dark = "dark" if look.tokens.dark else "light"
    shown.append(("look", f"{look.scheme.value}, {dark}, text {look.sizes.body} px"))

    document, engine = window.document, window.document.engine
    pid = int(getattr(window.workbench.runner.link, "pid", 0) or 0)
    computing = [
        ("state", engine.text),
        ("computes with", engine.processor or "unknown"),
        ("process", str(pid) if pid else "none"),
    ]
    for name, process in (("memory of the engine", pid), ("memory of the window", os.getpid())):
        if held := resident_memory(process):
            computing.append((name, size(held)))
    computing += [("job", f"{job.title}: {job.text}") for job in document.jobs]

    files = [
        ("settings", str(settings.path())),
        ("sessions", str(sessions_folder())),
        ("this session", str(engine.folder)),
        ("program", str(Path(__file__).resolve().parent.parent)),
        ("Python", sys.executable),
    ]

    model = [("model", "none")]
    if (analysis := document.analysis) is not None:
        spec, target = document.contents.spec, document.target
        model = [
            ("model", f"{document.model_name}, from {spec.source if spec is not None else 'unknown'}"),
            ("structures", f"{analysis.count:,} in {len(analysis.sets):,} sets, {len(analysis.fixed):,} fixed"),
            ("data", document.task.title if document.task is not None else "none"),
            ("target", f"{target.runtime}, {target.precision}, {target.threads} threads, batch {target.batch}"),
            ("states", f"{len(document.states)}, present {document.contents.present}"),
            ("criterion", document.contents.rating),
        ]

    sections = {
        "Versions": versions, "System": system, "Window": shown, "Engine": computing, "Files": files, "Document": model,
    }  # fmt: skip
    lines: list[str] = []
    for title, section in sections.items():
        lines += [title, *(f"  {name}: {value}" for name, value in section), ""]
    warnings = [line for line in document.messages.lines() if line.level.rank >= Level.WARNING.rank][-LAST:]
    lines += ["Last warnings and errors", *(f"  {line.written()}" for line in warnings)]
    return private("\n".join(lines).rstrip())


def private(text: str) -> str:
    """A text without the name of the user's home folder."""
    folder = str(home())
    return text.replace(folder, "~") if len(folder) > 1 else text


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
        self.copy.setText(self.tr("Copied"))
