"""Recipe, script, report, bundle and next version in the window: what the engine is asked, what the screen says."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from secateur.app.commands import COMMANDS, command_named
from secateur.app.dialogs.apply_recipe import ApplyRecipe, ChooseMode
from secateur.app.dialogs.export import Share
from secateur.app.document.document import ALL
from secateur.app.jobs.recipes import ReplayRequest
from secateur.app.panels.recipe import RecipePanel
from secateur.app.window.offer_bars import WeightsBar
from secateur.engine.errors import Message, OpenError
from secateur.engine.recipes.compatibility import Fit, Mode
from secateur.engine.recipes.steps import Recipe as Steps
from secateur.engine.recipes.steps import Replay
from secateur.engine.session.states import OpenedModel, PlanIntent, State, StateKind
from secateur.engine.sources.protocol import ModelSpec

from ..stand_in import SPEC, state_of

LEFT = Qt.MouseButton.LeftButton
ABSENT = "This bundle does not contain the model's weights, so it is read-only."


@pytest.fixture
def panel(qtbot, window) -> RecipePanel:
    made = RecipePanel(window.document)
    window.setCentralWidget(made)
    window.resize(700, 300)
    window.show()
    return made


def cut_of(player, structures, name: str = "s1") -> State:
    mask = player.document.analysis.empty()
    mask[structures] = True
    made = state_of(player.document.analysis, name, "s0", StateKind.CUT, mask, 0.9, 0.7)
    return replace(made, plan=PlanIntent())


def shown(qtbot, dialog):
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def press(qtbot, dialog) -> None:
    qtbot.mouseClick(dialog.accept_button, LEFT)


# The Recipe tab.


def test_every_step_is_written_down_as_it_is_made(player, panel) -> None:
    document, one = player.document, player.document.analysis.sets[2]
    workbench = player.workbench
    before = panel.text.toPlainText()
    assert 'ModelSpec("bundled:resnet")' in before and ast.parse(before)
    document.plan.mark(np.arange(one.first, one.first + 3), True)
    shown_now = panel.text.toPlainText()
    assert f"# Plan, not cut yet: 3 structures. Cutting it adds a step.\n#     {one.key}: 0-2" in shown_now
    workbench.states.cut()
    player.answer("cut", cut_of(player, np.arange(one.first, one.first + 3)))
    after = panel.text.toPlainText()
    assert f'"{one.key}": "0-2",' in after and "not cut yet" not in after
    document.plan.undo()  # the cut
    assert panel.text.toPlainText().startswith(before) and "not cut yet" in panel.text.toPlainText()
    document.plan.undo()  # the marks
    assert panel.text.toPlainText() == before


def test_the_script_is_copied_whole_and_without_the_plan(qtbot, player, panel) -> None:
    player.document.plan.mark([0], True)
    qtbot.mouseClick(panel.copy, LEFT)
    copied = QGuiApplication.clipboard().text()
    assert copied in panel.text.toPlainText() and "not cut yet" not in copied and ast.parse(copied)


def test_what_is_new_is_scrolled_to(qtbot, player, panel) -> None:
    one = player.document.analysis.sets[2]
    player.document.plan.mark(np.arange(one.first, one.first + 3), True)
    bar = panel.text.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum() > 0)
    player.workbench.states.cut()
    player.answer("cut", cut_of(player, np.arange(one.first, one.first + 3)))

    def first_line() -> str:
        return panel.text.firstVisibleBlock().text()

    lines = panel.text.toPlainText().splitlines()
    last = max(number for number, line in enumerate(lines) if "session.cut(" in line)
    qtbot.waitUntil(lambda: first_line() == lines[last - 3])


def test_its_buttons_run_the_commands(qtbot, window, panel) -> None:
    qtbot.mouseClick(panel.save_script, LEFT)
    qtbot.mouseClick(panel.save_recipe, LEFT)
    assert window.ran == ["file.export_script", "file.export_recipe"]


# Writing.


@pytest.mark.parametrize("kind", ["recipe", "script", "report"])
def test_a_file_is_asked_of_the_engine(qtbot, player, window, tmp_path: Path, kind: str) -> None:
    dialog = shown(qtbot, Share(window, kind))
    dialog.path.clear()
    assert not dialog.accept_button.isEnabled() and "where to write" in dialog.missing.text()
    qtbot.keyClicks(dialog.path, str(tmp_path / "out.file"))
    press(qtbot, dialog)
    assert player.link.asked(f"write_{kind}") == ("s0", str(tmp_path / "out.file"))
    player.answer(f"write_{kind}", (str(tmp_path / "out.file"),))
    assert player.sentences[-1] == f"Written to {tmp_path / 'out.file'}."


def test_a_bundle_gets_weights_only_when_they_are_wanted(qtbot, player, window, tmp_path: Path) -> None:
    for wanted in (False, True):
        dialog = shown(qtbot, Share(window, "bundle"))
        dialog.path.setText(str(tmp_path / "x.zip"))
        if wanted:
            dialog.weights.setFocus()
            qtbot.keyClick(dialog.weights, Qt.Key.Key_Space)
        press(qtbot, dialog)
        assert player.link.asked("write_bundle") == ("s0", str(tmp_path / "x.zip"), wanted)


# A bundle that is only looked at.


def look_at(player) -> None:
    document = player.document
    state = state_of(document.analysis, "s0", "", StateKind.ORIGINAL, document.analysis.empty(), 0.9, 1.0)
    player.workbench.model.open(ModelSpec("/somewhere/x.zip"))
    absent = Message("any", ABSENT)
    opened = OpenedModel("shared", document.analysis, state, (absent,), None, SPEC, absent, has_history=True)
    player.answer("open", opened)
    player.answer("states", (state, cut_of(player, [3, 4])))


def test_what_came_without_weights_says_so_and_asks_nothing_of_the_engine(qtbot, player, window) -> None:
    bar = WeightsBar(window)
    look_at(player)
    bar.refresh()
    document = player.document
    workbench = player.workbench
    assert not bar.isHidden() and bar.sentence.text() == ABSENT
    assert [state.id for state in document.states] == ["s0", "s1"] and document.removed[[3, 4]].all()
    asked = len(player.link.calls)
    workbench.plan.suggest()
    workbench.states.evaluate()
    workbench.states.measure()
    document.plan.mark([0, 1], True)
    workbench.states.cut()
    assert len(player.link.calls) == asked and player.sentences[-1] == ABSENT
    blocked = [c.id for c in COMMANDS if c.enabled(document) == ABSENT]
    assert {"run.measure", "file.save", "file.share", "edit.suggest", "file.export_onnx"} <= set(blocked)
    assert command_named("file.apply_recipe").enabled(document) == ""
    document.adopt(OpenedModel("net", document.analysis, document.states[0], (), None, SPEC), SPEC)
    bar.refresh()
    assert bar.isHidden()


def test_the_place_to_name_the_weights_knows_the_bundle(qtbot, player, window) -> None:
    look_at(player)
    dialog = ApplyRecipe(window)
    shown(qtbot, dialog)
    assert dialog.recipe.text() == "/somewhere/x.zip" and not dialog.here.isVisible()


# The next version.


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text("{}")
    return path


def test_a_recipe_is_opened_compared_and_done_again(qtbot, player, window, recipe: Path, tmp_path: Path) -> None:
    document, weights = player.document, tmp_path / "new.pt"
    workbench = player.workbench
    weights.write_text("")
    dialog = shown(qtbot, ApplyRecipe(window))
    assert not dialog.accept_button.isEnabled()
    qtbot.keyClicks(dialog.recipe, str(recipe))
    qtbot.keyClicks(dialog.weights, str(tmp_path / "none.pt"))
    assert "does not exist" in dialog.missing.text()
    dialog.weights.setText(str(weights))
    press(qtbot, dialog)
    assert player.link.asked("open_recipe") == (str(recipe), str(weights), "", False, False, False)
    fits: list[tuple[str, Fit]] = []
    workbench.recipes.fitted.connect(lambda path, fit: fits.append((path, fit)))
    player.answer("open_recipe", OpenedModel("next", document.analysis, document.states[0], (), None, SPEC))
    assert document.model_name == "next"
    refused = {Mode.SAME_INDICES: Message("x", "Sizes differ: conv1 (24 > 32).")}
    gone = Message("fit.gone", "conv9 is gone.")
    player.answer("fit", Fit(Steps(1, ()), sentences=(gone,), refused=refused))
    assert fits[0][0] == str(recipe)
    choice = shown(qtbot, ChooseMode(window, *fits[0]))
    assert choice.differences.toPlainText() == "conv9 is gone."
    assert not choice.modes[Mode.SAME_INDICES].isEnabled() and choice.modes[Mode.SAME_SHAPE].isChecked()
    choice.modes[Mode.SAME_GOAL].setFocus()
    qtbot.keyClick(choice.modes[Mode.SAME_GOAL], Qt.Key.Key_Space)
    press(qtbot, choice)
    assert player.link.asked("apply_recipe") == (str(recipe), Mode.SAME_GOAL, False)
    made = cut_of(player, [3, 4])
    player.make("apply_recipe", made)
    assert document.contents.present == "s0" and [state.id for state in document.states] == ["s0", "s1"]
    opened = OpenedModel("next", document.analysis, document.states[0], (), None, SPEC)
    player.answer(
        "apply_recipe",
        Replay(opened, (document.states[0], made), (), ("a[1]",), (Message("any", "It differs."),), False),
    )
    assert document.contents.present == "s1"
    assert "It differs." in document.messages.lines() and "Not in this model: a[1]" in document.messages.lines()
    assert "Only part of the recipe could be applied. The log lists the differences." in player.sentences


def test_on_the_model_that_is_open_nothing_is_opened(qtbot, player, window, recipe: Path) -> None:
    dialog = shown(qtbot, ApplyRecipe(window))
    dialog.recipe.setText(str(recipe))
    dialog.here.setFocus()
    qtbot.keyClick(dialog.here, Qt.Key.Key_Space)
    assert not dialog.weights.isVisible()
    press(qtbot, dialog)
    assert player.link.asked("fit") == (str(recipe),)
    assert "open_recipe" not in {method for method, _ in player.link.calls.values()}


def test_where_no_mode_can_be_done_the_reasons_stand_there(qtbot, window) -> None:
    why = Message("x", "The recipe cuts nothing.")
    dialog = shown(qtbot, ChooseMode(window, "r.json", Fit(Steps(1, ()), refused=dict.fromkeys(Mode, why))))
    assert not dialog.accept_button.isEnabled() and "None of these" in dialog.missing.text()


def test_consent_that_was_missing_is_given_to_the_same_recipe(player) -> None:
    handing = player.workbench.recipes
    handing.open(ReplayRequest("r.json", "w.pt"))
    error = OpenError("checkpoint.pickle", "It is a pickle.")
    player.link.failed.emit(player.link.last("open_recipe"), error)
    assert player.failures == [error]
    player.workbench.runner.consent.again("trust_pickle")
    assert player.link.asked("open_recipe") == ("r.json", "w.pt", "", True, False, False)
    player.link.failed.emit(player.link.last("open_recipe"), OpenError("source.code", "It runs code."))
    player.workbench.runner.consent.again("trust_code")
    assert player.link.asked("open_recipe") == ("r.json", "w.pt", "", True, True, False)


def test_consent_to_a_recipes_code_holds_for_its_baselines_too(player) -> None:
    handing = player.workbench.recipes
    handing.apply("r.json", Mode.SAME_GOAL)
    assert player.link.asked("apply_recipe") == ("r.json", Mode.SAME_GOAL, False)
    player.link.failed.emit(player.link.last("apply_recipe"), OpenError("source.code", "It runs code."))
    player.workbench.runner.consent.again("trust_code")
    assert player.link.asked("apply_recipe") == ("r.json", Mode.SAME_GOAL, True)


def test_every_aspect_reaches_the_panel(player, panel) -> None:
    player.document.announce(*ALL)
    assert panel.text.toPlainText().startswith('"""Makes bundled:resnet smaller')
