"""Paths in dialogs while the engine is on another machine: this disk does not know what lies there."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog

from secateur.app.dialogs.apply_recipe import ApplyRecipe
from secateur.app.dialogs.attach_data import AttachData
from secateur.app.dialogs.attach_weights import AttachWeights
from secateur.app.dialogs.baselines import Baselines
from secateur.app.dialogs.checkpoint import ChooseCheckpoint
from secateur.app.dialogs.form import FormDialog
from secateur.app.dialogs.open_model import OpenModel
from secateur.app.dialogs.project import ask_bundle, ask_folder
from secateur.app.dialogs.relocate_file import RelocateFile
from secateur.app.dialogs.source_kinds import FILE, FOLDER, GRAPH, HUGGING_FACE_FOLDER, KINDS, Kind
from secateur.engine.baselines.protocol import BaselineKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec

from ..playing import Window

Fill = Callable[[Window], FormDialog]
NOWHERE = "/no/such/place"


def model(kind: Kind, name: str, weights: str = "") -> Fill:
    def fill(window: Window) -> FormDialog:
        dialog = OpenModel(window)
        dialog.kind.setCurrentIndex(KINDS.index(kind))
        dialog.name.setText(name)
        dialog.weights.setText(weights)
        return dialog

    return fill


def data(kind: str, path: str, tokenizer: str = "") -> Fill:
    def fill(window: Window) -> FormDialog:
        dialog = AttachData(window)
        dialog.data.take(TaskSpec(kind, path, options=(("tokenizer", tokenizer),)))
        return dialog

    return fill


def one_path(window: Window, dialog: ChooseCheckpoint | AttachWeights | RelocateFile) -> FormDialog:
    dialog.path.setText(f"{NOWHERE}/net.pt")
    return dialog


def recipe(window: Window) -> FormDialog:
    dialog = ApplyRecipe(window)
    dialog.recipe.setText(f"{NOWHERE}/recipe.json")
    dialog.weights.setText(f"{NOWHERE}/net.pt")
    return dialog


def baselines(window: Window) -> FormDialog:
    dialog = Baselines(window, BaselineKind.STOCK)
    dialog.stock.setText("torchvision:resnet18")
    dialog.weights.setText(f"{NOWHERE}/net.pt")
    return dialog


FILLED: dict[str, Fill] = {
    "code": model(FILE, f"{NOWHERE}/net.py:make"),
    "weights": model(FILE, f"{__file__}:make", f"{NOWHERE}/net.pt"),
    "graph": model(GRAPH, f"{NOWHERE}/net.onnx"),
    "folder": model(HUGGING_FACE_FOLDER, NOWHERE),
    "data": data("folder", NOWHERE),
    "tokenizer": data("text", __file__, f"{NOWHERE}/tokenizer.json"),
    "checkpoint": lambda window: one_path(window, ChooseCheckpoint(window)),
    "attach weights": lambda window: one_path(window, AttachWeights(window)),
    "relocate": lambda window: one_path(window, RelocateFile(window, "/old/net.pt", "weights", lambda _new: None)),
    "recipe": recipe,
    "baselines": baselines,
}


@pytest.fixture
def elsewhere(window: Window) -> Window:
    """A window whose engine is on another machine."""
    window.document.engine = replace(window.document.engine, place="gpu")
    return window


@pytest.mark.parametrize("fill", FILLED.values(), ids=FILLED.keys())
def test_what_lies_on_another_machine_is_not_looked_for_on_this_one(qtbot, window: Window, fill: Fill) -> None:
    here = fill(window)
    qtbot.addWidget(here)
    assert here.problem()
    window.document.engine = replace(window.document.engine, place="gpu")
    there = fill(window)
    qtbot.addWidget(there)
    assert there.problem() == ""


def test_a_path_that_nobody_typed_is_asked_for_all_the_same(qtbot, elsewhere: Window) -> None:
    for dialog in (ChooseCheckpoint(elsewhere), AttachWeights(elsewhere), ApplyRecipe(elsewhere)):
        qtbot.addWidget(dialog)
        assert dialog.problem()


def test_a_path_there_is_handed_on_as_it_was_typed(qtbot, elsewhere: Window) -> None:
    found: list[str] = []
    dialog = RelocateFile(elsewhere, "/old/net.pt", "weights", found.append)
    qtbot.addWidget(dialog)
    dialog.path.setText("~/models/net.pt")
    dialog.act()
    checkpoint = ChooseCheckpoint(elsewhere)
    qtbot.addWidget(checkpoint)
    checkpoint.path.setText("models/net.pt")
    checkpoint.act()
    assert found == ["~/models/net.pt"] and elsewhere.opened[-1].weights == "models/net.pt"


def test_a_folder_there_is_offered_again_as_one(qtbot, elsewhere: Window) -> None:
    for source, kind in ((f"{NOWHERE}/project", FOLDER), (f"{NOWHERE}/net.py:make", FILE)):
        elsewhere.workbench.model.asked = ModelSpec(source)
        dialog = OpenModel(elsewhere)
        qtbot.addWidget(dialog)
        assert dialog.kind.currentData() is kind and dialog.spec().source == source


@pytest.mark.parametrize("ask", [ask_folder, ask_bundle])
def test_a_project_there_is_asked_for_by_its_path(qtbot, elsewhere: Window, ask) -> None:
    ask(elsewhere)
    assert not elsewhere.findChildren(QFileDialog)
    dialog = elsewhere.findChild(OpenModel)
    assert dialog is not None and dialog.kind.currentData() is FOLDER
    dialog.name.setText(f"{NOWHERE}/work.zip")
    dialog.accept()
    assert elsewhere.opened == [ModelSpec(f"{NOWHERE}/work.zip")]
    assert not Path(NOWHERE).exists()
