"""About: versions and folders, to copy into a report. Reads package metadata, imports nothing heavy."""

import platform
from importlib import metadata
from typing import Any

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QPlainTextEdit, QVBoxLayout

from ..folders import sessions_folder
from ..widgets.buttons import button

CONTEXT = "About"
PACKAGES = ("secateur", "torch", "onnxruntime", "onnx", "numpy", "PySide6-Essentials", "PySide6", "pyqtgraph")


def facts(window: Any) -> str:
    """One fact a line."""
    lines = [f"{name} {version}" for name in PACKAGES if (version := _version(name))]
    lines += [
        f"Python {platform.python_version()}, {platform.platform()}",
        f"Qt platform: {QGuiApplication.platformName()}",
    ]
    return "\n".join([*lines, f"Sessions: {sessions_folder()}", f"This session: {window.document.work.folder}"])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def show_about(window: Any) -> None:
    """Open the dialog over a window."""
    dialog = QDialog(window)
    dialog.setWindowTitle(QCoreApplication.translate(CONTEXT, "About Secateur"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.resize(560, 320)
    text = QPlainTextEdit(facts(window), readOnly=True)
    text.setAccessibleName(QCoreApplication.translate(CONTEXT, "Versions and folders"))
    copy = button(QCoreApplication.translate(CONTEXT, "Copy"))
    copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(text.toPlainText()))
    layout = QVBoxLayout(dialog)
    layout.addWidget(text)
    layout.addWidget(copy, 0, Qt.AlignmentFlag.AlignRight)
    dialog.open()
