"""The inspector's *What it does*: samples of the selected structure, what they say, what is like it, how it fails."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QPoint, Qt
from PySide6.QtGui import QColor, QImage

from secateur.app.document.document import Document, Selection
from secateur.app.panels.inspector import InspectorPanel
from secateur.app.panels.inspector.response_samples import HEAT, ResponseSamples
from secateur.app.panels.inspector.responses import ResponsesSection
from secateur.engine.errors import Message, TaskError
from secateur.engine.inspection.response_data import AttentionView, LayerResponses, MapForm, SampleView
from secateur.engine.jobs import Cancelled, Progress
from secateur.engine.process.events import Progressed
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.stand_in import adopt_small, opened

CONV, NUMBER = "layer1.0.conv1", 2


def picture(colour: str) -> bytes:
    image = QImage(32, 24, QImage.Format.Format_RGB888)
    image.fill(QColor(colour))
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "JPEG")  # pyright: ignore
    return bytes(data.data())


def responses(document: Document, seen: int = 256, form: MapForm = MapForm.IMAGE, **further: Any) -> LayerResponses:
    """Of the set of CONV: structures 1 and 3 respond like structure 0, 5 against it, 4 is dead."""
    assert document.analysis is not None
    one = document.analysis.sets[NUMBER]
    left = one.first + np.flatnonzero(~document.removed[one.structures])
    n = len(left)
    if form is MapForm.TOKENS:
        words = tuple("the quick brown fox jumps over the lazy dog".replace(" ", "_ ").split(" "))
        samples = tuple(SampleView(b"", words, "", "") for _ in range(4))
        maps = np.zeros((n, 9, 1, 5), np.uint8)
        maps[..., 3] = 255
    else:
        colours = ("red", "green", "blue", "white")
        samples = tuple(SampleView(picture(c), (), "", f"class {c}") for c in colours)
        maps = np.zeros((n, 9, 4, 4), np.uint8)
        maps[:, :, 0, 0] = 255
    top = np.tile(np.array([2, 0, 1, 3, -1, -1, -1, -1, -1], np.int32), (n, 1))
    partners, similarity = np.full((n, 3), -1, np.int64), np.zeros((n, 3), np.float32)
    partners[0], similarity[0] = left[[1, 5, 3]], (0.97, -0.96, 0.93)
    partners[2, 0], similarity[2, 0] = left[6], 0.41
    dead = np.zeros(n, np.bool_)
    dead[4] = True
    found = LayerResponses(
        key=one.key, module=CONV, reader="next.weight", structures=left.astype(np.int64), samples=samples, top=top,
        values=np.where(top >= 0, np.linspace(4, 1, 9), np.nan).astype(np.float32), form=form, maps=maps,
        starts=np.ones((n, 9), np.int32), active=np.full(n, 0.41, np.float32), deviation=np.ones(n, np.float32),
        dead=dead, classes=("bag", "coat", "shirt", "boot"), class_counts=np.array([9, 8, 7, 1]),
        class_means=np.tile(np.array([0.1, 3.0, -0.25, 9.0], np.float32), (n, 1)), partners=partners,
        similarity=similarity, attention=None, seen=seen, total=256,
    )  # fmt: skip
    return replace(found, **further)


@pytest.fixture
def inspector(qtbot, dressed) -> InspectorPanel:
    inspector = InspectorPanel(opened().workbench)
    qtbot.addWidget(inspector)
    inspector.resize(320, 900)
    inspector.show()
    inspector.document.select(Selection(CONV, NUMBER, inspector.document.analysis.sets[NUMBER].first))
    return inspector


def give(inspector: InspectorPanel, **further: Any) -> ResponsesSection:
    section = inspector.responses
    assert section.about is not None
    inspector.document.take_responses(section.about, responses(inspector.document, **further))
    return section


def test_the_rules_of_item_models_hold(qtmodeltester, dressed) -> None:
    model = ResponseSamples()
    qtmodeltester.check(model)
    model.show_structure(responses(opened()), 0)
    qtmodeltester.check(model)
    assert model.rowCount() == 4


def test_samples_are_shown_in_order_with_where_the_structure_responds(inspector) -> None:
    view = give(inspector).view
    said = [
        view.samples.data(view.samples.index(row), Qt.ItemDataRole.AccessibleTextRole)
        for row in range(view.samples.rowCount())
    ]
    assert said[0] == "Sample 1 of 4, class blue, response 4.00"
    assert [words.split(", ")[1] for words in said] == ["class blue", "class red", "class green", "class white"]
    rectangles = [view.visualRect(view.samples.index(row)) for row in range(4)]
    assert len({one.y() for one in rectangles[:3]}) == 1
    assert rectangles[3].y() > rectangles[0].y()
    assert view.height() >= rectangles[3].bottom(), "all of them are in sight"
    # The map is full in the first quarter of rows and columns, and empty at the other end.
    pixels, where = view.grab().toImage(), rectangles[1]
    ratio = pixels.width() / view.width()
    near = pixels.pixelColor((where.topLeft() + QPoint(6, 18)) * ratio)
    far = pixels.pixelColor((where.center() + QPoint(20, 5)) * ratio)
    assert near.blue() > HEAT[2] / 2
    assert far.red() > 200
    assert far.blue() < 60


def test_what_it_does_is_said_in_words(inspector) -> None:
    section = give(inspector)
    facts, alike = section.facts.text(), section.alike.text()
    assert "256 samples of the train split" in section.words.text()
    assert "Active (above 0) at 41 % of all places." in facts
    # One sample says nothing of a class.
    assert "most coat 3.00, bag 0.10; least shirt \u22120.25." in facts
    first = inspector.document.analysis.sets[NUMBER]
    names = [f"filter {inspector.document.analysis.index[first.first + n]}" for n in (1, 3, 5)]
    assert f"Responds like {names[0]} (0.97), {names[1]} (0.93)." in alike
    assert f"Opposite to {names[2]} (\u22120.96)." in alike
    inspector.document.select(Selection(CONV, NUMBER, first.first + 2))
    assert "Nothing responds alike; nearest filter 6 (0.41)." in section.alike.text()
    assert not section.mark_alike.isVisible()
    inspector.document.select(Selection(CONV, NUMBER, first.first + 4))
    assert section.facts.text().startswith("Dead:")
    assert not section.alike.isVisible()


def test_all_but_the_best_of_those_that_respond_alike_are_marked(inspector, qtbot) -> None:
    section, document = give(inspector), inspector.document
    first = document.analysis.sets[NUMBER].first
    group = first + np.array([0, 1, 3])
    keep = group[int(np.argmax(document.scores[group]))]
    qtbot.mouseClick(section.mark_alike, Qt.MouseButton.LeftButton)
    assert np.flatnonzero(document.marked).tolist() == [n for n in group if n != keep]
    assert not section.mark_alike.isEnabled()
    document.plan.undo()
    assert section.mark_alike.isEnabled()
    assert section.dead.text() == "1 filter of this layer responds to nothing."
    qtbot.mouseClick(section.mark_dead, Qt.MouseButton.LeftButton)
    assert np.flatnonzero(document.marked).tolist() == [first + 4]


def test_a_sample_is_enlarged_under_the_mouse_and_by_the_keyboard(inspector, qtbot) -> None:
    view = give(inspector).view
    view.setFocus()
    view.setCurrentIndex(view.samples.index(0))
    qtbot.keyClick(view, Qt.Key.Key_Space)
    assert view.enlarged.isVisible()
    assert view.enlarged.accessibleName() == "Sample 1 of 4, class blue, response 4.00"
    qtbot.keyClick(view, Qt.Key.Key_Right)
    assert "class red" in view.enlarged.accessibleName()
    shown = view.enlarged.grab().toImage()
    plain = shown.pixelColor(shown.width() // 4, shown.height() // 2)
    assert (plain.red() > 200, plain.blue() < 60) == (True, True), "the left one is the sample as it is"
    qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert not view.enlarged.isVisible()
    qtbot.mouseMove(view.viewport(), view.visualRect(view.samples.index(2)).center())
    qtbot.waitUntil(view.enlarged.isVisible)
    inspector.document.select(Selection(CONV, NUMBER, inspector.document.analysis.sets[NUMBER].first + 1))
    assert not view.enlarged.isVisible(), "another structure is shown"


def test_a_neuron_of_a_language_model_shows_its_tokens_in_context(inspector, qtbot) -> None:
    view = give(inspector, form=MapForm.TOKENS).view
    assert view.samples.words(0) == "Sample 1 of 4, quick_brown_fox_jumps_over_, strongest at jumps_, response 4.00"
    rectangles = [view.visualRect(view.samples.index(row)) for row in range(4)]
    assert len({one.x() for one in rectangles}) == 1, "texts stand below each other"
    view._enlarge(view.samples.index(0))
    assert view.enlarged.width() > view.width()
    view.grab()
    view.enlarged.grab()


def test_a_head_shows_where_it_looks(inspector) -> None:
    count = inspector.document.analysis.sets[NUMBER].count
    maps = np.zeros((count, 2, 4, 4), np.uint8)
    numbers = [np.full(count, x, np.float32) for x in (3.14, 2.5, 0.04)]
    view = AttentionView(np.array([3, 0], np.int32), maps, MapForm.IMAGE, *numbers)
    section = give(inspector, attention=view, notes=(Message("a.b", "Something to know."),))
    assert [one.label for one in section.view.samples.shown] == ["class white", "class red"]
    assert "entropy 3.14 bits, 2.50 patches away on average, 4.0 % on the first token" in section.facts.text()
    assert section.words.text().endswith("Something to know.")
    assert section.view.accessibleName() == "Where it looks on some samples"


def test_what_is_missing_is_said_with_the_step_that_brings_it(qtbot, dressed) -> None:
    document = opened(task=False)
    inspector = InspectorPanel(document.workbench)
    qtbot.addWidget(inspector)
    inspector.resize(320, 900)
    inspector.show()
    section = inspector.responses
    assert not section.isVisibleTo(inspector)
    document.select(Selection(CONV, NUMBER))
    assert section.words.text() == "Choose data to see what this filter does."
    with qtbot.waitSignal(document.requested):
        section.act.click()
    assert not section.follows
    block = next((n for n, one in enumerate(document.analysis.sets) if one.dim < 0), -1)
    document.select(Selection(document.analysis.sets[block].module, block))
    assert not section.isVisibleTo(inspector), "a block has no responses"


@pytest.fixture
def running(qtbot, dressed) -> tuple[FakeLink, Document, InspectorPanel]:
    link = FakeLink()
    workbench = workbench_on(link)
    document: Document = workbench.document
    adopt_small(document)
    link.ready.emit(1)
    inspector = InspectorPanel(workbench)
    qtbot.addWidget(inspector)
    inspector.resize(320, 900)
    inspector.show()
    document.select(Selection(CONV, NUMBER))
    document.dispatcher.settle()
    return link, document, inspector


def test_it_is_asked_for_once_and_follows_the_selection(running) -> None:
    link, document, inspector = running
    section = inspector.responses
    assert "responses" not in [method for method, _ in link.calls.values()]
    section.act.click()
    document.dispatcher.settle()
    key = document.analysis.sets[NUMBER].key
    assert link.asked("responses") == ("s0", key, CONV)
    first = link.last("responses")
    made = responses(document, seen=18)
    link.progressed.emit(first, Progressed(first, Progress("Measuring", 18, 256, made=made), (), (made,)))
    document.dispatcher.settle()
    assert section.view.samples.rowCount() == 4, "the first ones are shown at once"
    assert section.words.text().startswith("Looking at samples: 18 of 256.")
    other = next(n for n, one in enumerate(document.analysis.sets) if n != NUMBER and one.dim >= 0 and one.key != key)
    document.select(Selection(document.analysis.sets[other].module, other))
    document.dispatcher.settle()
    assert first in link.cancelled, "nothing looks at the former layer any more"
    link.failed.emit(first, Cancelled())
    document.dispatcher.settle()
    second = link.last("responses")
    assert link.asked("responses")[1] == document.analysis.sets[other].key
    link.finished.emit(second, replace(made, key=document.analysis.sets[other].key, seen=256))
    document.select(Selection(CONV, NUMBER))
    document.dispatcher.settle()
    third = link.last("responses")
    assert third > second, "what was only begun is asked for again"
    link.finished.emit(third, responses(document))
    document.select(Selection(document.analysis.sets[other].module, other))
    document.dispatcher.settle()
    assert link.last("responses") == third, "what is known is not asked for again"


def test_a_failure_is_said_where_it_was_asked_for(running) -> None:
    link, document, inspector = running
    section = inspector.responses
    section.act.click()
    document.dispatcher.settle()
    number = link.last("responses")
    link.failed.emit(number, TaskError("inspection.nan", "What conv reads contains NaN."))
    document.dispatcher.settle()
    assert section.words.text() == "What conv reads contains NaN."
    assert section.act.text() == "Try again"
    assert link.last("responses") == number, "it is not tried again by itself"
    section.act.click()
    document.dispatcher.settle()
    assert link.last("responses") > number


def test_a_cancel_leaves_what_was_seen_and_does_not_come_back(running) -> None:
    link, document, inspector = running
    section = inspector.responses
    section.act.click()
    document.dispatcher.settle()
    number = link.last("responses")
    made = responses(document, seen=18)
    link.progressed.emit(number, Progressed(number, Progress("Measuring", 18, 256, made=made), (), (made,)))
    inspector.workbench.runner.cancel(number)
    link.failed.emit(number, Cancelled())
    document.dispatcher.settle()
    assert link.last("responses") == number
    assert "18 samples" in section.words.text()
    assert section.act.text() == "Look at all 256 samples"
    assert section.view.samples.rowCount() == 4


def test_other_data_forgets_what_was_seen(inspector) -> None:
    section, document = give(inspector), inspector.document
    assert section.view.samples.rowCount()
    document.take_task(replace(document.task, title="other"))
    assert not document.contents.responses
    assert not section.view.isVisible()


def test_what_stepped_aside_for_another_job_goes_on(running) -> None:
    link, document, inspector = running
    section = inspector.responses
    section.act.click()
    link.finished.emit(link.last("responses"), responses(document))
    other = next(n for n, one in enumerate(document.analysis.sets) if n != NUMBER and one.dim >= 0)
    document.select(Selection(document.analysis.sets[other].module, other))
    document.dispatcher.settle()
    number = link.last("responses")
    inspector.workbench.runner.run("Another job", lambda _: None, "use_device", "cpu")
    for cancelled in link.cancelled:
        link.failed.emit(cancelled, Cancelled())
    assert inspector.workbench.runner.queue.get(number) is None, "it makes room"
    link.finished.emit(link.last("use_device"), "cpu")
    document.dispatcher.settle()
    assert link.last("responses") > number
