"""The small widgets: nothing clipped, nothing changed by accident, everything with a name."""

import math
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QAction, QGuiApplication, QWheelEvent
from PySide6.QtWidgets import QDialog, QLabel, QMainWindow, QStyle, QStyleOptionComboBox, QVBoxLayout, QWidget
from scipy import stats

from secateur.app.widgets.buttons import Chip, ElidedButton
from secateur.app.widgets.card import EmptyState, ErrorBar
from secateur.app.widgets.fields import ComboBox, DoubleSpinBox, FilterLine, SpinBox
from secateur.app.widgets.flow import FlowLayout
from secateur.app.widgets.labels import label
from secateur.app.widgets.plot import spread
from secateur.app.widgets.score_map import ScoreScale


def test_a_combo_box_shows_its_widest_choice_whole(qtbot, dressed) -> None:
    box = ComboBox("Target")
    qtbot.addWidget(box)
    box.addItems(["a", "This CPU, onnxruntime, 1 thread, batch 64"])
    box.setCurrentIndex(1)
    box.resize(box.sizeHint())
    box.show()
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(
        QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, box
    )
    assert box.fontMetrics().horizontalAdvance(box.currentText()) <= field.width()


def test_spin_boxes_show_their_widest_value_whole(qtbot, dressed) -> None:
    boxes: list[Any] = [SpinBox("Keep", 1, 14336, " filters"), DoubleSpinBox("Goal", 0, 100, 2, " points")]
    for box in boxes:
        qtbot.addWidget(box)
        box.setValue(box.maximum())
        box.resize(box.sizeHint())
        box.show()
        line = box.lineEdit()
        margins = line.textMargins()
        room = line.width() - margins.left() - margins.right() - 4
        assert box.fontMetrics().horizontalAdvance(box.text()) <= room


def test_escape_takes_back_what_was_typed_and_is_no_shortcut_of_the_window(qtbot, dressed) -> None:
    window, pressed = QMainWindow(), []
    qtbot.addWidget(window)
    page = QWidget()
    window.setCentralWidget(page)
    fields: list[Any] = [SpinBox("Epochs", 0, 500), DoubleSpinBox("Keep", 1, 100, 0, " %"), FilterLine("Filter")]
    layout = QVBoxLayout(page)
    for field in fields:
        layout.addWidget(field)
    cancel = QAction("Cancel job", window)
    cancel.setShortcut("Esc")
    cancel.triggered.connect(lambda: pressed.append(1))
    window.addAction(cancel)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    for field in fields:
        before = field.text()
        field.setFocus()
        qtbot.keyClicks(field, "4")
        assert field.text() != before
        for _ in range(2):
            qtbot.keyClick(field, Qt.Key.Key_Escape)
        assert field.text() == before and not pressed
    fields[-1].clearFocus()
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert pressed


def test_escape_closes_a_dialog_from_a_field_in_which_nothing_was_typed(qtbot, dressed) -> None:
    dialog = QDialog()
    qtbot.addWidget(dialog)
    box = SpinBox("Epochs", 0, 500)
    box.setSpecialValueText("as the state")
    QVBoxLayout(dialog).addWidget(box)
    dialog.show()
    box.selectAll()
    qtbot.keyClicks(box, "7")
    assert box.text() == "7"
    qtbot.keyClick(box, Qt.Key.Key_Escape)
    assert dialog.isVisible() and box.text() == "as the state"
    qtbot.keyClick(box, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_a_wheel_that_scrolls_past_changes_no_field(qtbot) -> None:
    box = ComboBox("Target")
    qtbot.addWidget(box)
    box.addItems(["a", "b"])
    box.show()
    box.clearFocus()
    turned = QWheelEvent(
        QPointF(5, 5), box.mapToGlobal(QPointF(5, 5)), QPoint(0, -120), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QGuiApplication.sendEvent(box, turned)
    assert box.currentText() == "a"


def test_an_error_shows_its_sentence_and_folds_its_details(qtbot) -> None:
    bar = ErrorBar()
    qtbot.addWidget(bar)
    assert bar.isHidden()
    bar.show_error("The file is no model. Choose another.", "Traceback ...")
    assert bar.isVisible() and bar.sentence.text() == "The file is no model. Choose another."
    assert bar.details.isHidden()
    qtbot.mouseClick(bar.fold, Qt.MouseButton.LeftButton)
    assert bar.details.isVisible()
    qtbot.mouseClick(bar.copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "The file is no model. Choose another.\n\nTraceback ..."
    qtbot.mouseClick(bar.dismiss, Qt.MouseButton.LeftButton)
    assert bar.isHidden()


def test_an_error_without_details_offers_none(qtbot) -> None:
    bar = ErrorBar()
    qtbot.addWidget(bar)
    bar.show_error("No.")
    assert bar.fold.isHidden()


def test_an_empty_panel_offers_its_one_step(qtbot) -> None:
    empty = EmptyState("Title", "What it is for.", "Do it")
    qtbot.addWidget(empty)
    empty.show()
    with qtbot.waitSignal(empty.stepped):
        qtbot.mouseClick(empty.step, Qt.MouseButton.LeftButton)
    empty.say("Title", "Nothing to do.")
    assert empty.step.isHidden()


def test_chips_wrap_and_say_what_they_count(qtbot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    row = FlowLayout(holder)
    chips = [Chip(t) for t in ("All", "Prunable", "Marked")]
    for chip in chips:
        row.addWidget(chip)
    chips[0].tell("1,184", "1,184 structures in all")
    assert chips[0].text() == "All 1,184" and chips[0].accessibleName() == "All, 1,184 structures in all"
    holder.resize(1000, 80)
    holder.show()
    assert len({c.y() for c in chips}) == 1
    holder.resize(max(c.sizeHint().width() for c in chips) + 10, 200)
    assert [c.y() for c in chips] == sorted({c.y() for c in chips})


def test_labels_of_near_points_do_not_touch() -> None:
    points = [QPointF(100, 100), QPointF(104, 103), QPointF(98, 96), QPointF(390, 100)]
    area = QRectF(0, 0, 400, 300)
    line = QRectF(0, 99, 400, 2)
    boxes = spread(points, [QSizeF(90, 14)] * 4, area, [line])
    for n, box in enumerate(boxes):
        assert area.contains(box)
        assert not box.intersects(line)
        assert not any(box.intersects(other) for other in boxes[n + 1 :])


def test_a_number_and_its_unit_stay_in_one_line(qtbot) -> None:
    words = "About 7 min if 50 % of 1.5 GB is kept."
    made = label(words, wrap=True)
    qtbot.addWidget(made)
    shown = QLabel.text(made)
    assert made.text() == words
    assert shown.split(" ") == ["About", "7\u00a0min", "if", "50\u00a0%", "of", "1.5\u00a0GB", "is", "kept."]


def test_a_button_that_opens_a_dialog_keeps_the_beginning_of_its_words(qtbot) -> None:
    made = ElidedButton(11)
    qtbot.addWidget(made)
    made.resize(made.sizeHint())
    made.say("Attach data...")
    assert made.elided and made.shown().startswith("Attach") and made.shown().endswith("\u2026")
    assert "." not in made.shown()
    made.say("Fashion-MNIST, 10 classes")
    assert made.shown()[-1] == "s"  # a name keeps both ends


def test_one_outlier_leaves_colours_and_numbers_of_the_others_apart() -> None:
    scores = np.array([0.0031, 0.0012, 0.0044, 0.0012, 0.72, np.nan])
    scale = ScoreScale.of(scores)
    assert scale.fractions(scores)[:5] == pytest.approx((stats.rankdata(scores[:5]) - 1) / 4)
    assert math.isnan(scale.fractions(scores)[5]) and math.isnan(scale.fraction(math.nan))
    assert [scale.text(one) for one in scores] == ["0.0031", "0.0012", "0.0044", "0.0012", "0.7200", ""]
    assert scale.text(3e-7) == "3.0e\u22127", "rounded to zero it would look like none"


def test_gates_are_coloured_by_how_open_they_are() -> None:
    scale = ScoreScale.of(np.array([0.0, 0.5, 0.9, 1.0]), ranked=False)
    assert scale.fractions(np.array([0.25, 0.9])) == pytest.approx([0.25, 0.9])
