"""The colours of scores: cividis, from 0.15 up so that its dark end stays visible on a dark panel.

Kept as a few anchors so that a window can open without importing a plotting library.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOW = 0.15
"""Where on cividis the lowest score lies."""

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
