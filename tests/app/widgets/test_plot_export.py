"""Every plot can be taken along: as an image, as vectors, as numbers; by its menu and by a command."""

import csv
import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QMenu

from secateur.app.commands import command_named
from secateur.app.dialogs.save_plot import SavePlot
from secateur.app.document.aspects import Aspect
from secateur.app.document.sensitivity_curves import Curves
from secateur.app.theme import tokens
from secateur.app.widgets import plot_export as drawing_module
from secateur.app.widgets.plot_export import Drawing, Table
from secateur.engine.sensitivity.protocol import SensitivityPoint
from tests.app.playing import top1
from tests.app.turns import PatientBot
from tests.app.whole import full, own_home, window_of

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module")
def one_window(request, qapp, tmp_path_factory):
    """It takes longer to build than all that a test looks at."""
    document = full()
    with own_home(tmp_path_factory), window_of(document, PatientBot(request)) as window:
        curves = Curves(4)
        curves.take(
            [SensitivityPoint(-1, 0, top1(0.9)), SensitivityPoint(2, 4, top1(0.8)), SensitivityPoint(2, 8, top1(0.6))]
        )
        document.contents.curves[document.contents.present, document.contents.rating] = curves
        document.announce(Aspect.SENSITIVITY)
        window.hide()
        yield window


@pytest.fixture
def window(one_window):
    """With the trade-off in front."""
    one_window.show()
    for module in ("layers", "sensitivity", "recovery", "tradeoff"):
        one_window.show_panel(module)
        QApplication.processEvents()
    yield one_window
    one_window.hide()


def by_name(window) -> dict[str, Drawing]:
    return {one.name: one for one in window.area.drawings()}


def rows(drawing: Drawing) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(drawing.table().text())))


def test_every_panel_that_draws_offers_its_plot(window) -> None:
    assert set(by_name(window)) == {"scores", "trade-off", "layers", "sensitivity", "recovery", "histogram"}


@pytest.mark.parametrize("name", ["scores", "trade-off", "layers", "sensitivity", "recovery", "histogram"])
def test_a_plot_is_an_image_and_vectors_with_its_words(window, name) -> None:
    drawing = by_name(window)[name]
    window.show_panel(drawing.panel)
    QApplication.processEvents()
    image = QImage.fromData(drawing.content("png")())
    widget = drawing.widget()
    assert (image.width(), image.height()) == (2 * widget.width(), 2 * widget.height())
    step = (max(1, image.width() // 60), max(1, image.height() // 60))
    colours = {image.pixel(x, y) for x in range(0, image.width(), step[0]) for y in range(0, image.height(), step[1])}
    assert len(colours) > 3, "it is more than an empty ground"
    root = ET.fromstring(drawing.svg())
    assert root.tag.endswith("svg")
    words = [node.text for node in root.iter() if node.tag.endswith("text") and node.text]
    assert words, "text stays text"
    assert not any(node.tag.endswith("image") for node in root.iter()) or name in ("scores", "histogram")


def test_the_picture_of_all_layers_has_those_that_are_scrolled_away(window) -> None:
    view = window.area.panels["layers"].view
    last, height = view.model().rowCount() - 1, view.rowHeight(0)
    assert not view.viewport().rect().contains(view.visualRect(view.model().index(last, 1)))
    image = by_name(window)["layers"].image(1.0)
    lowest = image.copy(0, image.height() - 4 - height, image.width(), height)
    drawn = {lowest.pixelColor(x, y).name() for x in range(lowest.width()) for y in range(height)}
    assert image.height() >= (last + 2) * height and tokens().text in drawn


def test_numbers_are_those_of_the_document(window) -> None:
    document, found = window.document, by_name(window)
    points = rows(found["trade-off"])
    assert [p["state"] for p in points][:1] == ["s0"] and points[-1]["kind"] == "plan"
    structures = rows(found["scores"])
    assert len(structures) == document.analysis.count
    marked = [n for n, row in enumerate(structures) if row["state"] == "marked"]
    assert marked == np.flatnonzero(document.marked).tolist()
    assert float(structures[50]["score"]) == pytest.approx(document.scores[50]) or structures[50]["score"] == ""
    trials = rows(found["sensitivity"])
    assert [(t["removed"], t["top-1"]) for t in trials] == [("0", "0.9"), ("4", "0.8"), ("8", "0.6")]
    assert len(rows(found["recovery"])) == len(document.curve)
    one = document.analysis.sets[document.selection.set_number]
    assert [int(r["index"]) for r in rows(found["histogram"])] == list(range(one.count))


def test_what_is_unknown_is_left_out_of_the_numbers() -> None:
    text = Table(("a", "b"), (np.array([1.5, np.nan]), ["x, y", 2])).text()
    assert text == 'a,b\n1.5,"x, y"\n,2\n'


def test_the_menu_of_a_plot_copies_its_picture_and_its_numbers(window, qtbot) -> None:
    plot = window.area.panels["tradeoff"].plot
    plot.customContextMenuRequested.emit(plot.rect().center())
    menu = plot.findChild(QMenu)
    entries = {action.text(): action for action in menu.actions()}
    entries["Copy data"].trigger()
    assert QApplication.clipboard().text().startswith("state,parent,kind")
    entries["Copy image"].trigger()
    assert QApplication.clipboard().image().width() == 2 * plot.width()
    menu.close()


def test_a_command_saves_any_plot_with_the_suffix_of_its_format(window, qtbot, tmp_path) -> None:
    window.commands.run(command_named("view.save_plot"))
    dialog = window.findChild(SavePlot)
    assert dialog.plot.currentText() == "Trade-off" and dialog.path.text().endswith("trade-off.png")
    dialog.plot.setCurrentText("Layers")
    dialog.format.setCurrentIndex(1)
    assert dialog.path.text().endswith("layers.svg")
    dialog.path.setText(str(tmp_path / "picture"))
    qtbot.mouseClick(dialog.accept_button, LEFT)
    qtbot.waitUntil((tmp_path / "picture.svg").exists)
    assert ET.parse(tmp_path / "picture.svg").getroot().tag.endswith("svg")
    qtbot.waitUntil(lambda: "picture.svg" in window.status.word.text())
    assert [p.name for p in tmp_path.iterdir() if "picture" in p.name] == ["picture.svg"], "nothing half-written"


def test_saving_where_nothing_can_be_written_is_refused_in_a_sentence(window, tmp_path) -> None:
    dialog = SavePlot(window, window.area.drawings())
    dialog.path.setText(str(tmp_path / "none" / "plot.png"))
    assert not dialog.accept_button.isEnabled() and "does not exist" in dialog.missing.text()
    dialog.path.setText("")
    assert not dialog.accept_button.isEnabled()
    dialog.close()


def test_copying_takes_the_plot_that_has_the_focus(window) -> None:
    window.show_panel("layers")
    QApplication.processEvents()
    window.commands.run(command_named("view.copy_numbers"))
    assert QApplication.clipboard().text().startswith("layer,width")
    window.activateWindow()
    window.area.panels["inspector"].histogram.setFocus()
    QApplication.processEvents()
    if QApplication.focusWidget() is window.area.panels["inspector"].histogram:
        window.commands.run(command_named("view.copy_numbers"))
        assert QApplication.clipboard().text().startswith("layer,kind,set,index")


def test_a_picture_never_grows_beyond_what_an_image_can_hold(window, monkeypatch) -> None:
    monkeypatch.setattr(drawing_module, "LONGEST", 200)
    assert by_name(window)["layers"].image().height() <= 200
