"""Recoveries as jobs from the window: the folder that is carried there, and the states that come back."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from secateur.app.commands import command_named
from secateur.app.dialogs.remote_bench import WriteJob, ask_job_results
from secateur.app.widgets.check_boxes import CheckBox
from secateur.engine.session.states import StateKind


def cut_state(player):
    """A cut of the original, with something removed, as the present state."""
    document = player.document
    key = document.analysis.sets[0].key
    cut = replace(document.original, id="s1", parent="s0", kind=StateKind.CUT, removed={key: [0]}, weights="a" * 64)
    document.add_state(cut, "cut")
    return cut


def test_the_folder_is_written_with_the_settings_of_a_recovery_here(qtbot, player, window, tmp_path: Path) -> None:
    cut_state(player)
    dialog = WriteJob(window)
    qtbot.addWidget(dialog)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    dialog.show()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    (tmp_path / "full" / "job.json").write_text("{}")
    dialog.path.setText(str(tmp_path / "full"))
    assert not dialog.accept_button.isEnabled() and "already holds other files" in dialog.missing.text()
    for text in ("~nobody-of-this-name/job", "a\0b"):
        dialog.path.setText(text)
        assert not dialog.accept_button.isEnabled() and "cannot be read" in dialog.missing.text()
    dialog.path.setText(str(tmp_path / "job"))
    dialog.device.setCurrentText("cpu")
    divided = dialog.divided.widgets["shard"]
    assert isinstance(divided, CheckBox)
    divided.setChecked(True)
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    folder = str(tmp_path / "job")
    settings = replace(player.document.recovery, shard=True)
    assert player.link.asked("write_job") == ("s1", folder, settings, "cpu") and not player.document.recovery.shard
    player.answer("write_job", (folder, ("/data/images",)))
    assert player.sentences[-1].startswith(f"Written to {folder}. Copy it to the other machine and run sh run.sh there")
    assert "named with --moved: /data/images." in player.sentences[-1]
    receipt = player.document.contents.receipt
    assert (receipt.path, receipt.command) == (folder, "sh run.sh") and "not copied" in receipt.facts[-1]


def test_results_become_the_present_state_once(player, window, tmp_path: Path) -> None:
    cut, document = cut_state(player), player.document
    curve = ({"step": 10.0, "loss": 0.5}, {"step": 10.0, "metric": 0.8})
    recovered = replace(cut, id="s2", parent="s1", kind=StateKind.RECOVERED, weights="b" * 64, curve=curve)
    ask_job_results(window)
    dialog = window.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(tmp_path))
    dialog.close()
    assert player.link.asked("take_job") == (str(tmp_path),)
    player.answer("take_job", (recovered,))
    assert "Read 1 state from" in player.sentences[-1] and document.contents.present == "s2"
    assert document.contents.training.state == "s1" and len(document.contents.training.points) == 2
    player.workbench.job_folders.read(str(tmp_path))
    player.answer("take_job", (recovered,))
    assert "were read before" in player.sentences[-1] and document.contents.present == "s2"


def test_a_job_needs_something_to_recover(player) -> None:
    command = command_named("run.job")
    assert command.enabled(player.document) == "Cut something first."
    cut_state(player)
    assert command.enabled(player.document) == ""
