"""Where a state can go: what each format is for, what the engine refuses, and what was written."""

import numpy as np
import pytest
from PySide6.QtCore import Qt

from secateur.app.document.aspects import Aspect
from secateur.app.panels.destinations import DestinationsPanel
from secateur.engine.errors import Message
from secateur.engine.export.table import EXPORTERS
from tests.app.stand_in import StandIn, exported, opened, travelled


@pytest.fixture
def panel(shown) -> DestinationsPanel:
    return shown(DestinationsPanel(travelled().workbench), 1000, 420)


def answers(document: StandIn) -> list:
    """What waits for the engine's refusals."""
    return [arguments[0] for name, arguments in document.calls if name == "find_refusals"]


def test_every_format_says_what_it_is_for_and_can_be_chosen(panel) -> None:
    for name, format in EXPORTERS.items():
        assert panel.words[name].text() == format.purpose and format.purpose.endswith(".")
        assert panel.exports[name].isEnabled() and not panel.written[name].isVisible()
    assert not panel.first.isVisible()


def test_a_format_that_cannot_be_written_says_why_until_another_state_is_there(panel) -> None:
    document = panel.document
    (take,) = answers(document)
    take({"gguf": Message("export.no_llama", "This is no {what}.", {"what": "Llama"})})
    assert panel.words["gguf"].text() == "This is no Llama." and not panel.exports["gguf"].isEnabled()
    assert panel.exports["onnx"].isEnabled()
    document.announce(Aspect.STATES)
    assert len(answers(document)) == 1
    document.plan.go_to("s0")
    assert panel.words["gguf"].text() == EXPORTERS["gguf"].purpose and len(answers(document)) == 2
    take({"onnx": Message("late", "Too late.")})
    assert panel.exports["onnx"].isEnabled()


def test_nothing_is_asked_of_the_engine_while_nobody_looks(panel) -> None:
    document = panel.document
    panel.hide()
    document.plan.go_to("s1")
    assert len(answers(document)) == 1
    panel.show()
    assert len(answers(document)) == 2


def test_a_plan_has_to_be_cut_before_it_is_exported(panel) -> None:
    panel.document.plan.mark(np.arange(40, 48), True)
    assert panel.first.isVisible() and panel.first.text()
    assert not any(one.isEnabled() for one in panel.exports.values())


def test_what_was_written_of_this_state_shows_its_receipt(panel, qtbot) -> None:
    document = panel.document
    document.take_export("s2", exported())
    document.show_receipt(None)
    assert panel.written["onnx"].isVisible() and panel.written["onnx"].text() == "written, 1.53 MB"
    qtbot.mouseClick(panel.written["onnx"], Qt.MouseButton.LeftButton)
    assert document.contents.receipt.state == "s2" and document.contents.receipt.exported == exported()
    document.plan.go_to("s0")
    assert not panel.written["onnx"].isVisible()


def test_a_button_asks_for_the_dialog_with_its_format_chosen(panel, qtbot, monkeypatch) -> None:
    asked, run = [], []

    class Window:
        run_command = run.append

    monkeypatch.setattr("secateur.app.dialogs.export.ExportDialog", lambda window, format: asked.append(format))
    panel.document.requested.connect(lambda request: request(Window()))
    qtbot.mouseClick(panel.exports["openvino"], Qt.MouseButton.LeftButton)
    assert asked == ["openvino"]
    panel._run("file.share")
    assert run == ["file.share"]


def test_without_a_model_it_says_that_there_is_none(shown) -> None:
    panel = shown(DestinationsPanel(StandIn().workbench), 600, 300)
    assert not panel.exports["onnx"].isVisible()
    assert shown(DestinationsPanel(opened().workbench), 600, 300).exports["onnx"].isVisible()
