"""The manual in the window: F1 opens the page of the panel in front; contents, search, links and keys lead to pages."""

import re
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QTextBlock, QTextCursor, QTextFormat, QTextImageFormat
from PySide6.QtWidgets import QMenu, QTreeWidgetItem, QWidget

from secateur.app import theme
from secateur.app.commands.registry import COMMANDS
from secateur.app.panels.registry import PANELS
from secateur.app.window.main_window import MainWindow
from secateur.app.window.manual_window import Manual
from secateur.resources import manual_pages
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.stand_in import StandIn
from tests.app.whole import full, window_of
from tests.conftest import ROOT

PAGES = {page.name: page for page in manual_pages.pages()}
SOURCES = [*manual_pages.folder().glob("*.md"), ROOT / "README.md"]
TEXTS = {page.stem: " ".join(page.read_text(encoding="utf-8").split()) for page in SOURCES}
"""On one line each, so that names are found wherever lines break."""
MENUS = {one.menu for one in COMMANDS}
PATH = re.compile(r"\*(\w+) > ([^*]+)\*")
KEYS = re.compile(r"\*([^*]+)\* \(([A-Z][\w+]+)\)")


@pytest.fixture
def manual(qtbot, dressed) -> Iterator[Manual]:
    window = QWidget()
    qtbot.addWidget(window)
    made = Manual(window)
    made.show_page("getting-started.md")
    made.show()
    yield made
    made.close()


def shown(manual: Manual) -> str:
    return manual.view.source().fileName()


def items(manual: Manual) -> list[QTreeWidgetItem]:
    tree = manual.contents
    found = (tree.topLevelItem(number) for number in range(tree.topLevelItemCount()))
    return [item for item in found if item is not None]


def test_f1_opens_the_page_of_the_panel_in_front_and_no_second_window(qtbot):
    with window_of(full(), qtbot) as window:
        for module, page in (("heads", "window.md"), ("sensitivity", "planning.md")):
            window.area.show_tab(module)
            window.commands.by_id["help.manual"].trigger()
            (manual,) = window.findChildren(Manual)
            assert shown(manual) == page and manual.isVisible()
        window.activateWindow()
        window.area.show_tab("recovery")
        window.area.tabs["bottom"].bar.setFocus()
        # A window system makes a window active in its own time; a key before that has no focus to go by.
        qtbot.waitUntil(window.area.tabs["bottom"].bar.hasFocus)
        qtbot.keyClick(window, Qt.Key.Key_F1)
        qtbot.waitUntil(lambda: shown(manual) == "recovery.md")
        manual.close()


def test_without_a_model_f1_opens_the_first_page(qtbot):
    with window_of(StandIn(), qtbot) as window:
        window.commands.by_id["help.manual"].trigger()
        (manual,) = window.findChildren(Manual)
        assert shown(manual) == "getting-started.md"
        manual.close()


@pytest.mark.parametrize("place", PANELS, ids=lambda place: place.module)
def test_the_page_of_every_panel_exists_with_its_heading(place):
    name, _, anchor = place.page.partition(".md")
    assert anchor.removeprefix("#") in {section.anchor for section in PAGES[name].sections}


def test_the_contents_list_all_pages_and_show_which_one_it_is(manual):
    assert [item.text(0) for item in items(manual)] == [page.title for page in PAGES.values()]
    manual.show_page("latency.md")
    assert manual.contents.currentItem().text(0) == "Latency"
    assert [item.text(0) for item in items(manual) if item.isExpanded()] == ["Latency"]


def test_a_click_on_a_heading_of_the_contents_scrolls_to_it(qtbot, manual):
    manual.show_page("recovery.md")
    child = manual.contents.currentItem().child(0)
    tree = manual.contents
    tree.scrollToItem(child)
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=tree.visualItemRect(child).center())
    assert stands_at_the_top(manual, child.text(0))


def stands_at_the_top(manual: Manual, heading: str) -> bool:
    """A heading is shown at the upper edge of the page, but for the room above it."""
    block = manual.view.document().begin()
    while block.text() != heading or not block.blockFormat().headingLevel():
        block = block.next()
    return 0 <= manual.view.cursorRect(QTextCursor(block)).top() < 40


def test_links_lead_to_pages_and_back_and_forward_return(qtbot, manual):
    manual.view.follow(QUrl("latency.md#measure"))
    assert shown(manual) == "latency.md" and stands_at_the_top(manual, "Measure")
    qtbot.keyClick(manual, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert shown(manual) == "getting-started.md" and manual.forward.isEnabled()
    qtbot.keyClick(manual, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier)
    assert shown(manual) == "latency.md" and not manual.forward.isEnabled()


def test_the_search_lists_what_holds_all_words_and_return_opens_the_first(qtbot, manual):
    qtbot.keyClick(manual, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(manual.search, "jackknife")
    assert [item.text(0) for item in items(manual)] == ["Data and metrics"]
    qtbot.keyClick(manual.search, Qt.Key.Key_Return)
    assert shown(manual) == "data-and-metrics.md" and stands_at_the_top(manual, "Detectors")
    assert [mark.cursor.selectedText() for mark in manual.view.extraSelections()] == ["jackknife"]
    qtbot.keyClick(manual.search, Qt.Key.Key_Escape)
    assert manual.isVisible() and len(items(manual)) == len(PAGES) and not manual.view.extraSelections()


def test_a_search_without_a_result_says_so(qtbot, manual):
    qtbot.keyClicks(manual.search, "zzz")
    (only,) = items(manual)
    assert "Nothing found" in only.text(0) and not only.flags() & Qt.ItemFlag.ItemIsEnabled


def test_arrows_in_the_search_move_in_the_contents_and_return_opens(qtbot, manual):
    qtbot.keyClick(manual.search, Qt.Key.Key_Up)
    qtbot.keyClick(manual.search, Qt.Key.Key_Return)
    assert shown(manual) == "index.md"


def test_pictures_are_no_wider_than_the_page(qtbot, manual):
    for width in (700, 1100):
        manual.resize(width, 600)
        qtbot.waitUntil(lambda: 0 < widest(manual) <= manual.view.viewport().width())
    qtbot.waitUntil(lambda: widest(manual) > 700)


def test_a_picture_has_no_empty_space_below_it(qtbot, manual):
    qtbot.waitUntil(lambda: widest(manual) > 0)
    layout = manual.view.document().documentLayout()
    for block, form in pictures(manual):
        room = layout.blockBoundingRect(block.next()).top() - layout.blockBoundingRect(block).top()
        assert form.height() <= room < form.height() + 30


def widest(manual: Manual) -> float:
    """Width of the widest picture of the page."""
    return max((form.width() for _, form in pictures(manual)), default=0.0)


def pictures(manual: Manual) -> Iterator[tuple[QTextBlock, QTextImageFormat]]:
    """The pictures of the page, each with its block."""
    block = manual.view.document().begin()
    while block.isValid():
        walk = block.begin()
        while not walk.atEnd():
            if (form := walk.fragment().charFormat()).isImageFormat():
                yield block, form.toImageFormat()
            walk += 1
        block = block.next()


@pytest.mark.parametrize("scheme", [theme.Scheme.DARK, theme.Scheme.LIGHT])
def test_code_is_shaded_in_the_colours_of_the_theme(qapp, manual, scheme):
    theme.apply(qapp, scheme, theme.Sizes().body)
    block = manual.view.document().begin()
    while not block.blockFormat().hasProperty(QTextFormat.Property.BlockCodeFence):
        block = block.next()
    assert block.blockFormat().background().color().name() == theme.tokens().window


def test_every_menu_entry_that_is_named_exists(qtbot, dressed):
    window = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    inner = {one: f"{one.within} > " if one.within else "" for one in COMMANDS}
    titles = {(one.menu, inner[one] + one.title.removesuffix("...")) for one in COMMANDS}
    for one in window.findChildren(QMenu):
        if isinstance(parent := one.parent(), QMenu):
            titles.add((parent.title(), one.title()))
    named = {(page, menu, title) for page in TEXTS for menu, title in PATH.findall(TEXTS[page]) if menu in MENUS}
    assert ("window", "File", "Drafts") in named
    assert {(page, menu, title) for page, menu, title in named if (menu, title) not in titles} == set()


@pytest.mark.parametrize("page", TEXTS)
def test_every_shortcut_that_is_named_is_that_of_its_command(page):
    keys = {one.title.removesuffix("..."): one.shortcut for one in COMMANDS}
    for name, shortcut in KEYS.findall(TEXTS[page]):
        assert keys[name.rpartition(" > ")[2]] == shortcut
