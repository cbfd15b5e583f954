"""An export leaves a receipt over a corner of the window: it moves nothing, and history and log keep it."""

from pathlib import Path

from PySide6.QtCore import QModelIndex, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QTreeView

from secateur.app.document.job_state import FolderReceipt
from secateur.app.jobs.sharing import show_written
from secateur.engine.export.protocol import Exported
from secateur.engine.sources.protocol import InputSpec
from secateur.engine.tasks.protocol import Metric, Split
from tests.app.playing import Player
from tests.app.stand_in import travelled
from tests.app.turns import settle
from tests.app.whole import window_of

LEFT = Qt.MouseButton.LeftButton


def exported(folder: Path) -> Exported:
    file = folder / "net 50.onnx"
    file.write_bytes(b"")
    metric = Metric("top-1", 0.909, 2000, 0.0064, Split.TEST)
    return Exported("onnx", (str(file),), 3e-7, metric, 1_530_000, (), 18, (InputSpec((1, 1, 28, 28)),))


def find(view: QTreeView, text: str, above: QModelIndex | None = None) -> QModelIndex:
    above = above or QModelIndex()
    for row in range(view.model().rowCount(above)):
        index = view.model().index(row, 0, above)
        found = index if text in str(index.data()) else find(view, text, index)
        if found.isValid():
            return found
    return QModelIndex()


def test_a_receipt_is_shown_closed_and_brought_back(qtbot, tmp_path, monkeypatch):
    document, opened = travelled(), list[QUrl]()
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url) is None)
    with window_of(document, qtbot, (1024, 700)) as window:
        card, before = window.receipt, window.pages.geometry()
        window.show_panel("history")
        window.top_bar.primary.setFocus()
        made = exported(tmp_path)
        document.take_export("s2", made)
        settle(qtbot, document)
        assert card.isVisible() and window.pages.geometry() == before
        assert window.focusWidget() is window.top_bar.primary
        assert window.centralWidget().rect().contains(card.geometry())
        for told in ("3e-7", "test split: top-1 90.9", "1.53 MB", "opset 18", "onnxruntime, batch 1", "0.440 ms"):
            assert told in card.facts.text().replace("\u00a0", " ")
        qtbot.mouseClick(card.copy_path, LEFT)
        assert QGuiApplication.clipboard().text() == made.files[0]
        qtbot.mouseClick(card.copy_command, LEFT)
        assert "onnxruntime.InferenceSession" in QGuiApplication.clipboard().text()
        qtbot.mouseClick(card.folder, LEFT)
        assert [url.toLocalFile() for url in opened] == [str(tmp_path)]
        qtbot.mouseClick(card.dismiss, LEFT)
        assert not card.isVisible()
        history = window.area.panels["history"]
        index = find(history.view, "net 50.onnx")
        assert index.parent().data().startswith("recovered s2") and "opset 18" in index.data(
            Qt.ItemDataRole.ToolTipRole
        )
        Path(made.files[0]).unlink()
        history.view.scrollTo(index)
        qtbot.mouseClick(history.view.viewport(), LEFT, pos=history.view.visualRect(index).center())
        assert card.isVisible() and "no longer where it was written" in card.notes.text()


def test_what_was_exported_and_how_long_it_took_stay_in_the_log(player: Player, tmp_path):
    document = player.document
    player.workbench.states.export("onnx", str(tmp_path / "net 50.onnx"))
    job = next(one for one in player.workbench.runner.queue.jobs() if one.method == "export")
    job.turn -= 75
    player.answer("export", exported(tmp_path))
    log = "\n".join(document.messages.lines())
    assert "Finished: Export net 50.onnx, 1 min 15 s" in log
    assert f"Written and checked: {tmp_path / 'net 50.onnx'} (Largest difference from the model: 3e-7" in log


def test_what_was_written_for_another_machine_has_a_receipt_with_its_folder(qtbot, tmp_path, monkeypatch):
    document, opened = travelled(), list[QUrl]()
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url) is None)
    with window_of(document, qtbot, (1024, 700)) as window:
        show_written(document, FolderReceipt("Recovery job", str(tmp_path), ("Copy it.", "Run it."), "sh run.sh"))
        qtbot.waitUntil(window.receipt.isVisible)
        card = window.receipt
        assert (card.title.text(), card.facts.text()) == ("Recovery job", "Copy it.\nRun it.")
        assert not card.notes.isVisible() and window.centralWidget().rect().contains(card.geometry())
        qtbot.mouseClick(card.copy_command, LEFT)
        assert QGuiApplication.clipboard().text() == "sh run.sh"
        qtbot.mouseClick(card.folder, LEFT)
        assert [url.toLocalFile() for url in opened] == [str(tmp_path)]
        show_written(document, FolderReceipt("Report", str(tmp_path / "report.html")))
        qtbot.waitUntil(lambda: card.title.text() == "Report")
        assert not card.copy_command.isVisible() and not card.facts.isVisible()
        qtbot.mouseClick(card.folder, LEFT)
        assert opened[-1].toLocalFile() == str(tmp_path)
        document.take_export("s2", exported(tmp_path))
        qtbot.waitUntil(lambda: card.title.text().startswith("Exported") and card.copy_command.isVisible())
