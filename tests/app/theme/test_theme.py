"""The look: contrast, colours of scores, and switching while widgets are on the screen."""

import itertools
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from shiboken6 import delete, isValid

from secateur.app.theme import (
    CONTRAST,
    DARK,
    LIGHT,
    Scheme,
    Sizes,
    application_theme,
    apply,
    contrast,
    score_colours,
    score_table,
    theme,
)
from secateur.app.theme.style import style_sheet
from secateur.app.widgets.card import Card
from secateur.app.widgets.labels import label, set_role
from secateur.app.widgets.plot import Plot
from secateur.app.widgets.progress import ProgressBar


@pytest.fixture
def app(qapp: QApplication):
    yield qapp
    apply(qapp, Scheme.LIGHT)


@pytest.mark.parametrize("look", [LIGHT, DARK, CONTRAST], ids=["light", "dark", "contrast"])
def test_text_and_muted_text_can_be_read_on_every_surface(look) -> None:
    surfaces = (look.window, look.panel, look.raised, look.selection, look.hover)
    for text, surface in itertools.product((look.text, look.muted), surfaces):
        assert contrast(text, surface) >= 4.5, (text, surface)
    for text, surface in itertools.product((look.accent, look.marked), (look.panel, look.raised, look.selection)):
        assert contrast(text, surface) >= 4.5, (text, surface)
    assert contrast(look.on_accent, look.accent) >= 4.5
    assert contrast(look.muted, look.line) >= 3.0, "a disabled primary button"


def test_the_high_contrast_look_has_seven_to_one_for_text_but_marks_in_a_selection_and_three_to_one_for_edges() -> None:
    for ground in (CONTRAST.window, CONTRAST.panel, CONTRAST.raised, CONTRAST.selection, CONTRAST.hover):
        for text in (CONTRAST.text, CONTRAST.muted, CONTRAST.accent, CONTRAST.marked):
            if (text, ground) != (CONTRAST.marked, CONTRAST.selection):
                assert contrast(text, ground) >= 7, (text, ground)
    assert contrast(CONTRAST.edge, CONTRAST.panel) >= 3 and contrast(CONTRAST.on_accent, CONTRAST.accent) >= 7


@pytest.mark.parametrize("look", [LIGHT, DARK, CONTRAST], ids=["light", "dark", "contrast"])
def test_the_focus_is_seen_by_a_change_of_three_to_one(look) -> None:
    assert contrast(look.accent, look.edge) >= 3


@pytest.mark.parametrize("look", [LIGHT, DARK, CONTRAST], ids=["light", "dark", "contrast"])
def test_the_frame_of_the_focused_primary_button_has_three_to_one_with_what_lies_around_it(look) -> None:
    assert all(contrast(look.text, around) >= 3 for around in (look.window, look.panel))
    assert contrast(look.text, look.accent) >= 1.3  # with its own colour it has less


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_score_colours_are_cividis_from_its_visible_part() -> None:
    import pyqtgraph

    cividis: Any = pyqtgraph.colormap.get("cividis")
    published = cividis.map(np.linspace(0.15, 1.0, 256), mode="byte")[:, :3]
    assert np.abs(score_table().astype(int) - published.astype(int)).max() <= 6


def test_scores_outside_the_scale_are_clipped_and_unknown_ones_get_the_lowest_colour() -> None:
    table = score_table()
    shown = score_colours(np.array([-1.0, 0.0, 1.0, 7.0, np.nan]))
    assert (shown[[0, 1, 4]] == table[0]).all()
    assert (shown[[2, 3]] == table[255]).all()


def test_a_switch_repaints_cards_and_plots_at_once(app, qtbot) -> None:
    apply(app, Scheme.LIGHT)
    card, plot = Card(), Plot("a plot")
    for each in (card, plot):
        qtbot.addWidget(each)
        each.resize(120, 90)
        each.show()
    assert _middle(card) == LIGHT.panel
    with qtbot.waitSignal(theme().changed):
        apply(app, Scheme.DARK)
    assert _middle(card) == DARK.panel
    assert plot.backgroundBrush().color().name() == DARK.panel
    assert theme().tokens is DARK


@pytest.mark.parametrize("role", ["", "strong", "heading", "number"])
def test_a_label_whose_role_changes_after_a_switch_has_the_colour_of_the_new_look(app, qtbot, role) -> None:
    apply(app, Scheme.LIGHT)
    page = QWidget()
    layout, one = QVBoxLayout(page), label("1.00", role)
    layout.addWidget(one)
    qtbot.addWidget(page)
    page.show()
    set_role(one, "good")
    apply(app, Scheme.DARK)
    set_role(one, role)
    assert one.palette().color(one.foregroundRole()).name() == DARK.text
    apply(app, Scheme.LIGHT)
    assert one.palette().color(one.foregroundRole()).name() == LIGHT.text


def test_titles_of_axes_keep_the_colour_of_the_look_whenever_they_are_written(app, qtbot) -> None:
    apply(app, Scheme.LIGHT)
    plot = Plot("a plot")
    qtbot.addWidget(plot)
    plot.label_axis("left", "top-1, %")
    for scheme, look in ((Scheme.DARK, DARK), (Scheme.LIGHT, LIGHT)):
        apply(app, scheme)
        plot.label_axis("bottom", f"MACs, {scheme}")
        for side in ("left", "bottom"):
            assert f"color:{look.muted}" in plot.getAxis(side).label.toHtml(), (scheme, side)


def test_the_system_scheme_follows_the_system(app, monkeypatch) -> None:
    look = apply(app, Scheme.SYSTEM)
    monkeypatch.setattr(look, "_system_scheme", lambda: Qt.ColorScheme.Dark)
    app.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert look.tokens is DARK
    monkeypatch.setattr(look, "_system_scheme", lambda: Qt.ColorScheme.Light)
    app.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert look.tokens is LIGHT


def test_a_chosen_scheme_does_not_follow_the_system(app, monkeypatch) -> None:
    look = apply(app, Scheme.DARK)
    monkeypatch.setattr(look, "_system_scheme", lambda: Qt.ColorScheme.Light)
    app.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Light)
    assert look.tokens is DARK


def test_the_style_sheet_knows_no_colour_that_is_no_token() -> None:
    import re

    known = {v for v in (getattr(DARK, name) for name in DARK.__slots__) if isinstance(v, str)}
    assert set(re.findall(r"#[0-9a-f]{6}", style_sheet(DARK))) <= known


def _middle(widget) -> str:
    return widget.grab().toImage().pixelColor(widget.width() // 2, widget.height() // 2).name()


def test_a_switch_in_turns_shows_the_look_before_until_all_is_dressed(app, qtbot) -> None:
    apply(app, Scheme.LIGHT)
    card = Card()
    inner = label("words", "heading", parent=card)
    qtbot.addWidget(card)
    card.resize(240, 90)
    card.show()
    qtbot.waitUntil(lambda: card.windowHandle().isExposed())
    painted = Painted(card)
    theme().switch(Scheme.DARK)
    theme().switch(body=16)  # a second one before the first is done: both hold
    assert theme().switching and not card.updatesEnabled()
    qtbot.waitUntil(lambda: not theme().switching)
    assert card.updatesEnabled() and _middle(card) == DARK.panel
    assert inner.fontInfo().pixelSize() == theme().sizes.heading == Sizes(16).heading
    qtbot.waitUntil(lambda: len(painted.looks) > 0)
    assert set(painted.looks) == {DARK.panel}, "painted half-way"
    apply(app, Scheme.LIGHT, Sizes().body)


def test_a_look_that_is_taken_at_once_ends_a_switch(app, qtbot) -> None:
    apply(app, Scheme.LIGHT)
    card = Card()
    qtbot.addWidget(card)
    card.resize(120, 90)
    card.show()
    theme().switch(Scheme.DARK)
    apply(app, Scheme.LIGHT)
    assert not theme().switching and card.updatesEnabled() and _middle(card) == LIGHT.panel
    qtbot.wait(20)
    assert _middle(card) == LIGHT.panel and theme().scheme is Scheme.LIGHT


def test_a_look_that_is_worn_already_is_not_put_on_again(app, qtbot, monkeypatch) -> None:
    apply(app, Scheme.DARK)
    sheets: list[str] = []
    monkeypatch.setattr(QApplication, "setStyleSheet", lambda _self, sheet: sheets.append(sheet))
    with qtbot.waitSignal(theme().changed):
        apply(app, Scheme.DARK)
    assert not sheets
    apply(app, Scheme.LIGHT)
    assert sheets == ["", style_sheet(LIGHT, theme().sizes)]
    monkeypatch.undo()
    apply(app, Scheme.DARK)


def test_a_look_replaces_a_switch_that_has_only_taken_the_old_one_away(app, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(application_theme, "PART", 1)
    apply(app, Scheme.LIGHT)
    card = QWidget()
    rows = QVBoxLayout(card)
    for _ in range(100):
        rows.addWidget(label("words"))
    qtbot.addWidget(card)
    card.show()
    theme().switch(Scheme.DARK)
    qtbot.waitUntil(lambda: not app.styleSheet())
    apply(app, Scheme.LIGHT)
    assert app.styleSheet() == style_sheet(LIGHT, theme().sizes)


def test_a_switch_to_what_is_there_changes_nothing(app, qtbot) -> None:
    apply(app, Scheme.LIGHT)
    with qtbot.waitSignal(theme().changed):
        theme().switch(body=theme().sizes.body)
    assert not theme().switching


def test_a_style_sheet_that_is_put_on_in_parts_looks_as_one_that_qt_puts_on(app, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(application_theme, "PART", 2)
    apply(app, Scheme.LIGHT)
    card = QWidget()
    rows = QVBoxLayout(card)
    parts = [label("words", "heading"), QCheckBox("a choice"), QSpinBox(), QPushButton("go"), QPlainTextEdit("text")]
    for part in parts:
        part.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        rows.addWidget(part)
    gone = QPushButton("on its way out", card)
    parts[1].hide()
    qtbot.addWidget(card)
    card.resize(240, 300)
    card.show()
    qtbot.waitUntil(lambda: card.windowHandle().isExposed())
    gone.hide()
    sheet = style_sheet(DARK, Sizes(16))
    app.setStyleSheet("")
    app.setStyleSheet(sheet)
    parts[1].show()
    expected = _settled(card)
    told = [Told(part) for part in parts]
    for one in ("", sheet):
        parts[1].hide()
        turns = application_theme.dress(app, one)
        next(turns)
        parts[1].show()  # in the midst of it
        for _ in turns:
            if isValid(gone):
                delete(gone)
    found = _settled(card)
    assert found == expected
    assert all(one.times == 2 for one in told), "a widget that measures its words has to hear of each"
    assert not any(part.testAttribute(Qt.WidgetAttribute.WA_SetStyle) for part in parts)
    app.setStyleSheet(style_sheet(LIGHT, theme().sizes))  # what the theme takes it to wear


class Told(QObject):
    """How often a widget heard that its style changed."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.times = 0
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.times += event.type() is QEvent.Type.StyleChange
        return False


def _settled(widget: QWidget) -> QImage:
    """The picture when every layout is done."""
    for _ in range(3):
        QApplication.processEvents()
    return widget.grab().toImage()


class Painted(QObject):
    """The background that a widget had at each paint."""

    def __init__(self, widget) -> None:
        super().__init__(widget)
        self.looks: list[str] = []
        widget.installEventFilter(self)

    def eventFilter(self, watched, event) -> bool:
        if event.type() is QEvent.Type.Paint:
            sheet = QApplication.instance().styleSheet()  # type: ignore[union-attr]
            self.looks.append(DARK.panel if DARK.panel in sheet else LIGHT.panel if sheet else "undressed")
        return False


def test_nothing_moves_where_motion_is_reduced(app) -> None:
    look, bar = apply(app), ProgressBar(maximum=0)
    assert bar.maximum() == 0
    flashing = QApplication.cursorFlashTime()
    assert flashing > 0
    look.reduce_motion(True)
    bar.setRange(0, 0)
    assert (bar.minimum(), bar.maximum()) == (0, 1) and QApplication.cursorFlashTime() == 0
    bar.setRange(0, 8)
    assert bar.maximum() == 8
    look.reduce_motion(False)
    bar.setRange(0, 0)
    assert bar.maximum() == 0 and QApplication.cursorFlashTime() == flashing
