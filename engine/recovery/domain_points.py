"""Points of a training curve that say where domains of text stand: their shares, losses and references. Numpy only.

A point is {"step": 40, "share/wiki": 0.6, "loss/wiki": 2.1, "reference/wiki": 1.8, ...} beside those with a loss or a
metric, so that the same curve holds all of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..tasks.domain_mixture import DomainMixture

SHARE, LOSS, REFERENCE = "share/", "loss/", "reference/"
"""Beginnings of the names; what follows is that of the domain."""


@dataclass(frozen=True, slots=True)
class DomainPoint:
    """A domain after some steps.

    Attributes:
        share: How often it is drawn from then on, 0 to 1.
        loss: On the val split, in nats a token; NaN where it was not measured then.
        reference: The loss that it should come to.
    """

    share: float
    loss: float
    reference: float


def domain_point(mixture: DomainMixture, step: int, losses: Any = ()) -> dict[str, float]:
    """The point of a curve for a mixture.

    Args:
        mixture: With shares and references.
        step: Steps done.
        losses: [k] of now, () where none were measured.
    """
    point = {"step": float(step)}
    for number, name in enumerate(mixture.names):
        found = {SHARE: mixture.proportions[number], REFERENCE: mixture.references[number]}
        if len(losses):
            found[LOSS] = losses[number]
        point |= {kind + name: float(value) for kind, value in found.items() if math.isfinite(value)}
    return point


def domains_of(point: Mapping[str, float]) -> dict[str, DomainPoint]:
    """The domains of a point, by name; none where it is another one."""
    return {
        name.removeprefix(SHARE): DomainPoint(
            share,
            *(point.get(kind + name.removeprefix(SHARE), math.nan) for kind in (LOSS, REFERENCE)),
        )
        for name, share in point.items()
        if name.startswith(SHARE)
    }


def domain_curves(curve: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, DomainPoint]]]:
    """(step, where it stands) of each domain of a curve, in the order of its points."""
    found = dict[str, list[tuple[int, DomainPoint]]]()
    for point in curve:
        for name, one in domains_of(point).items():
            found.setdefault(name, []).append((int(point["step"]), one))
    return found
