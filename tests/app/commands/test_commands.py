"""The table of commands, and what is made from it."""

import ast
from importlib import import_module

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QLabel

from secateur.app.commands import COMMANDS, command_named
from secateur.app.commands.actions import Actions
from secateur.app.commands.registry import next_step
from secateur.app.document.aspects import Goal
from secateur.app.panels.recovery.panel import RecoveryPanel
from secateur.app.window.command_palette import CommandPalette, rank
from secateur.app.window.shortcut_sheet import ShortcutSheet
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from tests.conftest import ROOT

from .. import stand_in
from ..playing import Window as FakeWindow


class Window(FakeWindow):
    def __init__(self, document):
        super().__init__(document.workbench)
        self.commands = Actions(self)

    def run_command(self, name: str) -> None:
        self.commands.run(command_named(name))


@pytest.fixture
def window(qtbot, dressed):
    window = Window(stand_in.opened())
    qtbot.addWidget(window)
    return window


def test_no_two_commands_share_an_id_or_a_shortcut():
    ids = [one.id for one in COMMANDS]
    keys = [QKeySequence(one.shortcut).toString() for one in COMMANDS if one.shortcut]
    assert len(set(ids)) == len(ids) and len(set(keys)) == len(keys)


def test_every_dialog_that_a_command_opens_is_there():
    opened = [
        [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
        for path in sorted((ROOT / "app" / "commands").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "opens"
    ]
    assert len(opened) > 30
    for module, name in opened:
        assert callable(getattr(import_module(f"secateur.app.dialogs.{module}"), str(name)))


def test_every_command_says_in_a_sentence_what_it_does():
    assert all(
        (one.tooltip.endswith(".") and one.title and not one.title.endswith(".")) or one.title.endswith("...")
        for one in COMMANDS
    )


def test_every_disabled_command_has_a_reason_in_words(window):
    window.document.contents.task = None
    for command in COMMANDS:
        action = window.commands.by_id[command.id]
        if not action.isEnabled():
            assert action.toolTip().endswith(".") and action.toolTip() != command.tooltip


def test_actions_follow_the_document(window):
    cut = window.commands.by_id["run.cut"]
    assert not cut.isEnabled()
    window.document.plan.mark([40, 41], True)
    assert cut.isEnabled() and cut.text() == "Cut 2 structures"
    assert window.commands.by_id["edit.undo"].text() == "Undo mark 2 structures"
    window.document.plan.undo()
    assert not cut.isEnabled() and window.commands.by_id["edit.redo"].isEnabled()


def test_a_command_that_cannot_be_done_says_why_and_does_nothing(window):
    said = []
    window.document.announced.connect(said.append)
    window.commands.run(command_named("run.cut"))
    assert window.document.calls == [] and "marked" in said[0]


def test_a_number_that_was_typed_counts_when_a_shortcut_is_pressed(qtbot, dressed):
    window = Window(stand_in.travelled())
    qtbot.addWidget(window)
    panel = RecoveryPanel(window.workbench)
    window.setCentralWidget(panel)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    panel.epochs.setFocus()
    panel.epochs.selectAll()
    qtbot.keyClicks(panel.epochs, "12")
    assert window.document.recovery.epochs != 12
    qtbot.keyClick(panel.epochs, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    (method, (settings,)) = window.document.calls[-1]  # pyright: ignore[reportAttributeAccessIssue]
    assert (method, settings.epochs) == ("recover", 12)


def test_a_recovery_without_epochs_is_called_by_what_it_does_everywhere(player):
    document, command = player.document, command_named("run.recover")
    workbench = player.workbench
    for epochs, repair, words in (
        (1, Repair.NONE, "Recover, 1 epoch"),
        (0, Repair.BIAS, "Repair without training"),
        (0, Repair.NONE, "Recalibrate BatchNorm"),
    ):
        document.set_recovery(RecoverySettings(epochs=epochs, repair=repair))
        assert command.title_now(document) == words
        workbench.states.recover(document.recovery)
        assert document.jobs[-1].title == words
        player.stop("recover")


def test_the_next_step_follows_the_road(qapp):
    document = stand_in.StandIn()
    assert next_step(document).id == "file.open"
    document = stand_in.opened()
    assert next_step(document).id == "edit.suggest"
    document.plan.mark([40], True)
    assert next_step(document).id == "run.cut"
    document = stand_in.travelled()
    assert next_step(document).id == "file.export_onnx"
    document.plan.enter("s1", "back")
    assert next_step(document).id == "run.recover"
    document.plan.set_goal(Goal(0.99, 15.0))
    assert next_step(document).id == "file.export_onnx"  # the cut has all that was asked for


def test_the_palette_finds_a_command_by_a_few_letters_and_runs_it(qtbot, window):
    palette = CommandPalette(window)
    qtbot.addWidget(palette)
    palette.show()
    qtbot.keyClicks(palette.box, "sugpl")
    assert palette.list.currentItem().text(0) == "Suggest plan"
    qtbot.keyClick(palette.box, Qt.Key.Key_Return)
    assert window.document.calls == [("suggest", ())]


def test_the_palette_also_looks_into_what_commands_do_and_says_when_there_is_none(qtbot, window):
    palette = CommandPalette(window)
    qtbot.addWidget(palette)
    palette.show()
    qtbot.keyClicks(palette.box, "python script")
    assert palette.list.currentItem().text(0) in ("Show recipe", "Export script...")
    palette.box.clear()
    qtbot.keyClicks(palette.box, "engine")
    assert palette.list.currentItem().text(0) == "Connect to an engine..."
    palette.box.clear()
    qtbot.keyClicks(palette.box, "qqzzx")
    assert palette.list.topLevelItemCount() == 1 and palette.list.topLevelItem(0).text(1).startswith("No command")
    qtbot.keyClick(palette.box, Qt.Key.Key_Return)
    assert palette.isVisible() and not window.document.calls


def test_the_palette_greys_what_cannot_be_done_with_the_reason_and_does_not_run_it(qtbot, window):
    palette = CommandPalette(window)
    qtbot.addWidget(palette)
    palette.show()
    qtbot.keyClicks(palette.box, "cut")
    item = palette.list.findItems("Cut", Qt.MatchFlag.MatchExactly)[0]
    assert "Nothing is marked" in item.text(1)
    palette.list.setCurrentItem(item)
    qtbot.keyClick(palette.box, Qt.Key.Key_Return)
    assert palette.isVisible() and window.document.calls == []


def test_arrow_keys_in_the_box_move_in_the_list(qtbot, window):
    palette = CommandPalette(window)
    qtbot.addWidget(palette)
    palette.show()
    qtbot.keyClick(palette.box, Qt.Key.Key_Down)
    assert palette.list.currentItem() is palette.list.topLevelItem(1)


def test_letters_in_order_match_and_starts_of_words_rank_first():
    assert rank("exon", "Export ONNX...") >= 0
    assert rank("xyz", "Export ONNX...") < 0
    assert rank("eo", "Export ONNX...") < rank("eo", "Recover, 3 epochs")


def test_the_sheet_shows_every_shortcut_and_fits_into_the_smallest_window(qtbot, window):
    window.show()
    ShortcutSheet(window).open()
    sheet = window.findChild(QDialog)
    texts = [each.text() for each in sheet.findChildren(QLabel)]
    for one in COMMANDS:
        if one.shortcut:
            assert one.title in texts and any(QKeySequence(one.shortcut).toString() in text for text in texts)
    assert sheet.sizeHint().height() <= 700 and sheet.sizeHint().width() <= 1024
    sheet.close()
