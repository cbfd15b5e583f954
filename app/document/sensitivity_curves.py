"""Sensitivity as the document keeps it: the points of one state by one criterion, as they come, then all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secateur.engine.sensitivity.protocol import Sensitivity, SensitivityPoint
from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.tasks.protocol import Metric

HALF = 0.5
"""The share at which one number represents a whole curve."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How the metric falls as one coupled set loses its weakest.

    Attributes:
        set_number: Which set.
        total: Structures that the state has of it.
        removed: [P] how many of them go, rising from 0.
        values: [P] the metric, in its own unit.
        errors: [P] its standard error, 0 unknown.
    """

    set_number: int
    total: int
    removed: NDArray[np.int64]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """[P] how much of the set goes, 0..1."""
        return self.removed / max(self.total, 1)

    def at(self, share: float) -> float:
        """The metric at a share, between two points on the line that joins them; NaN beyond the last."""
        return float(np.interp(share, self.shares, self.values, right=np.nan))


@dataclass(slots=True)
class Curves:
    """All points of one state, on the val split.

    Attributes:
        wanted: How many cuts are tried in all.
        tried: How many were.
        finished: All were tried.
        metric: Of the state as it is, None before that is known.
    """

    wanted: int
    tried: int = 0
    finished: bool = False
    metric: Metric | None = None
    _points: dict[int, dict[int, Metric]] = field(default_factory=dict[int, dict[int, Metric]])
    _made: dict[int, Curve] = field(default_factory=dict[int, Curve])

    def take(self, trials: Iterable[SensitivityPoint]) -> None:
        """Keep points that were just measured."""
        for trial in trials:
            if trial.set_number < 0:
                self.metric = trial.metric
            else:
                points = self._points.setdefault(trial.set_number, {})
                self.tried += trial.removed not in points
                points[trial.removed] = trial.metric
                self._made.pop(trial.set_number, None)

    def finish(self, found: Sensitivity) -> None:
        """All that could be measured are there."""
        self.metric, self.finished = found.metric, True

    def curve(self, analysis: Analysis, removed: Mask, number: int) -> Curve | None:
        """The curve of a set, None where nothing of it was measured."""
        points = self._points.get(number)
        if self.metric is None or not points:
            return None
        if number not in self._made:
            ordered = dict(sorted({0: self.metric, **points}.items()))
            total = int((~removed[analysis.sets[number].structures]).sum())
            values = np.array([one.value for one in ordered.values()])
            errors = np.array([one.error for one in ordered.values()])
            self._made[number] = Curve(number, total, np.array([*ordered]), values, errors)
        return self._made[number]

    def all(self, analysis: Analysis, removed: Mask) -> tuple[Curve, ...]:
        """All curves, in the order of the model."""
        found = (self.curve(analysis, removed, number) for number in sorted(self._points))
        return tuple(one for one in found if one is not None)

    def lost(self, curve: Curve, share: float = HALF) -> float:
        """How much worse the metric is where a share of a set is removed, in its own unit; NaN unknown."""
        if self.metric is None:
            return float("nan")
        return (self.metric.value - curve.at(share)) * (1.0 if self.metric.higher_is_better else -1.0)
