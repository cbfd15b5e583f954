"""Handles values that no output depends on: what must stay so that their code still runs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .solver.labels import FixedLabels, LabelArray, Labels
from .solver.solve import components


def keep_dead_code(labels: Labels, idle: Sequence[FixedLabels], alive: Sequence[LabelArray]) -> None:
    """Say what stays, and which sizes are equal, of what is made for nobody.

    Args:
        labels: All statements of the record; gets more.
        idle: Labels of what is made for nothing.
        alive: Those of all else.
    """
    if idle or labels.apart:
        component = components(labels)
        _keep_unread(labels, component, idle, alive)
        _keep_apart(labels, component)


def _keep_unread(
    labels: Labels, component: NDArray[np.int64], idle: Sequence[FixedLabels], alive: Sequence[LabelArray]
) -> None:
    """What is made for nothing has no effect that a removal could be verified by, so it stays.

    Not so what goes with something else: a norm or a layer that nobody reads fixes no width of a residual stream.
    """
    known = np.zeros(labels.count, dtype=np.bool_)
    known[component[np.concatenate([d.ravel() for d in alive])] if alive else []] = True
    for one in idle:
        labels.fix(one.labels[~known[component[one.labels]]], one.reason, one.module)


def _keep_apart(labels: Labels, component: NDArray[np.int64]) -> None:
    """Parts of which the size matters to something else are equally long, and as long as what stands for them."""
    members = np.bincount(component)
    counted = np.zeros(len(members), dtype=np.bool_)
    for part in (part for one in labels.counted for part in one.parts):
        counted[component[part]] = True
    for one in labels.apart:
        own = component[one.one]
        if counted[own].any() or (members[own] > np.bincount(own)[own]).any():
            labels.tie(one.one, one.parts[0])
            labels.count_equal(one.parts, one.reason, one.module)
        else:  # a size that nobody knows is none that a repair could put right
            labels.fix(one.one, one.reason, one.module)
