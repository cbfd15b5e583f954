"""The look: contrast, colours of scores, and switching while widgets are on the screen."""

import itertools
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from secateur.app.theme import DARK, LIGHT, Scheme, apply, contrast, score_colours, score_table, theme
from secateur.app.theme.style import style_sheet
from secateur.app.widgets.card import Card
from secateur.app.widgets.plot import Plot


@pytest.fixture
def app(qapp: QApplication):
    yield qapp
    apply(qapp, Scheme.LIGHT)
    qapp.setStyleSheet("")


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_muted_text_can_be_read_on_every_surface(look) -> None:
    surfaces = (look.window, look.panel, look.raised, look.selection, look.hover)
    for text, surface in itertools.product((look.text, look.muted), surfaces):
        assert contrast(text, surface) >= 4.5, (text, surface)
    for text, surface in itertools.product((look.accent, look.marked), (look.panel, look.raised, look.selection)):
        assert contrast(text, surface) >= 4.5, (text, surface)
    assert contrast(look.on_accent, look.accent) >= 4.5
    assert contrast(look.muted, look.line) >= 3.0, "a disabled primary button"


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
