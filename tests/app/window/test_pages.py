"""Pages of the window: what each shows, how one turns to them, and that each stays as it was left."""

from dataclasses import replace
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from secateur.app.commands import command_named
from secateur.app.dialogs.save_layout import SaveLayout
from secateur.app.document.aspects import Aspect
from secateur.app.panels.registry import PANELS
from secateur.app.storage import settings
from secateur.app.window.layouts import LayoutsMenu, saved_layouts
from secateur.app.window.pages import ALL, PAGES
from tests.app.stand_in import opened
from tests.app.turns import settle
from tests.app.whole import JOBS, full, window_of

KEYS = {"view.look": Qt.Key.Key_F5, "view.plan": Qt.Key.Key_F6, "view.recover": Qt.Key.Key_F7}
KEYS |= {"view.judge": Qt.Key.Key_F8, "view.export": Qt.Key.Key_F9, "view.all": Qt.Key.Key_F4}


@pytest.fixture
def window(qtbot):
    with window_of(full(), qtbot, page="") as window:
        yield window


def seen(window) -> dict[str, list[str]]:
    """The titles of the tabs, and the docks that are shown."""
    tabs = {where: one.texts() for where, one in window.area.tabs.items()}
    return tabs | {"docks": [name for name, dock in window.area.docks.items() if not dock.isHidden()]}


def drag(window, module: str, to: int) -> None:
    """Drag a tab to another place."""
    title = next(one.shown() for one in PANELS if one.module == module)
    tabs = next(one for one in window.area.tabs.values() if title in one.texts())
    tabs.bar.moveTab(tabs.texts().index(title), to)


def test_every_panel_is_on_a_page_and_every_page_knows_its_panels() -> None:
    tabs = {one.module for one in PANELS if one.where == "tab"}
    steps = [page for name, page in PAGES.items() if name != ALL]
    assert {name for page in steps for name in (*page.middle, *page.bottom)} == tabs
    assert {*PAGES[ALL].middle, *PAGES[ALL].bottom} == tabs
    assert all(len({*one.middle, *one.bottom}) == len(one.middle) + len(one.bottom) for one in PAGES.values())


def test_each_page_shows_its_panels_and_its_step_is_checked(window, qtbot) -> None:
    titles = {one.module: one.shown() for one in PANELS}
    for name in (*PAGES, *reversed(PAGES)):
        window.show_page(name)
        page = PAGES[name]
        expected = {where: [titles[one] for one in getattr(page, where)] for where in ("middle", "bottom")}
        assert seen(window) == expected | {"docks": list(page.docks)}
        steps = window.area.panels["state_strip"].steps
        assert [one for one, step in steps.items() if step.isChecked()] == ([name] if name in steps else [])
        settle(qtbot, window.document)
        for module in (page.middle[0], *page.bottom[: "work" in page.docks]):
            qtbot.waitUntil(window.area.panels[module].isVisible)


def test_keys_and_clicks_turn_to_a_page_and_back_goes_the_way_that_was_gone(window, qtbot) -> None:
    window.activateWindow()
    for name, key in KEYS.items():
        QTest.keyClick(window, key)
        assert window.area.page.name == name.removeprefix("view.")
    qtbot.mouseClick(window.area.panels["state_strip"].steps["judge"], Qt.MouseButton.LeftButton)
    for name in ("all", "export", "judge"):
        assert window.area.page.name != name
        QTest.keyClick(window, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
        assert window.area.page.name == name


def test_each_page_stays_as_it_was_left_also_in_the_next_window(qtbot) -> None:
    with window_of(full(), qtbot, page="judge") as window:
        drag(window, "compare", 0)
        window.show_panel("compare")
        window.show_page("look")
        window.commands.run(command_named("view.dock_model"))
        left = seen(window)
        window.show_page("judge")
        assert seen(window)["middle"][0] == "Compare" and window.area.panels["compare"].isVisible()
    # A model that is opened is looked at first; the page itself is remembered.
    with window_of(full(), qtbot, page="look") as again:
        qtbot.waitUntil(lambda: seen(again) == left)
        again.show_page("judge")
        assert seen(again)["middle"][0] == "Compare"
        assert again.area.panel_in_front() == "compare"
        again.commands.run(command_named("view.reset"))
        assert seen(again)["middle"][0] == "Changes"
        again.show_page("look")
        assert seen(again) == left


def test_sizes_belong_to_their_page(window, qtbot) -> None:
    area, down = window.area, Qt.Orientation.Vertical
    window.show_page("judge")
    settle(qtbot, window.document)
    before = area.docks["work"].height()
    window.show_page("recover")
    qtbot.mousePress(area.holder, Qt.MouseButton.LeftButton, pos=QPoint(700, 1))
    area.holder.resizeDocks([area.docks["work"]], [before + 90], down)
    area.holder.layout().activate()
    qtbot.mouseRelease(area.holder, Qt.MouseButton.LeftButton, pos=QPoint(700, 1))
    for name, height in (("judge", before), ("recover", before + 90), ("judge", before)):
        settle(qtbot, window.document)
        window.show_page(name)
        qtbot.waitUntil(lambda height=height: abs(area.docks["work"].height() - height) <= 2)


@pytest.mark.parametrize("kept", [b"nonsense", "nonsense", {"places": 5, "middle": ["no", 3, "heads"], "sizes": [1]}])
def test_what_cannot_be_read_of_a_page_is_as_at_first(qtbot, kept) -> None:
    settings.store("page", "no such page")
    settings.store("page look", kept)
    with window_of(full(), qtbot, page="look") as window:
        assert window.area.page.name == "look"
        expected = ["Heads", "Graph", "Samples"] if isinstance(kept, dict) else ["Graph", "Heads", "Samples"]
        assert seen(window)["middle"] == expected and seen(window)["docks"] == ["model", "inspector"]


def test_a_panel_is_shown_on_the_page_in_front_if_that_has_it_else_on_its_own(window) -> None:
    for page, module, expected in (
        ("plan", "heads", "plan"),
        ("export", "heads", "look"),
        ("judge", "tradeoff", "judge"),
        ("recover", "tradeoff", "plan"),
        (ALL, "tradeoff", ALL),
        ("plan", "log", "look"),
    ):
        window.show_page(page)
        window.show_panel(module)
        assert window.area.page.name == expected and window.area.panels[module].isVisible()


@pytest.mark.parametrize("module", ["tradeoff", "layers", "tree", "inspector"])
def test_a_panel_has_all_the_room_of_its_page_and_gives_it_back(window, qtbot, module: str) -> None:
    window.show_page("plan")
    settle(qtbot, window.document)
    panel, before = window.area.panels[module], seen(window)
    width = panel.width()
    window.area.toggle_maximised(module)
    qtbot.waitUntil(lambda: panel.width() > 1200)
    others = [window.area.panels[one] for one in ("tradeoff", "layers", "tree", "inspector") if one != module]
    assert panel.isVisible() and not any(one.isVisible() for one in others)
    window.area.toggle_maximised()
    qtbot.waitUntil(lambda: abs(panel.width() - width) <= 2)
    assert seen(window) == before


def test_a_double_click_on_a_tab_maximises_it_and_another_page_has_its_own_room(window, qtbot) -> None:
    window.show_page("plan")
    bar = window.area.tabs["middle"].bar
    qtbot.mouseDClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(1).center())
    assert seen(window)["docks"] == [] and window.area.panels["sensitivity"].isVisible()
    window.show_page("look")
    assert seen(window)["docks"] == ["model", "inspector"]
    window.show_page("plan")
    assert seen(window)["docks"] == list(PAGES["plan"].docks)


def test_a_page_left_maximised_is_remembered_as_it_was_before(qtbot) -> None:
    with window_of(full(), qtbot, page="plan") as window:
        before = seen(window)
        window.commands.run(command_named("view.maximise"))
        assert seen(window) != before
    with window_of(full(), qtbot, page="plan") as again:
        qtbot.waitUntil(lambda: seen(again) == before)


def test_a_job_turns_no_page_unless_a_person_started_it_from_the_menu_or_a_button(window, qtbot, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        window.document.jobs = (replace(JOBS[0], changes=True),)
        patch.setattr(type(window.document), "busy", True)
        for page, front in (("judge", "changes"), ("recover", "recovery")):
            window.show_page(page)
            window.document.announce(Aspect.JOBS)
            window.document.announce(Aspect.CURVE)
            settle(qtbot, window.document)
            assert window.area.page.name == page and window.area.panel_in_front() == front
    started = []
    monkeypatch.setattr(window.workbench.plan, "suggest", lambda: started.append(window.area.page.name))
    monkeypatch.setattr(window.document, "jobs", ())
    for page, expected in (("look", "plan"), (ALL, ALL)):
        window.show_page(page)
        window.run_command("edit.suggest")
        assert started.pop() == expected == window.area.page.name


def test_without_a_model_no_page_can_be_turned_to(qtbot) -> None:
    with window_of(opened(), qtbot) as window:
        assert all(window.commands.by_id[name].isEnabled() for name in KEYS)
        window.document.contents.analysis = None
        assert all(command_named(name).enabled(window.document) for name in KEYS)


def test_a_layout_is_saved_under_a_name_brought_back_in_the_next_window_and_forgotten(qtbot) -> None:
    with window_of(full(), qtbot, page="judge") as window:
        drag(window, "compare", 0)
        window.area.docks["model"].show()
        expected = seen(window)
        window.run_command("view.save_layout")
        (dialog,) = window.findChildren(SaveLayout)
        assert not dialog.accept_button.isEnabled()
        dialog.name.setText(" Two & more ")
        dialog.accept_button.click()
        window.commands.run(command_named("view.reset"))
        assert seen(window) != expected
    with window_of(full(), qtbot, page="look") as again:
        (menu,) = again.findChildren(LayoutsMenu)
        menu.fill()
        entry = menu.actions()[0]
        assert entry.text() == "Two && more"
        entry.trigger()
        assert again.area.page.name == "judge"
        qtbot.waitUntil(lambda: seen(again) == expected)
        forget: Any = menu.actions()[-1].menu()
        forget.actions()[0].trigger()
        menu.fill()
        assert saved_layouts() == {} and not menu.actions()[-1].isEnabled()


def test_layouts_that_cannot_be_read_are_left_out() -> None:
    for kept in ("no", {"a": 3, "b": {"page": "nowhere"}, "c": {}}, [1]):
        settings.store("layouts", kept)
        assert saved_layouts() == {}
