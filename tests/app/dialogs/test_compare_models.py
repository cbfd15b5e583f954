"""Two models of different files stand side by side: by name, with what differs, from the menu to the table."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from secateur.app.dialogs.compare_models import Column, CompareModels, PairsModel, pairs_of
from secateur.app.dialogs.consent import ConsentDialog
from secateur.app.dialogs.open_model import OpenModel
from secateur.app.window.main_window import MainWindow
from secateur.engine.errors import OpenError
from secateur.engine.structures.costs import LayerRow, ModelLayers, layers_of
from tests.app.playing import Player

LEFT = Qt.MouseButton.LeftButton


def layers(name: str, *rows: tuple[str, int]) -> ModelLayers:
    """A model of convolutions with so many filters each."""
    made = tuple(LayerRow(path, "Conv2d", (("weight", (width, 3)),), 3 * width, 30 * width) for path, width in rows)
    return ModelLayers(name, ((2, 3),), made, sum(row.parameters for row in made), sum(row.macs for row in made))


def test_layers_of_one_name_stand_beside_each_other_in_the_order_of_both() -> None:
    left = layers("a", ("stem", 8), ("body", 16), ("old", 4), ("head", 2))
    right = layers("b", ("stem", 8), ("new", 4), ("body", 12), ("head", 2))
    pairs = pairs_of(left, right)
    assert [pair.path for pair in pairs] in (
        ["stem", "new", "body", "old", "head"],
        ["stem", "body", "old", "new", "head"],
    )
    by_name = {pair.path: pair for pair in pairs}
    assert by_name["stem"].alike and not by_name["body"].alike
    assert by_name["new"].left is None and by_name["old"].right is None


def asked(main: MainWindow, qtbot, source: str) -> None:
    """Choose a file in the dialog of the menu."""
    main.run_command("file.compare")
    dialog = main.findChildren(OpenModel)[-1]
    assert dialog.accept_button.text() == "Compare" and dialog.windowTitle() == "Compare with another model"
    assert not dialog.data.kind.isVisible() and not dialog.own_class.isVisible()
    dialog._take(source)
    qtbot.mouseClick(dialog.accept_button, LEFT)


def test_another_file_is_compared_from_the_menu_and_the_open_model_stays(
    main: MainWindow, player: Player, qtbot
) -> None:
    document = player.document
    assert document.analysis is not None
    asked(main, qtbot, "torchvision:resnet18")
    assert player.link.asked("read_layers")[0].source == "torchvision:resnet18"
    own = layers_of(document.analysis)
    first = own.rows[0]
    other = ModelLayers("other", own.inputs, (*own.rows[1:], layers("", ("extra", 4)).rows[0]), 1000, 5000)
    player.answer("read_layers", other)
    dialog = main.findChildren(CompareModels)[-1]
    model = dialog.model
    assert model.names == ("net, the original", "other") and document.model_name == "net"
    texts = {pair.path: model.text(pair, Column.DIFFERENCE) for pair in model.pairs}
    assert texts[first.path] == "only left" and texts["extra"] == "only right" and texts[own.rows[1].path] == "equal"
    assert model.summary() == f"{len(own.rows) - 1} equal, 0 layers differ, 1 only left, 1 only right."
    qtbot.mouseClick(dialog.only, LEFT)
    assert model.rowCount() == 2
    qtbot.mouseClick(dialog.copy, LEFT)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert len(lines) == 3 and any(line.startswith("extra,") and line.endswith("only right") for line in lines)
    qtbot.mouseClick(dialog.close_button, LEFT)


def test_code_of_another_file_needs_consent_and_is_read_again_with_it(main: MainWindow, player: Player, qtbot) -> None:
    asked(main, qtbot, "timm:resnet18")
    error = OpenError("source.code", "{path} runs code.", path="net.py")
    player.link.failed.emit(player.link.last("read_layers"), error)
    dialog = main.findChildren(ConsentDialog)[-1]
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert player.link.asked("read_layers")[0].trust_code
    player.stop("read_layers")


def test_headings_end_with_the_columns_and_no_layers_are_none_that_differ() -> None:
    empty = PairsModel(layers("a"), layers("b"))
    heads = [empty.headerData(section, Qt.Orientation.Horizontal) for section in range(-1, len(Column) + 1)]
    assert heads[1:4] == ["Layer", "Shape left", "Shape right"] and heads[-2] == "Difference"
    assert heads[0] is heads[-1] is None
    assert empty.summary() == "0 equal, 0 layers differ, 0 only left, 0 only right."


def test_names_are_whole_and_headings_stand_over_their_columns(main: MainWindow, qtbot) -> None:
    name = "features.denseblock4.denselayer12.conv2"
    dialog = CompareModels(main, layers("a", (name, 8)), layers("b", (name, 6)))
    dialog.show()
    qtbot.waitUntil(lambda: dialog.windowHandle().isExposed())
    assert dialog.table.columnWidth(Column.NAME) >= dialog.table.fontMetrics().horizontalAdvance(name)
    across, side = Qt.Orientation.Horizontal, Qt.ItemDataRole.TextAlignmentRole
    for column in Column:
        assert dialog.model.headerData(column, across, side) == dialog.model.index(0, column).data(side)
    dialog.close()
