"""The colours and sizes of the window for each look (light, dark, high contrast), and the colours of scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tokens:
    """A look. Colours are "#rrggbb".

    Attributes:
        dark: True for the dark one.
        window: Behind the cards.
        panel: Cards.
        raised: Fields, buttons and menus.
        line: Hairlines, bar tracks and grids.
        edge: Borders of what can be clicked, a little stronger than a hairline.
        text: Text.
        muted: Captions, fixed and locked rows; still 4.5:1.
        accent: What acts, and what is good.
        on_accent: Text on the accent.
        marked: Marked for removal, and the goal.
        selection: Behind a selected row.
        hover: Behind the row under the mouse.
    """

    dark: bool
    window: str
    panel: str
    raised: str
    line: str
    edge: str
    text: str
    muted: str
    accent: str
    on_accent: str
    marked: str
    selection: str
    hover: str


LIGHT = Tokens(
    dark=False,
    window="#f4f4f1",
    panel="#ffffff",
    raised="#fafaf8",
    line="#e3e3de",
    edge="#d2d3cd",
    text="#1f2328",
    muted="#5d6470",
    accent="#1f7a5c",
    on_accent="#ffffff",
    marked="#c2410c",
    selection="#eaf3ef",
    hover="#f4f5f2",
)

DARK = Tokens(
    dark=True,
    window="#15171b",
    panel="#1c1f24",
    raised="#23272e",
    line="#2f343c",
    edge="#414853",
    text="#e7e9ec",
    muted="#98a1ad",
    accent="#4cc38a",
    on_accent="#08130d",
    marked="#ff9f43",
    selection="#22372f",
    hover="#22262c",
)

CONTRAST = Tokens(
    dark=True,
    window="#000000",
    panel="#000000",
    raised="#000000",
    line="#4d4d4d",
    edge="#767676",
    text="#ffffff",
    muted="#d6d6d6",
    accent="#ffd60a",
    on_accent="#000000",
    marked="#ffb057",
    selection="#00456b",
    hover="#262626",
)

BODY, CAPTION, NUMBER, HEADING = 12, 11, 18, 13
"""Font sizes in device-independent pixels, where nothing else is chosen."""

SMALLEST, LARGEST = 10, 18
"""Between which the size of body text can be chosen, in device-independent pixels."""

GAP, RADIUS = 10, 8
"""Gap between cards and radius of their corners, in device-independent pixels."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Font sizes, and what is as tall as a line of text, for one size of body text.

    Attributes:
        body: Of body text, in device-independent pixels.
    """

    body: int = BODY

    @property
    def caption(self) -> int:
        """Of captions."""
        return self.px(CAPTION)

    @property
    def heading(self) -> int:
        """Of headings."""
        return self.px(HEADING)

    @property
    def number(self) -> int:
        """Of the ledger's numbers."""
        return self.px(NUMBER)

    def px(self, length: float) -> int:
        """A length that fits text of the first size, for this one."""
        return round(length * self.body / BODY)


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink(ground: str) -> str:
    """Black or white, whichever can be read better on a ground: its contrast is never below 4.5."""
    return max("#ffffff", "#000000", key=lambda colour: contrast(colour, ground))


LOW = 0.15
"""Where on cividis the lowest score is."""

_CIVIDIS = np.array(
    [
        (0, 32, 77), (0, 43, 104), (5, 54, 110), (44, 65, 108), (64, 77, 107), (81, 88, 108), (96, 100, 111),
        (110, 111, 115), (124, 123, 120), (139, 135, 121), (155, 148, 119), (172, 161, 116), (188, 175, 111),
        (206, 188, 103), (224, 203, 93), (242, 218, 79), (255, 234, 70),
    ],
    dtype=np.float64,
)  # fmt: skip
"""Nunez, Anderton, Renslow 2018, at 17 even steps."""


def score_table() -> NDArray[np.uint8]:
    """[256, 3] uint8 RGB: row 0 is the lowest score, row 255 the highest."""
    places = np.linspace(LOW, 1.0, 256)
    anchors = np.linspace(0.0, 1.0, len(_CIVIDIS))
    channels = [np.interp(places, anchors, _CIVIDIS[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


_TABLE = score_table()
_COLOURS: list[tuple[int, int, int]] = [tuple(row) for row in _TABLE.tolist()]


def score_colours(fractions: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint8]:
    """[n, 3] uint8 RGB of scores already scaled to 0..1 (clipped; NaN becomes the lowest)."""
    clipped = np.clip(np.nan_to_num(np.asarray(fractions, dtype=np.float64)), 0.0, 1.0)
    return _TABLE[np.rint(clipped * 255).astype(np.intp)]


def score_colour(fraction: float) -> tuple[int, int, int]:
    """RGB of one score already scaled to 0..1 (clipped; NaN becomes the lowest), without an array."""
    return _COLOURS[round(255 * min(max(fraction, 0.0), 1.0)) if fraction == fraction else 0]
