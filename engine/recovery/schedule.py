"""The learning rate over a recovery: one cycle (Smith and Topin 2017) with cosine flanks."""

from math import cos, pi

WARM_UP = 0.15
"""Share of the steps in which the rate rises."""

START = 0.1
END = 0.001
"""Rates at both ends, as shares of the peak."""


def one_cycle(step: int, steps: int) -> float:
    """Share of the peak learning rate at step 0..steps-1; a run that turns out longer stays at the end."""
    position = min(step / max(steps - 1, 1), 1.0)
    if position < WARM_UP:
        return _cosine(START, 1.0, position / WARM_UP)
    return _cosine(1.0, END, (position - WARM_UP) / (1.0 - WARM_UP))


def _cosine(first: float, last: float, position: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * position)) / 2.0
