"""What is pasted into *Open model* is recognised, and names of libraries are completed without loading them."""

import json
import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from secateur.app.dialogs.open_model import (
    FILE,
    FOLDER,
    GRAPH,
    HUB,
    HUGGING_FACE_FOLDER,
    KINDS,
    SAMPLE,
    TIMM,
    TORCHVISION,
    YOLO,
    YOLO_FILE,
    Kind,
    OpenModel,
    detect,
    known_names,
)
from secateur.engine.sources.protocol import ModelSpec
from tests.app.playing import Window


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of several kinds."""
    (tmp_path / "net.py").write_text("def make():\n    ...\n")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text("{}")
    (tmp_path / "project").mkdir()
    for name in ("net.onnx", "net.gguf", "net.pt", "net.yaml", "shared.zip"):
        (tmp_path / name).write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "best.pt", "w") as archive:  # as torch.save writes a whole model
        begin = b"\x80\x02}X\x05\x00\x00\x00modelcultralytics.nn.tasks\nDetectionModel\n"
        archive.writestr("best/data.pkl", begin + bytes(5000))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("resnet18", TORCHVISION, "resnet18"),
        ("deit3_small_patch16_224", TIMM, "deit3_small_patch16_224"),
        ("resnet18.a1_in1k", TIMM, "resnet18.a1_in1k"),
        ("timm:resnet18", TIMM, "resnet18"),
        (" 'torchvision:vit_b_16' ", TORCHVISION, "vit_b_16"),
        ("bundled:vit", SAMPLE, "vit"),
        ("https://huggingface.co/HuggingFaceTB/SmolLM2-135M/tree/main", HUB, "HuggingFaceTB/SmolLM2-135M"),
        ("HuggingFaceTB/SmolLM2-135M", HUB, "HuggingFaceTB/SmolLM2-135M"),
        ("{0}/net.py", FILE, "{0}/net.py"),
        ("{0}/net.py:make", FILE, "{0}/net.py:make"),
        ("file://{0}/net.onnx", GRAPH, "{0}/net.onnx"),
        ("{0}/net.gguf", GRAPH, "{0}/net.gguf"),
        ("{0}/net.yaml", YOLO_FILE, "{0}/net.yaml"),
        ("{0}/best.pt", YOLO_FILE, "{0}/best.pt"),
        ("ultralytics:yolo11n", YOLO, "yolo11n"),
        ("{0}/hf", HUGGING_FACE_FOLDER, "{0}/hf"),
        ("{0}/hf/config.json", HUGGING_FACE_FOLDER, "{0}/hf"),
        ("{0}/project", FOLDER, "{0}/project"),
        ("{0}/shared.zip", FOLDER, "{0}/shared.zip"),
        ("{0}/net.pt", None, "{0}/net.pt"),
    ],
)
def test_a_path_name_or_address_says_its_source(folder: Path, text: str, kind: Kind | None, name: str) -> None:
    found = detect(text.format(folder))
    assert found is not None and found.kind is kind and found.name == name.format(folder)


@pytest.mark.parametrize(
    "text",
    [
        *("", "my net", "resnet", "nothing/that/exists", "weights.pt", "weights/none.pth", "shared/none.zip"),
        *("x" * 300, "~nouser/x", "a\0b"),
        *(f"https://huggingface.co/{part}/org/name" for part in ("datasets", "spaces", "docs")),
    ],
)
def test_what_says_nothing_is_left_alone(text: str) -> None:
    assert detect(text) is None


def paste(dialog: OpenModel, text: str) -> None:
    QGuiApplication.clipboard().setText(text)
    dialog.name.setFocus()
    QTest.keyClick(dialog.name, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(dialog.name, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)


@pytest.fixture
def dialog(window: Window, qtbot) -> OpenModel:
    made = OpenModel(window)
    qtbot.addWidget(made)
    made.show()
    return made


def test_what_is_pasted_chooses_its_source_and_says_so(dialog: OpenModel, folder: Path) -> None:
    paste(dialog, "resnet50")
    assert dialog.kind.currentData() is TORCHVISION and dialog.spec().source == "torchvision:resnet50"
    assert "Recognised: torchvision, by name. timm has a model of that name too." in dialog.recognised.text()
    paste(dialog, f"{folder}/net.py")
    assert dialog.kind.currentData() is FILE and dialog.name.text() == f"{folder}/net.py:make"
    assert dialog.recognised.text() == "Recognised: Python file and callable." and dialog.accept_button.isEnabled()
    paste(dialog, f"{folder}/net.pt")
    assert dialog.weights.text() == f"{folder}/net.pt" and dialog.name.text() == ""
    assert "checkpoint" in dialog.recognised.text()


def test_a_choice_by_hand_stays_where_it_knows_the_name(dialog: OpenModel) -> None:
    dialog.kind.setCurrentIndex(dialog.kind.findText("timm, by name"))
    paste(dialog, "resnet50")
    assert dialog.kind.currentData() is TIMM and dialog.recognised.text() == ""
    assert dialog.spec().source == "timm:resnet50"


def test_what_is_typed_is_recognised_once_it_is_whole(dialog: OpenModel) -> None:
    dialog.name.setFocus()
    QTest.keyClicks(dialog.name, "vit_b_16")
    assert dialog.kind.currentData() is FILE
    QTest.keyClick(dialog.name, Qt.Key.Key_Tab)
    assert dialog.kind.currentData() is TORCHVISION and dialog.name.text() == "vit_b_16"


@pytest.mark.parametrize("key", [Qt.Key.Key_Tab, Qt.Key.Key_Return])
def test_a_path_that_is_mistyped_does_not_become_a_repository(dialog: OpenModel, key: Qt.Key) -> None:
    dialog.name.setFocus()
    QTest.keyClicks(dialog.name, "models/ne")
    QTest.keyClick(dialog.name, key)
    assert dialog.kind.currentData() is FILE and not dialog.accept_button.isEnabled()


def test_a_whole_path_that_is_typed_is_recognised_without_leaving_the_line(
    dialog: OpenModel, folder: Path, qtbot
) -> None:
    qtbot.keyClicks(dialog.name, f"{folder}/project")
    qtbot.wait(600)
    assert dialog.kind.currentData() is FILE  # of which a longer path may come
    dialog.name.clear()
    qtbot.keyClicks(dialog.name, f"{folder}/hf")
    qtbot.waitUntil(lambda: dialog.kind.currentData() is HUGGING_FACE_FOLDER)
    assert dialog.accept_button.isEnabled() and dialog.recognised.text() == "Recognised: Hugging Face folder."
    qtbot.keyClicks(dialog.name, "/none")
    qtbot.wait(600)
    assert dialog.name.text() == f"{folder}/hf/none"


def test_a_repository_is_recognised_where_its_name_is_pasted_and_no_source_on_disk_was_chosen(
    dialog: OpenModel,
) -> None:
    paste(dialog, "org/name")
    assert dialog.kind.currentData() is HUB and dialog.spec().source == "hf:org/name"
    dialog.kind.setFocus()
    QTest.keyClick(dialog.kind, Qt.Key.Key_Home)
    paste(dialog, "models/ne")
    assert dialog.kind.currentData() is FILE and dialog.name.text() == "models/ne"


@pytest.mark.parametrize("text", ["x" * 300, "~nouser/x"])
@pytest.mark.parametrize("kind", [FILE, FOLDER, GRAPH, HUGGING_FACE_FOLDER])
def test_what_no_file_is_called_is_none(dialog: OpenModel, kind: Kind, text: str) -> None:
    dialog.kind.setCurrentIndex(KINDS.index(kind))
    paste(dialog, {FILE: f"{text}.py:make", GRAPH: f"{text}.onnx"}.get(kind, text))
    dialog.weights.setText(text)
    assert not dialog.accept_button.isEnabled()


def test_a_checkpoint_that_is_dropped_belongs_to_the_model_that_is_open(window: Window, qtbot, folder: Path) -> None:
    source = f"{folder}/net.py:make"
    window.workbench.model.asked = ModelSpec(source)
    made = OpenModel(window, f"{folder}/net.pt")
    qtbot.addWidget(made)
    assert made.spec().source == source and made.spec().weights == f"{folder}/net.pt"
    assert made.recognised.text() == "Recognised as a checkpoint of this model."
    window.workbench.model.asked = ModelSpec(f"{folder}/project")
    made = OpenModel(window, f"{folder}/net.pt")
    qtbot.addWidget(made)
    assert made.name.text() == "" and made.kind.currentData() is FILE and "Enter the model" in made.recognised.text()


def test_names_are_completed_from_any_part_of_them(dialog: OpenModel) -> None:
    dialog.kind.setCurrentIndex(dialog.kind.findText("timm, by name"))
    dialog.name.setFocus()
    QTest.keyClicks(dialog.name, "SMALL_PATCH16_DINOV3")
    completer = dialog.name.completer()
    found = [completer.completionModel().index(row, 0).data() for row in range(completer.completionCount())]
    assert found and all("small_patch16_dinov3" in name for name in found)
    dialog.kind.setCurrentIndex(dialog.kind.findText("Python file and callable"))
    completer.setCompletionPrefix("resnet")
    assert completer.completionCount() == 0


def test_the_list_of_names_needs_no_torch() -> None:
    code = (
        "import sys; from secateur.app.dialogs.open_model import TIMM, known_names; known_names(TIMM); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", [TORCHVISION, TIMM])
def test_the_list_has_the_names_of_the_library(kind: Kind) -> None:
    pytest.importorskip("timm")
    from secateur.resources.write_model_names import names

    library = kind.prefix.removesuffix(":")
    kept = json.loads((files("secateur.resources") / "data" / "model_names.json").read_text(encoding="utf-8"))
    listed, there = set(kept[library]), set(names()[library])
    assert listed == set(known_names(kind))
    assert len(listed & there) >= 0.9 * len(there), f"write the list again for {library} {version(library)}"
