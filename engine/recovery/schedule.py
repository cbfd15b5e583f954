"""The learning-rate schedule: one cycle (Smith and Topin 2017) with cosine annealing."""

from math import cos, pi

START = 0.1
END = 0.001
"""Rates at both ends, as shares of the peak."""


def one_cycle(position: float, warm_up: float = 0.15) -> float:
    """Share of the peak learning rate at a position of the training, 0 to 1; it rises in the first `warm_up` (0..1)."""
    if position < warm_up:
        return _cosine(START, 1.0, position / warm_up)
    return _cosine(1.0, END, (position - warm_up) / max(1.0 - warm_up, 1e-9))


def _cosine(first: float, last: float, position: float) -> float:
    return last + (first - last) * (1.0 + cos(pi * position)) / 2.0
