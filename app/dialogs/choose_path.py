"""Choose a file or folder that the engine reads: on this disk, or on that of the machine that the engine is on."""

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFileDialog, QWidget

from ..jobs.remote_files import RemoteFiles


def choose(
    parent: QWidget,
    elsewhere: RemoteFiles | None,
    title: str,
    act: Callable[[str], None],
    *,
    begin: str = "",
    pick: str = "file",
    filters: str = "",
) -> None:
    """Let the user choose.

    Args:
        parent: What the dialog stands over.
        elsewhere: The engine's machine, None for this one.
        title: Of the dialog.
        act: Takes the path.
        begin: A path at which to begin.
        pick: "file" or "folder".
        filters: Of files, as Qt takes them.
    """
    if elsewhere is not None:
        from .remote_browser import RemoteBrowser  # brings msgspec, which a start does without

        browser = RemoteBrowser(parent, elsewhere, title, begin, pick, filters)

        def taken(path: str) -> None:
            """The browser, and what sent a file over it, are gone: now the keyboard is for what stood below."""
            parent.activateWindow()
            act(path)

        browser.chosen.connect(lambda path: QTimer.singleShot(0, parent, lambda: taken(path)))
        return browser.open()
    dialog = QFileDialog(parent, title, begin, filters)
    folder = pick == "folder"
    dialog.setFileMode(QFileDialog.FileMode.Directory if folder else QFileDialog.FileMode.ExistingFile)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(act)
    dialog.open()
