"""Files that the system hands over while the program starts, and while it runs."""

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QUrl, Signal
from PySide6.QtGui import QFileOpenEvent

from secateur.app.startup.application import FileOpener


class Window(QObject):
    painted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def open_source(self, source: str) -> None:
        self.opened.append(source)


def test_a_file_is_opened_once_the_window_is_there(qapp, tmp_path):
    application, window = QObject(), Window()
    FileOpener(application, window)  # type: ignore[arg-type]

    def ask(name: str) -> None:
        QCoreApplication.sendEvent(application, QFileOpenEvent(QUrl.fromLocalFile(str(tmp_path / name))))

    ask("first.onnx")
    ask("second.onnx")
    assert window.opened == []
    window.painted.emit()
    assert window.opened == [str(tmp_path / "second.onnx")]
    ask("third.onnx")
    assert window.opened[1:] == [str(tmp_path / "third.onnx")]
    QCoreApplication.sendEvent(application, QEvent(QEvent.Type.User))
    window.painted.emit()
    assert len(window.opened) == 2
