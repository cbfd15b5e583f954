"""The box of criteria: a hand chooses among those that are available, and the others say why they are not."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel

from secateur.app.panels.tree.options import CriterionBox
from secateur.engine.scoring.criteria import CRITERIA
from tests.app.stand_in import opened


def _box(qtbot, task: bool = True) -> CriterionBox:
    box = CriterionBox(opened(task=task))
    qtbot.addWidget(box)
    box.show()
    return box


def _entry(box: CriterionBox, name: str) -> tuple[bool, str]:
    """(can be chosen, tooltip)."""
    place, model = box.findData(name), box.model()
    assert isinstance(model, QStandardItemModel)
    return model.item(place).isEnabled(), str(box.itemData(place, Qt.ItemDataRole.ToolTipRole))


def test_all_criteria_are_listed_and_the_one_in_use_is_shown(qtbot, dressed) -> None:
    box = _box(qtbot)
    assert [box.itemData(n) for n in range(box.count())] == list(CRITERIA)
    assert box.currentData() == box.document.criterion == "obs"
    assert CRITERIA["obs"].formula in box.toolTip() and "forward passes" in box.toolTip()


def test_what_needs_data_is_greyed_with_the_reason_until_a_task_is_attached(qtbot, dressed) -> None:
    box = _box(qtbot, task=False)
    can, reason = _entry(box, "wanda")
    assert not can and "Attach data, or choose" in reason
    assert _entry(box, "l2")[0]
    task = opened().task
    assert task is not None
    box.document.take_task(task)
    can, words = _entry(box, "wanda")
    assert can and "forward passes" in words


@pytest.mark.parametrize("name", ["taylor", "gates", "fisher"])
def test_a_task_without_a_loss_greys_what_needs_one(qtbot, dressed, name: str) -> None:
    box = _box(qtbot)
    assert box.document.task is not None
    box.document.take_task(replace(box.document.task, loss=False))
    can, reason = _entry(box, name)
    assert not can and "needs a loss" in reason


def test_a_key_chooses_and_passes_over_what_is_not_available(qtbot, dressed) -> None:
    box = _box(qtbot, task=False)
    assert box.currentData() == "l1"
    for _ in range(2):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    assert box.document.criterion == "batchnorm"  # l2, then past taylor, gates and fisher, which need data
