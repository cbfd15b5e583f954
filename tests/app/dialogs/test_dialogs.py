"""Dialogs as a hand fills them in: what they ask the document for, and what they refuse."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QFormLayout, QLabel, QPushButton

from secateur.app.dialogs.about import About
from secateur.app.dialogs.attach_data import AttachData
from secateur.app.dialogs.baselines import Baselines
from secateur.app.dialogs.consent import ConsentDialog
from secateur.app.dialogs.consent import ask as ask_consent
from secateur.app.dialogs.export import ExportDialog
from secateur.app.dialogs.form import FormDialog, Replace
from secateur.app.dialogs.open_model import KINDS, OpenModel
from secateur.app.dialogs.settings_fields import numbers, shape
from secateur.app.dialogs.target import TargetDialog
from secateur.app.document.job_state import ConsentRequest
from secateur.app.window.top_bar import target_words
from secateur.engine.baselines.protocol import BaselineKind
from secateur.engine.errors import Message, OpenError
from secateur.engine.machine.installation import how_to_update, version
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import TaskSpec

from .. import stand_in
from ..playing import Window


@pytest.fixture
def window(qtbot, dressed):
    window = Window(stand_in.travelled().workbench)
    qtbot.addWidget(window)
    return window


def asked(window: Window, method: str) -> list[tuple]:
    """What a job was asked for with."""
    return [arguments for name, arguments in window.document.calls if name == method]  # pyright: ignore[reportAttributeAccessIssue]


def shown(qtbot, dialog):
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def choose(box, title: str):
    box.setCurrentIndex(next(i for i in range(box.count()) if box.itemText(i).startswith(title)))


def press(qtbot, dialog):
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)


def test_about_says_which_version_it_is_and_how_a_newer_one_comes(qtbot, window):
    said = [one.text() for one in shown(qtbot, About(window)).findChildren(QLabel)]
    assert f"Secateur {version()}" in said and version()
    assert str(how_to_update()) in said


def test_rows_keep_their_height_when_words_that_wrapped_have_room_in_one_line(qtbot, window) -> None:
    dialog = shown(qtbot, OpenModel(window))
    dialog.data.kind.setCurrentIndex(1)
    wide, high = dialog.sizeHint().width(), dialog.sizeHint().height() + 60
    dialog.setMinimumSize(0, 0)
    for width in (wide - 2, wide):  # boxes in two lines, and in one
        dialog.resize(width, high)
        QApplication.processEvents()
        fields = [dialog.form.itemAt(n, QFormLayout.ItemRole.FieldRole) for n in range(dialog.form.rowCount())]
        shown_now = [item for item in fields if item is not None and not item.isEmpty()]
        squeezed = [item for item in shown_now if item.geometry().height() < item.sizeHint().height()]
        assert len(shown_now) > 8 and not squeezed, width


def test_a_model_of_ones_own_with_checkpoint_shape_and_data(qtbot, window, tmp_path: Path):
    code, weights, images = tmp_path / "net.py", tmp_path / "net.pt", tmp_path / "images"
    code.write_text("")
    weights.write_text("")
    images.mkdir()
    dialog = shown(qtbot, OpenModel(window))
    assert not dialog.accept_button.isEnabled()
    qtbot.keyClicks(dialog.name, f"{code}:make")
    qtbot.keyClicks(dialog.weights, str(weights))
    qtbot.keyClicks(dialog.inputs, "1x3x32x32")
    qtbot.keyClicks(dialog.outputs, "logits, boxes.0")
    choose(dialog.data.kind, "Image folder")
    qtbot.keyClicks(dialog.data.path, str(images))
    qtbot.keyClicks(dialog.data.lines["mean"], "0.5, 0.5, 0.5")
    qtbot.keyClicks(dialog.data.lines["std"], "0.2 0.2 0.2")
    qtbot.keyClicks(dialog.data.lines["size"], "32x32")
    for box in (dialog.own_class, dialog.ignore_unused):
        qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    press(qtbot, dialog)
    task = TaskSpec("folder", str(images), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (32, 32))
    assert window.opened == [
        ModelSpec(
            f"{code}:make",
            str(weights),
            (1, 3, 32, 32),
            task=task,
            outputs=("logits", "boxes.0"),
            own_class=True,
            ignore_unused=True,
        )
    ]


def test_a_table_with_its_columns_and_the_tokeniser(qtbot, window, tmp_path: Path):
    table = tmp_path / "pairs.csv"
    table.write_text("")
    dialog = shown(qtbot, AttachData(window))
    choose(dialog.data.kind, "CSV")
    assert dialog.data.lines["label"].isVisible() and not dialog.data.lines["size"].isVisible()
    qtbot.keyClicks(dialog.data.path, str(table))
    choose(dialog.data.purpose, "Sentence similarity")
    qtbot.keyClicks(dialog.data.lines["features"], "first, second")
    qtbot.keyClicks(dialog.data.lines["tokenizer"], "no-such-file")
    assert "no-such-file does not exist" in dialog.missing.text()
    dialog.data.lines["tokenizer"].setText("bytes")
    qtbot.keyClicks(dialog.data.lines["length"], "1")
    assert "whole number of 2 or more" in dialog.missing.text() and not dialog.accept_button.isEnabled()
    qtbot.keyClicks(dialog.data.lines["length"], "28")
    press(qtbot, dialog)
    options = (("purpose", "similarity"), ("features", "first, second"), ("tokenizer", "bytes"), ("length", "128"))
    assert asked(window, "attach_task") == [(TaskSpec("csv", str(table), options=options),)]


def test_images_with_boxes_are_opened_in_small_batches(qtbot, window, tmp_path: Path):
    dialog = shown(qtbot, OpenModel(window))
    choose(dialog.kind, "torchvision")
    qtbot.keyClicks(dialog.name, "ssdlite320_mobilenet_v3_large")
    choose(dialog.data.kind, "Images with boxes")
    assert not dialog.data.purpose.isVisible() and not dialog.data.lines["mean"].isVisible()
    qtbot.keyClicks(dialog.data.path, str(tmp_path))
    press(qtbot, dialog)
    task = TaskSpec("coco", str(tmp_path), batch=4)
    assert window.opened == [ModelSpec("torchvision:ssdlite320_mobilenet_v3_large", task=task)]


def test_the_batch_is_that_of_the_data_and_can_be_lowered(qtbot, window, tmp_path: Path):
    spec = TaskSpec("coco", str(tmp_path), batch=2)
    window.document.contents.task = replace(window.document.task, spec=spec)
    dialog = shown(qtbot, AttachData(window))
    batch = dialog.data.batch
    assert (batch.value(), batch.accessibleName()) == (2, "Batch size")
    assert batch.isVisible() and "memory" in batch.toolTip()
    batch.setFocus()
    batch.selectAll()
    qtbot.keyClicks(batch, "3")
    qtbot.keyClick(batch, Qt.Key.Key_Down)
    qtbot.keyClick(batch, Qt.Key.Key_Down)
    press(qtbot, dialog)
    assert asked(window, "attach_task") == [(replace(spec, batch=1),)]


def test_each_form_of_data_has_its_usual_batch_and_a_task_of_ones_own_makes_its_batches(qtbot, window, tmp_path: Path):
    spec = TaskSpec("file", str(tmp_path), batch=8)
    window.document.contents.task = replace(window.document.task, spec=spec)
    dialog = shown(qtbot, AttachData(window))
    assert not dialog.data.batch.isVisible() and dialog.data.spec() == spec
    choose(dialog.data.kind, "Images with boxes")
    assert dialog.data.batch.value() == 4
    choose(dialog.data.kind, "Bundled")
    assert dialog.data.batch.isVisible() and dialog.data.batch.value() == 64
    press(qtbot, dialog)
    assert asked(window, "attach_task") == [(TaskSpec("bundled"),)]


def test_a_form_that_is_higher_than_the_screen_is_scrolled_to_the_field_that_has_the_focus(qtbot, window, monkeypatch):
    dialog = shown(qtbot, Baselines(window))
    for _ in range(2):
        QApplication.processEvents()
        assert dialog._rows.verticalScrollBar().maximum() == 0
        dialog.boxes[BaselineKind.STOCK].click()  # adds rows
    dialog.close()
    screen = SimpleNamespace(availableGeometry=lambda: QRect(0, 0, 1024, 440))
    monkeypatch.setattr(FormDialog, "screen", lambda _self: screen)
    dialog = shown(qtbot, Baselines(window))
    assert dialog.height() <= 440 and dialog.accept_button.geometry().bottom() < dialog.height()
    field, rows = dialog.timed, dialog._rows.viewport()
    assert not rows.rect().contains(field.mapTo(rows, field.rect().center()))
    dialog.seed.setFocus()
    while dialog.focusWidget() is not field:
        qtbot.keyClick(dialog.focusWidget(), Qt.Key.Key_Tab)
    assert rows.rect().contains(field.mapTo(rows, field.rect().center()))


def test_what_is_no_finite_number_is_no_number(qtbot, window, tmp_path: Path):
    assert numbers("0.5, 1e3") == (0.5, 1000.0)
    for wrong in ("nan", "0.5, inf"):
        with pytest.raises(ValueError):
            numbers(wrong)


def test_data_of_which_only_the_batch_is_changed_stays_the_same_data(qtbot, window, tmp_path: Path):
    options = (("purpose", "classification"), ("seed", "3"))
    spec = TaskSpec(
        "cifar", str(tmp_path), (0.49139968, 0.48215841, 1 / 3), (0.24703223, 0.2434, 1.0), None, 64, options
    )
    window.document.contents.task = replace(window.document.task, spec=spec)
    dialog = shown(qtbot, AttachData(window))
    dialog.data.batch.setValue(8)
    press(qtbot, dialog)
    assert asked(window, "attach_task") == [(replace(spec, batch=8),)] and asked(window, "attach_task")[0][0].same_data(
        spec
    )


def test_the_longest_form_of_data_fits_into_the_smallest_window(qtbot, window):
    dialog = shown(qtbot, OpenModel(window))
    choose(dialog.data.kind, "Parquet")
    assert dialog.sizeHint().height() < 700


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("Python", "net.py", "callable"),
        ("Python", "missing.py:make", "does not exist"),
        ("Ultralytics file", "missing.pt", "does not exist"),
        ("Ultralytics file", "network.txt", ".pt, .yaml or .yml"),
        ("Secateur project", "no/such/folder", "not a folder"),
        ("torchvision", "", "Enter a model"),
    ],
)
def test_what_cannot_be_a_model_is_refused_in_words(qtbot, window, kind, name, says):
    dialog = shown(qtbot, OpenModel(window))
    choose(dialog.kind, kind)
    qtbot.keyClicks(dialog.name, name)
    assert says in dialog.missing.text() and not dialog.accept_button.isEnabled()


def test_each_file_that_holds_a_model_is_looked_for_by_its_endings(qtbot, window):
    dialog = shown(qtbot, OpenModel(window))
    for kind, endings in (("ONNX", "(*.onnx *.pt2 *.gguf)"), ("Ultralytics file", "(*.pt *.yaml *.yml)")):
        choose(dialog.kind, kind)
        browse = dialog.name.parentWidget().findChild(QPushButton)
        qtbot.mouseClick(browse, Qt.MouseButton.LeftButton)
        looked = dialog.findChildren(QFileDialog)[-1]
        assert endings in looked.nameFilters()[0]
        looked.reject()


def test_a_name_of_torchvision_becomes_its_source(qtbot, window):
    dialog = shown(qtbot, OpenModel(window))
    choose(dialog.kind, "torchvision")
    qtbot.keyClicks(dialog.name, "resnet18")
    press(qtbot, dialog)
    assert window.opened == [ModelSpec("torchvision:resnet18")]


def test_a_graph_is_recognised_by_its_ending(qtbot, window, tmp_path):
    file = tmp_path / "net.onnx"
    dialog = shown(qtbot, OpenModel(window, str(file)))
    assert "does not exist" in dialog.problem()
    file.write_bytes(b"")
    assert not dialog.problem() and dialog.spec() == ModelSpec(str(file))
    assert dialog.kind.currentText().startswith("ONNX")


def test_a_dropped_checkpoint_stands_in_its_own_field(qtbot, window, tmp_path):
    file = tmp_path / "net.th"
    file.write_text("")
    dialog = shown(qtbot, OpenModel(window, str(file)))
    assert dialog.weights.text() == str(file) and dialog.name.text() == ""


def test_attaching_the_bundled_data(qtbot, window):
    dialog = shown(qtbot, AttachData(window))
    choose(dialog.data.kind, "Bundled")
    press(qtbot, dialog)
    assert asked(window, "attach_task") == [(TaskSpec("bundled"),)]


def test_exporting_into_a_folder_that_is_missing_or_forbidden_is_refused_before_anything_is_written(
    qtbot, window, tmp_path
):
    dialog = shown(qtbot, ExportDialog(window, "onnx"))
    dialog.path.setText("~nobody-of-this-name/net.onnx")
    assert not dialog.accept_button.isEnabled() and "cannot be read" in dialog.missing.text()
    dialog.path.setText(str(tmp_path / "missing" / "net.onnx"))
    assert "does not exist" in dialog.missing.text() and not dialog.accept_button.isEnabled()
    dialog.path.setText(str(tmp_path / "net.onnx"))
    press(qtbot, dialog)
    assert asked(window, "export") == [("onnx", str(tmp_path / "net.onnx"))]


def test_another_format_changes_the_name(qtbot, window):
    dialog = shown(qtbot, ExportDialog(window, "onnx"))
    assert dialog.path.text().endswith("-percent.onnx")
    dialog.formats["onnx"].click()
    assert dialog.missing.text() == "Choose a format."
    dialog.formats["pytorch"].click()
    assert dialog.path.text().endswith("-percent")
    dialog.formats["pytorch"].click()
    dialog.formats["program"].click()
    assert dialog.path.text().endswith("-percent.pt2")


def test_several_formats_are_written_at_once_but_none_that_the_model_cannot_have(qtbot, window, tmp_path: Path):
    dialog = shown(qtbot, ExportDialog(window, "onnx"))
    dialog.path.setText(str(tmp_path / "net.onnx"))
    for name in ("hugging-face", "openvino", "pytorch"):
        dialog.formats[name].click()
    assert asked(window, "find_refusals") == [(dialog.refuse,)]
    dialog.refuse({"hugging-face": Message("export.hf_class", "It is of another library.")})
    assert not dialog.formats["hugging-face"].isEnabled() and dialog.formats["onnx-fp16"].isEnabled()
    assert dialog.reasons["hugging-face"].text() == "It is of another library."
    assert dialog.files.text().endswith("net-pytorch, net.xml, net.bin")
    (tmp_path / "net.bin").write_text("mine")
    press(qtbot, dialog)
    qtbot.waitUntil(lambda: any(one.isVisible() for one in dialog.findChildren(Replace)))
    press(qtbot, next(one for one in dialog.findChildren(Replace) if one.isVisible()))
    places = [("onnx", "net.onnx"), ("pytorch", "net-pytorch"), ("openvino", "net.xml")]
    assert asked(window, "export") == [(name, str(tmp_path / place)) for name, place in places]
    dialog.refuse({"onnx": Message("late", "The dialog is closed.")})
    assert dialog.formats["onnx"].isEnabled()


def test_a_target_is_chosen(qtbot, window):
    dialog = shown(qtbot, TargetDialog(window))
    dialog.runtime.setCurrentText("torch")
    batch: Any = dialog.fields.widgets["batch"]
    batch.setValue(64)
    dialog.precision.setCurrentText("bf16")
    qtbot.keyClicks(dialog.input_size, "320 by")
    assert "320 x 320" in dialog.missing.text() and not dialog.accept_button.isEnabled()
    dialog.input_size.setText("320 x 320")
    press(qtbot, dialog)
    assert window.document.target == TargetSpec("torch", 1, 64, 16, precision="bf16", size=(320, 320))
    assert target_words(window.document.target) == "torch, 1 thread, batch 64, bf16, 320x320"


def test_a_device_is_asked_for_only_where_there_are_several(qtbot, window):
    assert shown(qtbot, TargetDialog(window)).device is None
    contents = window.document.contents
    contents.devices = ("cpu", "cuda:0")
    used = []
    window.workbench.model._use_device = lambda: used.append(contents.device)
    dialog = shown(qtbot, TargetDialog(window))
    assert dialog.device is not None
    choose(dialog.device, "cuda:0")
    press(qtbot, dialog)
    assert used == ["cuda:0"] and window.document.target.device == "cpu"  # onnxruntime is timed on the processor
    dialog = shown(qtbot, TargetDialog(window))
    dialog.runtime.setCurrentText("torch")
    press(qtbot, dialog)
    assert window.document.target.device == "cuda:0" and used == ["cuda:0"]
    assert target_words(window.document.target) == "torch, 1 thread, batch 1, cuda:0"


def test_a_prompt_is_measured_where_its_tokens_are_said(qtbot, window):
    dialog = shown(qtbot, TargetDialog(window))
    qtbot.keyClicks(dialog.tokens, "0")
    assert "whole number of 1 or more" in dialog.missing.text() and not dialog.accept_button.isEnabled()
    dialog.tokens.setText("128")
    press(qtbot, dialog)
    assert window.document.target == TargetSpec(tokens=128)
    assert target_words(window.document.target) == "onnxruntime, 1 thread, batch 1, prompt of 128 tokens"


@pytest.mark.parametrize(
    ("code", "consent"),
    [("checkpoint.pickle", "trust_pickle"), ("source.code", "trust_code"), ("source.download", "download")],
)
def test_what_was_refused_is_done_only_after_consent_and_return_does_not_consent(qtbot, window, code, consent):
    given: list[str] = []
    error, job = OpenError(code, "It was refused."), ConsentRequest("net.pt", given.append)
    assert ask_consent(window, error, job)
    qtbot.keyClick(open_consent(qtbot, window).cancel_button, Qt.Key.Key_Return)
    assert given == []
    assert ask_consent(window, error, job)
    press(qtbot, open_consent(qtbot, window))
    assert given == [consent]


def test_consent_is_asked_for_nothing_else(window):
    assert not ask_consent(window, OpenError("source.no_file", "It is gone."), ConsentRequest("net.pt", lambda _: None))
    assert not ask_consent(window, OpenError("source.code", "It runs code."), None)


def test_a_file_that_was_typed_is_replaced_only_after_a_question(qtbot, window, tmp_path: Path):
    (tmp_path / "net.onnx").write_text("mine")
    dialog = shown(qtbot, ExportDialog(window, "onnx"))
    dialog.path.setText(str(tmp_path / "net.onnx"))

    def question() -> Replace:
        press(qtbot, dialog)
        qtbot.waitUntil(lambda: any(one.isVisible() for one in dialog.findChildren(Replace)))
        return next(one for one in dialog.findChildren(Replace) if one.isVisible())

    qtbot.keyClick(question().cancel_button, Qt.Key.Key_Return)
    assert asked(window, "export") == [] and dialog.isVisible()
    press(qtbot, question())
    assert asked(window, "export") == [("onnx", str(tmp_path / "net.onnx"))] and not dialog.isVisible()


def open_consent(qtbot, window) -> ConsentDialog:
    """The question that is on the screen."""
    qtbot.waitUntil(lambda: any(d.isVisible() for d in window.findChildren(ConsentDialog)))
    return next(d for d in window.findChildren(ConsentDialog) if d.isVisible())


def test_every_kind_of_source_has_an_example():
    assert all(one.title and one.example for one in KINDS)


def test_shapes_and_numbers_are_read_as_people_write_them():
    assert shape("1x3x224x224") == shape("1, 3, 224, 224") == (1, 3, 224, 224)
    assert numbers("0.5, 0.25") == (0.5, 0.25)
    for wrong in ("1xa", "0x3"):
        with pytest.raises(ValueError):
            shape(wrong)


MODEL = """
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self, width): ...
class Net(nn.Module):
    def __init__(self, width=8, *, depth=2): ...
class Odd: ...
def helper(x): ...
def make(classes=10): ...
def _hidden(): ...
raise RuntimeError("nothing of this runs in the window")
"""


def test_what_a_file_has_to_offer_is_read_and_can_be_chosen(qtbot, window, tmp_path: Path):
    code = tmp_path / "net.py"
    code.write_text(MODEL)
    dialog = shown(qtbot, OpenModel(window, str(code)))  # as dropped, or found by Browse
    assert dialog.name.text() == f"{code}:make" and dialog.accept_button.isEnabled()
    assert [dialog.maker.itemText(n) for n in range(dialog.maker.count())] == ["make", "Net"]
    qtbot.keyClicks(dialog.maker, "Net")
    dialog.maker.activated.emit(dialog.maker.currentIndex())
    assert dialog.name.text() == f"{code}:Net"
    dialog.name.clear()
    assert not dialog.maker.isVisible()
    qtbot.keyClicks(dialog.name, str(code))
    assert "make, Net" in dialog.missing.text() and not dialog.accept_button.isEnabled()


def test_what_failed_to_open_stands_in_the_dialog_again(qtbot, window, tmp_path: Path):
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "net.pt").touch()
    task = TaskSpec("folder", str(tmp_path), (0.5,), (0.25,), (28, 32), options=(("seed", "3"),))
    spec = ModelSpec(f"{tmp_path}/net.py:Net", f"{tmp_path}/net.pt", (1, 3, 28, 32), task=task, outputs=("logits",))
    window.workbench.model.asked = spec
    dialog = shown(qtbot, OpenModel(window))
    press(qtbot, dialog)
    assert window.opened == [spec]


def test_images_are_looked_for_as_a_folder_beside_the_model(qtbot, window, tmp_path: Path):
    (tmp_path / "net.py").write_text(MODEL)
    dialog = shown(qtbot, OpenModel(window, str(tmp_path / "net.py")))
    choose(dialog.data.kind, "Image folder")
    browse = dialog.data.path.parentWidget().findChild(QPushButton)
    qtbot.mouseClick(browse, Qt.MouseButton.LeftButton)
    looking = dialog.findChild(QFileDialog)
    assert looking.fileMode() is QFileDialog.FileMode.Directory
    assert Path(looking.directory().path()) == tmp_path
    looking.reject()
    qtbot.waitUntil(lambda: dialog.findChild(QFileDialog) is None)
    choose(dialog.data.kind, "CSV")
    qtbot.mouseClick(browse, Qt.MouseButton.LeftButton)
    looking = dialog.findChild(QFileDialog)
    assert looking.fileMode() is QFileDialog.FileMode.ExistingFile
    looking.reject()


def test_attaching_data_begins_with_the_data_that_is_attached(qtbot, window, tmp_path: Path):
    spec = TaskSpec("folder", str(tmp_path), (0.5,), (0.25,), None, options=(("grey", "yes"),))
    window.document.contents.task = replace(window.document.task, spec=spec)
    dialog = shown(qtbot, AttachData(window))
    dialog.data.lines["mean"].clear()
    qtbot.keyClicks(dialog.data.lines["mean"], "0.286")
    press(qtbot, dialog)
    assert asked(window, "attach_task") == [(replace(spec, mean=(0.286,)),)]
