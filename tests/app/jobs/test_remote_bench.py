"""Measuring on another machine from the window: the folder that is carried there, and the results that come back."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog

from secateur.app.commands import command_named
from secateur.app.dialogs.remote_bench import MeasureOverSsh, WriteBench, ask_results
from secateur.app.panels.ledger_figures import ledger_figures
from secateur.app.window.top_bar import TopBar
from secateur.engine.subprocesses.ssh import read_address
from secateur.engine.targets.protocol import TargetSpec, Timing
from secateur.engine.targets.remote import target_over_ssh


def test_the_folder_is_written_for_original_and_present_state_at_what_a_bench_can_measure(
    qtbot, player, window, tmp_path: Path
) -> None:
    player.document.set_target(TargetSpec("torch", 2, 8, 4))
    dialog = WriteBench(window)
    qtbot.addWidget(dialog)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    dialog.show()
    dialog.path.setText(str(tmp_path / "none" / "away"))
    assert not dialog.accept_button.isEnabled()
    dialog.path.setText(str(tmp_path / "away"))
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    states, folder, target = player.link.asked("write_bench")
    assert (states, folder) == (("s0",), str(tmp_path / "away"))
    assert target == TargetSpec("onnxruntime", 2, 8, 4)
    player.answer("write_bench", (folder, "python bench.py --out results.json"))
    assert "run python bench.py --out results.json there" in player.sentences[-1]


def test_a_precision_that_a_bench_cannot_measure_is_refused(qtbot, player, window, tmp_path: Path) -> None:
    player.document.set_target(TargetSpec("onnxruntime", 2, 8, 4, precision="int8"))
    dialog = WriteBench(window)
    qtbot.addWidget(dialog)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    dialog.show()
    dialog.path.setText(str(tmp_path / "away"))
    assert not dialog.accept_button.isEnabled()
    assert "bench.py measures only in fp32, not in int8" in dialog.missing.text()


def test_results_become_latencies_of_a_target_that_is_not_measured_here(qtbot, player, window, tmp_path) -> None:
    document = player.document
    workbench = player.workbench
    ask_results(window)
    dialog = window.findChild(QFileDialog)
    assert dialog is not None
    dialog.fileSelected.emit(str(tmp_path / "results.json"))
    dialog.close()
    assert player.link.asked("take_bench") == (str(tmp_path / "results.json"),)
    away = TargetSpec("onnxruntime", 4, 1, machine="jetson")
    timing = Timing(away, 2.5, 2.4, 2.7, 100, "ARM, 6 cores, onnxruntime 1.32")
    player.answer("take_bench", (replace(document.original, timings=(timing,)),))
    assert document.target == replace(away, multiple=document.target.multiple)
    figure = ledger_figures(document)["latency"]
    assert figure.number == "2.50 ms" and "ARM, 6 cores" in figure.tip
    assert "Latencies of 1 state, measured on jetson" in player.sentences[-1]
    assert "The target is jetson" in command_named("run.measure").enabled(document)
    calls = [name for name, _ in player.link.calls.values()].count("measure")
    workbench.states.measure()
    assert [name for name, _ in player.link.calls.values()].count("measure") == calls
    assert "another machine" in player.sentences[-1]


def test_states_are_measured_over_ssh_and_the_machine_is_offered_again(qtbot, player, window) -> None:
    def opened() -> MeasureOverSsh:
        dialog = MeasureOverSsh(window)
        qtbot.addWidget(dialog)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        dialog.show()
        return dialog

    dialog = opened()
    assert not dialog.accept_button.isEnabled() and dialog.missing.text() == "Enter a machine."
    dialog.machine.setCurrentText("-oProxyCommand=evil")
    assert not dialog.accept_button.isEnabled() and "is no address of a machine" in dialog.missing.text()
    dialog.machine.setCurrentText("me@board")
    dialog.python.setText("python3")
    assert not dialog.accept_button.isEnabled() and "whole path of Python" in dialog.missing.text()
    dialog.python.setText("/opt/python3")
    dialog.provider.setCurrentText("TensorrtExecutionProvider")
    dialog.options.setText("trt_fp16_enable")
    assert not dialog.accept_button.isEnabled() and "NAME=VALUE" in dialog.missing.text()
    dialog.options.setText("trt_fp16_enable=True  device_id=1")
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    states, target = player.link.asked("measure")
    assert states == ("s0",) and target.address == "ssh://me@board/opt/python3"
    device = "Tensorrt trt_fp16_enable=True device_id=1"
    assert (target.runtime, target.machine, target.device) == ("onnxruntime", "board", device)
    assert player.document.target != target  # it may not be reached
    player.answer("measure", (Timing(replace(target, address=""), 2.5, 2.4, 2.7, 100, "ARM, 6 cores"),))
    assert "Latencies of 1 state, measured on board" in player.sentences[-1]
    assert ledger_figures(player.document)["latency"].number == "2.50 ms"
    again = opened()
    assert again.machine.currentText() == "me@board/opt/python3"
    again.machine.lineEdit().selectAll()
    qtbot.keyClick(again.machine.lineEdit(), Qt.Key.Key_Return)  # it is not taken for a completion
    assert player.link.asked("measure")[1].address == "ssh://me@board/opt/python3" and not again.isVisible()


def test_another_machine_is_among_the_targets(qtbot, player, window, monkeypatch) -> None:
    asked = list[str]()
    monkeypatch.setattr(window, "run_command", asked.append)
    target = TopBar(window).target
    before = target.currentText()
    target.activated.emit(target.findText("Another machine..."))
    assert asked == ["run.over_ssh"] and target.currentText() == before


def test_a_machine_that_is_reached_is_a_target_like_this_one(qtbot, player, window) -> None:
    board = target_over_ssh(TargetSpec(multiple=8), read_address("ssh://me@board"), "OpenVINOExecutionProvider")
    document = player.document
    document.set_target(board)
    before = len(player.link.calls)
    player.workbench.states.measure(background=True)
    assert len(player.link.calls) == before  # nobody has asked for it
    player.workbench.states.measure()
    assert player.link.asked("measure")[1].address == "ssh://me@board"
    assert "other machine" not in command_named("run.latencies").enabled(document)
    player.workbench.plan.measure_latencies()
    (target,) = player.link.asked("latencies")
    assert (target.address, target.device) == ("ssh://me@board", "OpenVINO")
