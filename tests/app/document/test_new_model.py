"""Another model is a clean slate, and a handler that fails leaves nothing behind that is no longer so."""

from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt, SignalInstance

from secateur.app.dialogs.open_model import OpenModel
from secateur.app.document.aspects import Aspect, Goal, Listing, Selection, Side
from secateur.app.document.contents import Contents, opened
from secateur.app.document.document import Document
from secateur.app.widgets.cover import Cover
from secateur.app.window.main_window import MainWindow
from secateur.engine.errors import PlanError
from secateur.engine.planning.protocol import KindLimit, Ranking
from secateur.engine.planning.target_shape import reached_shape
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.tasks.protocol import TaskInfo, TaskSpec
from tests.app.demo_analysis import llama, scores_of, small_resnet
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.playing import Window, play, top1
from tests.app.stand_in import SPEC, exported, state_of, task_info, travelled
from tests.app.turns import settle

STAYS = {"target", "device", "devices"}
"""Where models run is the user's own, whichever model it is."""
SERVICES = {
    "contents",
    "history",
    "plan",
    "dispatcher",
    "messages",
    "revision",
    "jobs",
    "unfinished",
    "engine",
    "restorable",
}
"""What a document has beside the contents, with what it has worked out of them (`_...`)."""
DIRECT = Qt.FindChildOption.FindDirectChildrenOnly
TWO_HEADS = replace(Goal(), keep=1.0, shape=(KindLimit(Kind.HEAD, count=2),))


def model_of(analysis: Analysis, task: TaskInfo | None = None) -> OpenedModel:
    state = state_of(analysis, "s0", "", StateKind.ORIGINAL, analysis.empty(), 0.914, 0.76)
    return OpenedModel(analysis.model, analysis, state, (), task or task_info(), SPEC)


def plain(value: Any) -> Any:
    """A value that two of a kind can be compared by."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict | MappingProxyType):
        return {key: plain(one) for key, one in value.items()}
    return value


def test_nothing_that_was_done_to_a_model_is_left_when_another_is_opened(qapp) -> None:
    document = travelled(llama())
    document.plan.set_goal(TWO_HEADS)
    document.plan.lock([3], True)
    document.plan.preview(document.marked | (np.arange(len(document.marked)) == 5))
    document.set_recovery(RecoverySettings(epochs=3))
    document.set_choices(document.contents.choices, Ranking.COST)
    document.select(Selection(document.analysis.sets[0].module, 0, 1, (1, 2)))
    document.hover(4)
    document.compare(Side("s0"), Side("s2"))
    document.begin_curve("s1")
    document.expect_curve("s2")
    document.take_export("s2", exported())
    document.expect(87.0)
    document.contents.listing = Listing("attn", "marked", (1, True))
    before, model = document.contents, model_of(small_resnet())
    document.adopt(model, SPEC)
    fresh = opened(model, SPEC, Contents())
    kept = {one.name for one in fields(Contents)} - STAYS
    assert {name: plain(getattr(document.contents, name)) for name in kept} == {
        name: plain(getattr(fresh, name)) for name in kept
    }
    changed = [name for name in kept if plain(getattr(before, name)) != plain(getattr(Contents(), name))]
    assert {"goal", "ranking", "recovery", "selection", "listing", "unpreviewed", "receipt", "training"} <= set(changed)
    assert not document.history.entries and document.target == before.target


def test_a_document_keeps_all_that_belongs_to_a_model_in_its_contents(qapp) -> None:
    here = {name for name, value in vars(Document()).items() if not isinstance(value, SignalInstance)}
    assert {name for name in here if not name.startswith("_")} == SERVICES


def test_a_shape_of_kinds_that_a_model_does_not_have_is_refused_in_words() -> None:
    analysis = small_resnet()
    with pytest.raises(PlanError, match=r"no .*heads"):
        reached_shape(analysis, TWO_HEADS.asked(Contents().target), analysis.empty())


@pytest.fixture
def window(qtbot, dressed):
    link = FakeLink()
    made = MainWindow(workbench_on(link))
    qtbot.addWidget(made)
    made.resize(1440, 900)
    made.show()
    qtbot.waitUntil(lambda: made.area is not None)
    yield made, link
    made.leave()


def open_by_hand(qtbot, made: MainWindow, link: FakeLink, analysis: Analysis) -> None:
    """Open a model as the window does, and answer for the engine until it rests."""
    made.workbench.model.open(SPEC)
    answer(made, link, {"open": model_of(analysis)})
    qtbot.waitUntil(made.area.isVisible)
    settle(qtbot, made.document)


def answer(made: MainWindow, link: FakeLink, results: dict[str, Any]) -> None:
    document = made.document
    while jobs := made.workbench.runner.queue.jobs():
        method = jobs[0].method
        if method == "score":
            assert document.analysis is not None
            link.finished.emit(jobs[0].id, np.where(document.removed, np.nan, scores_of(document.analysis)))
        elif method in results:
            link.finished.emit(jobs[0].id, results[method])
        else:
            link.failed.emit(jobs[0].id, PlanError("test.no", "Not in this test."))


def test_after_a_transformer_planned_by_shape_a_network_without_heads_is_planned_as_ever(qtbot, window) -> None:
    made, link = window
    open_by_hand(qtbot, made, link, llama())
    document, tree = made.document, made.area.panels["tree"]
    document.plan.set_goal(TWO_HEADS)
    document.plan.mark([3], True)
    tree.search.setText("attn")
    tree.chips["marked"].click()
    tree.view.columns.sort_by(1)
    settle(qtbot, document)
    assert tree.model.rowCount() == 0 or tree.model.hits[0] < document.analysis.count
    open_by_hand(qtbot, made, link, small_resnet())
    assert document.goal == Goal() and made.top_bar.keep.value() == 50
    assert tree.search.text() == "" and tree.chips[""].isChecked() and tree.model.hits[0] == document.analysis.count
    assert not tree.view.header().isSortIndicatorShown()
    document.plan.mark([3], True)
    settle(qtbot, document)
    assert made.top_bar.primary.text() == "Cut 1 structure" and made.top_bar.primary.isEnabled()
    assert made.area.panels["ledger"].goal.text() == str(document.goal_verdict.sentence)
    document.plan.clear_marks()
    made.run_command("edit.suggest")
    qtbot.waitUntil(lambda: bool(document.marked.any()))


def test_what_was_asked_for_of_the_former_model_is_not_done_to_the_new_one(qtbot, qapp) -> None:
    player = play()
    document = player.document
    player.workbench.model.open(SPEC)
    player.workbench.states.evaluate("s0")
    player.workbench.states.export("onnx", "net.onnx")
    number = player.link.last("export")
    player.answer("open", model_of(llama()))
    assert any("Cancelled: Export" in sentence for sentence in player.sentences)
    for job in player.workbench.runner.queue.jobs():
        if job.dropped:
            player.link.finished.emit(job.id, top1(0.123) if job.method == "evaluate" else exported())
    player.link.finished.emit(number, exported())
    assert document.contents.last_export is None and document.metric(document.original).value == 0.914
    player.workbench.close()


def test_a_view_that_fails_is_covered_until_it_can_be_shown_and_the_others_go_on(qtbot, window, monkeypatch) -> None:
    made, link = window
    open_by_hand(qtbot, made, link, small_resnet())
    made.show_page("plan")
    document, trade_off = made.document, made.area.panels["tradeoff"]

    def broken(*_arguments: Any) -> None:
        raise RuntimeError("no verdict")

    with monkeypatch.context() as patch, qtbot.captureExceptions() as exceptions:
        patch.setattr("secateur.app.panels.tradeoff.panel.trade_off", broken)
        document.plan.mark([3], True)
        settle(qtbot, document)
        patch.undo()
    assert [str(error) for _, error, _ in exceptions] == ["no verdict"]
    covers = trade_off.findChildren(Cover)
    assert len(covers) == 1 and covers[0].isVisible() and "could not be shown" in covers[0].accessibleName()
    assert covers[0].geometry() == trade_off.rect()
    assert made.top_bar.primary.text() == "Cut 1 structure"
    document.announce(Aspect.TARGET)
    settle(qtbot, document)
    assert not trade_off.findChildren(Cover)


def test_a_button_that_cannot_be_told_its_step_shows_none(qtbot, window, monkeypatch) -> None:
    made, link = window
    open_by_hand(qtbot, made, link, small_resnet())
    with monkeypatch.context() as patch, qtbot.captureExceptions() as exceptions:
        patch.setattr("secateur.app.window.top_bar.next_step", lambda document: 1 / 0)
        made.document.plan.mark([3], True)
        settle(qtbot, made.document)
    assert (
        exceptions and made.top_bar.primary.findChildren(Cover) and not made.top_bar.findChildren(Cover, options=DIRECT)
    )
    assert made.top_bar.keep.isEnabled() and made.commands.by_id["run.cut"].isEnabled()
    made.document.plan.clear_marks()
    settle(qtbot, made.document)
    assert not made.top_bar.primary.findChildren(Cover) and made.top_bar.primary.isEnabled()


def test_a_result_that_cannot_be_taken_leaves_neither_a_busy_window_nor_someone_waiting(qtbot, monkeypatch) -> None:
    player = play()
    told, rested = list[Any](), list[Any]()
    player.workbench.runner.ended.connect(lambda words, _took: rested.append(words))

    def broken(_result: Any) -> None:
        raise ZeroDivisionError

    with qtbot.captureExceptions() as exceptions:
        player.workbench.runner.run("Cut", broken, "cut", "s0", None, None, changes=True, otherwise=told.append)
        player.answer("cut", None)
    assert [kind for kind, _, _ in exceptions] == [ZeroDivisionError]
    assert not player.document.busy and not player.document.jobs and len(told) == 1 and rested == ["Failed: Cut"]
    assert [str(one) for one in player.failures] == ["The result could not be shown. Open the model again."]
    player.workbench.close()


def test_what_was_opened_leaves_nothing_in_the_dialog_for_another_model(qtbot, dressed) -> None:
    player = play()
    over = Window(player.workbench)
    qtbot.addWidget(over)
    spec = ModelSpec("torchvision:resnet18", input_shape=(1, 3, 64, 64), uniform=True, task=TaskSpec("bundled"))
    player.workbench.model.open(spec)
    assert OpenModel(over).spec() == spec  # it may fail, for one field
    player.answer("open", model_of(small_resnet()))
    dialog = OpenModel(over)
    assert not dialog.name.text() and not dialog.inputs.text() and not dialog.uniform.isChecked()
    assert dialog.data.spec() is None
    player.workbench.close()
