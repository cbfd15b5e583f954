"""Where the model stands, and what it costs: every number with its state and how it is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtWidgets import QApplication

from secateur.app.document.aspects import Goal
from secateur.app.panels.ledger import LedgerPanel
from secateur.app.panels.state_strip import StateStrip
from secateur.app.text.format import change, scaled, size
from secateur.app.theme import Sizes, theme
from secateur.app.theme.design_tokens import LARGEST
from secateur.app.widgets.labels import ElidedLabel
from tests.app.stand_in import StandIn, exported, opened, travelled
from tests.app.turns import settle

REASON = QContextMenuEvent.Reason.Keyboard


def stages(strip: StateStrip) -> dict[str, str]:
    return {name: step.stage for name, step in strip.steps.items()}


@pytest.fixture
def strip_of(qtbot, dressed):
    def make(document) -> StateStrip:
        strip = StateStrip(document)
        qtbot.addWidget(strip)
        strip.resize(1000, 60)
        strip.show()
        return strip

    return make


@pytest.fixture
def cells_of(qtbot, dressed):
    kept = []

    def make(document, width: int = 1400):
        ledger = LedgerPanel(document.workbench)
        kept.append(ledger)
        qtbot.addWidget(ledger)
        ledger.resize(width, 90)
        ledger.show()
        settle(qtbot, document)
        return ledger.cells

    return make


def test_an_empty_window_has_nothing_lit(strip_of) -> None:
    assert set(stages(strip_of(StandIn())).values()) == {"todo"}


def test_a_plan_is_lit_once_something_is_marked(strip_of) -> None:
    document = opened()
    strip = strip_of(document)
    assert stages(strip)["look"] == "present"
    document.plan.mark(np.arange(40, 48), True)
    assert stages(strip) == {"look": "done", "plan": "present", "recover": "todo", "judge": "todo", "export": "todo"}
    saved = change(document.original_costs.macs, document.plan_costs.macs)
    assert strip.steps["plan"].caption == f"{saved} MACs, 8 marked"


def test_a_click_asks_for_the_page_and_the_menu_goes_to_a_state(strip_of, qtbot) -> None:
    document, asked = travelled(), []
    document.requested.connect(lambda request: request(SimpleNamespace(show_page=asked.append)))
    strip = strip_of(document)
    qtbot.mouseClick(strip.steps["look"], Qt.MouseButton.LeftButton)
    strip.steps["recover"].setFocus()
    qtbot.keyClick(strip.steps["recover"], Qt.Key.Key_Space)
    assert asked == ["look", "recover"] and document.state.id == "s2"
    assert stages(strip)["recover"] == "present"
    for step, words, state in (("look", "Go to the original", "s0"), ("recover", "Go to cut s1", "s1")):
        QApplication.sendEvent(strip.steps[step], QContextMenuEvent(REASON, QPoint(5, 5), QPoint(5, 5)))
        menu = QApplication.activePopupWidget()
        next(one for one in menu.actions() if one.text() == words).trigger()
        menu.close()
        assert document.state.id == state and strip.steps[step].stage == "present"
    assert [state for state, _ in strip.steps["recover"].states] == ["s1", "s2"]


def test_the_step_of_the_page_in_front_is_checked_and_a_second_click_leaves_it_so(strip_of, qtbot) -> None:
    strip = strip_of(travelled())
    for name in strip.steps:
        strip.show_page(name)
        qtbot.mouseClick(strip.steps[name], Qt.MouseButton.LeftButton)
        assert [one for one, step in strip.steps.items() if step.isChecked()] == [name]
    strip.show_page("all")
    assert not any(step.isChecked() for step in strip.steps.values())


def test_captions_are_measured_numbers(strip_of) -> None:
    document = travelled()
    document.take_export("s2", exported())
    strip = strip_of(document)
    assert strip.steps["look"].caption == "91.4 %, 0.760 ms"
    assert strip.steps["recover"].caption == "90.9 %, 0.440 ms"
    assert strip.steps["export"].caption == "ONNX, 1.53 MB"
    assert "current state" in strip.steps["recover"].accessibleName()


def test_parameters_and_macs_of_a_plan_are_exact(cells_of) -> None:
    document = opened()
    cells = cells_of(document)
    document.plan.mark(np.arange(40, 60), True)
    before, now = document.original_costs, document.plan_costs
    assert cells["parameters"].number.text() == scaled(now.parameters)
    assert cells["parameters"].change.text() == change(before.parameters, now.parameters)
    assert cells["parameters"].source.text() == "plan, exact"
    assert cells["macs"].before.text() == f"{scaled(before.macs)} >"


def test_a_file_is_predicted_until_it_was_written(cells_of) -> None:
    document = travelled()
    cells = cells_of(document)
    assert cells["file"].source.text() == "recovered, predicted"
    assert cells["file"].number.text() == size(4 * document.plan_costs.parameters)
    document.take_export("s2", exported())
    assert cells["file"].source.text() == "recovered, measured"
    assert cells["file"].number.text() == "1.53 MB"


def test_no_latency_is_invented(cells_of, qtbot) -> None:
    document = opened()
    assert document.original is not None
    document.contents.states["s0"] = replace(document.original, timings=())
    cells = cells_of(document)
    assert cells["latency"].number.text() == "not measured"
    qtbot.mouseClick(cells["latency"].step, Qt.MouseButton.LeftButton)
    assert document.calls == [("measure", ())]


def test_a_plan_is_not_cut_yet(cells_of) -> None:
    document = opened()
    cells = cells_of(document)
    document.plan.mark([40], True)
    assert cells["latency"].number.text() == "not cut yet"
    assert cells["metric"].number.text() == "not cut yet"
    assert cells["metric"].step.isHidden()


def test_the_metric_comes_with_its_uncertainty_and_n(cells_of) -> None:
    document = travelled()
    cells = cells_of(document)
    assert cells["metric"].title.text() == "Top-1, n = 2,000"
    assert (cells["metric"].number.text(), cells["metric"].error.text()) == ("90.9 %", "\u00b1 0.64")
    assert cells["metric"].change.text() == "\u22120.5 pt"


def test_a_loss_beyond_the_goal_is_in_the_colour_of_the_goal(cells_of) -> None:
    document = travelled()
    cells = cells_of(document)
    assert cells["metric"].change.property("role") == "good"
    document.contents.goal = Goal(0.5, 0.1)
    document.plan.enter("s2", "")
    assert cells["metric"].change.property("role") == "marked"


def test_without_data_there_is_no_metric(cells_of) -> None:
    assert cells_of(opened(task=False))["metric"].number.text() == "no data"


def test_numbers_of_a_bundle_stand_there_without_its_data(cells_of) -> None:
    document = travelled()
    document.contents.task = None
    cell = cells_of(document)["metric"]
    assert cell.number.text() == "90.9 %" and cell.title.text() == "Top-1, n = 2,000" and cell.step.isHidden()


@pytest.mark.parametrize("width", [960, 1000, 1400, 2400])
def test_no_number_is_clipped(cells_of, width) -> None:
    plan, recovered = opened(), travelled()
    plan.plan.mark(np.arange(40, 60), True)
    recovered.take_export("s2", exported())
    for document in (opened(), plan, recovered):
        for cell in cells_of(document, width).values():
            shown = (cell.title, cell.source, cell.before, cell.number, cell.error, cell.change, cell.below, cell.step)
            for each in shown:
                if each.isVisible():
                    needed = each.sizeHint().width()
                    assert needed <= each.width(), (width, each.text(), needed, each.width())
                    assert each.geometry().right() < cell.width()


def test_a_stale_metric_offers_to_be_measured_and_all_of_it_is_read(qtbot, dressed) -> None:
    document = travelled()
    document.contents.states = {k: replace(s, stale=True) for k, s in document.contents.states.items()}
    ledger = LedgerPanel(document.workbench)
    qtbot.addWidget(ledger)
    for width in (1000, 1400):
        ledger.resize(width, 100)
        ledger.show()
        qtbot.waitUntil(lambda: ledger.windowHandle().isExposed())
        settle(qtbot, document)
        cell = ledger.cells["metric"]
        assert cell.step.text() == "Evaluate" and cell.source.text().endswith("stale")
        for part in (cell.before, cell.number, cell.error, cell.change, cell.step):
            assert not part.isVisible() or part.width() >= part.sizeHint().width(), (width, part.text())


def test_numbers_stay_whole_where_cells_are_narrow_and_text_is_large(qtbot, dressed) -> None:
    document = travelled()
    document.plan.mark(np.arange(40, 48), True)
    ledger = LedgerPanel(document.workbench)
    qtbot.addWidget(ledger)
    ledger.resize(1000, 100)
    ledger.show()
    try:
        theme().resize(LARGEST)
        settle(qtbot, document)
        for cell in ledger.cells.values():
            for part in (cell.number, cell.change, cell.apart):
                assert isinstance(part, ElidedLabel)
                assert not part.isVisible() or part.shown() == part.text(), part.text()
        macs = ledger.cells["macs"]
        assert not macs.change.isVisible() and macs.apart.isVisible() and macs.below.text().startswith("of ")
    finally:
        theme().resize(Sizes().body)
    qtbot.waitUntil(lambda: macs.change.isVisible() and not macs.apart.isVisible())
