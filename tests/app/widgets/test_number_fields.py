"""Numbers are typed with either decimal sign in every field, and printed with a point in every language."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import QApplication

from secateur import app
from secateur.app.dialogs.mark import MarkDialog
from secateur.app.dialogs.settings_fields import numbers, shares
from secateur.app.panels.tree.query import parse
from secateur.app.widgets.fields import DoubleSpinBox, SpinBox
from secateur.app.window.top_bar import TopBar
from secateur.engine.planning.selection_rules import StructureChoice
from tests.app.playing import Window
from tests.app.stand_in import opened


@pytest.fixture(params=["de_DE", "en_US", "C"])
def language(request, dressed) -> Iterator[str]:
    before = QLocale()
    QLocale.setDefault(QLocale(request.param))
    yield request.param
    QLocale.setDefault(before)


def type_into(qtbot, box: SpinBox | DoubleSpinBox, text: str) -> float:
    box.selectAll()
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, Qt.Key.Key_Return)
    return box.value()


def test_a_comma_and_a_point_are_the_same_sign(qtbot, language) -> None:
    box = DoubleSpinBox("Lose", 0, 100, 2, " pt")
    box.setPrefix("lose ")
    qtbot.addWidget(box)
    box.show()
    for typed, value in (("0,75", 0.75), ("0.75", 0.75), (",5", 0.5), ("12", 12.0), ("99,99", 99.99)):
        assert type_into(qtbot, box, typed) == value
        assert box.text() == f"lose {value:.2f} pt"
    QApplication.clipboard().setText("1,25")
    box.selectAll()
    qtbot.keyClick(box, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert box.value() == 1.25


def test_a_field_of_whole_numbers_takes_no_part_of_a_fraction_for_one(qtbot, language) -> None:
    whole, share = SpinBox("Keep", 1, 10_000, " %"), DoubleSpinBox("Keep at most", 1, 100, 0, " %")
    for box in (whole, share):
        qtbot.addWidget(box)
        box.show()
        box.setValue(50)
        for typed in ("0,75", "0.75"):
            assert type_into(qtbot, box, typed) == 50 and box.text() == "50 %"
        assert type_into(qtbot, box, "70") == 70
    assert type_into(qtbot, whole, "1,000") == 70 and type_into(qtbot, whole, "1000") == 1000


def test_the_goal_is_what_was_typed(qtbot, language) -> None:
    document = opened()
    over = Window(document.workbench)
    bar = TopBar(over)
    over.setCentralWidget(bar)
    qtbot.addWidget(over)
    over.show()
    type_into(qtbot, bar.lose, "0,75")
    assert document.goal.lose == 0.75 and bar.lose.text() == "lose 0.75 pt"


def test_thresholds_and_filters_take_both_signs(qtbot, language) -> None:
    document = opened()
    over = Window(document.workbench)
    qtbot.addWidget(over)
    dialog = MarkDialog(over, StructureChoice.BELOW)
    for typed in ("0,5", "0.5"):
        dialog.value.setText(typed)
        assert dialog.rule().low == 0.5
    dialog.which.setCurrentIndex(dialog.which.findData(str(StructureChoice.BETWEEN)))
    for typed in ("0,1 0,3", "0,1; 0,3", "0.1, 0.3", "0,1, 0,3"):
        dialog.value.setText(typed)
        assert (dialog.rule().low, dialog.rule().high) == (0.1, 0.3)
    assert parse("score < 0,1") == parse("score < 0.1") and parse("score 0,1..0,3") == parse("score 0.1..0.3")


def test_lists_of_numbers_are_read_as_they_are_meant() -> None:
    means = (0.485, 0.456, 0.406)
    for typed in ("0.485, 0.456, 0.406", "0.485,0.456,0.406", "0,485 0,456 0,406", "0,485; 0,456; 0,406"):
        assert numbers(typed) == means
    assert numbers("0,5") == numbers("0.5") == (0.5,)
    assert shares("80 %, 50, 12,5") == (0.8, 0.5, 0.125) and shares("50,20") == shares("50 20") == (0.5, 0.2)
    with pytest.raises(ValueError, match="1,250"):
        numbers("1,250; 3")


def test_no_field_of_the_window_reads_numbers_in_a_way_of_its_own() -> None:
    found = [
        path.name for path in Path(app.__file__).parent.rglob("*.py")
        if re.search(r"\bQ(Double)?SpinBox\(|QInputDialog|\bQ(Double|Int)Validator\b", path.read_text("utf-8"))
    ]  # fmt: skip
    assert not found
