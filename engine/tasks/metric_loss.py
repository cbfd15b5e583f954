"""What of a metric is lost against the original: in points of a fraction, else as a share of the original's value."""

from .protocol import Metric

ROUNDING = 1e-9
"""What does not count of a loss."""


def lost(original: Metric, now: Metric) -> tuple[float, float]:
    """What of a metric is lost, and the standard error of that: in points of a fraction, else in shares of it."""
    loss = original.value - now.value if original.higher_is_better else now.value - original.value
    error = (original.error**2 + now.error**2) ** 0.5
    unit = 1.0 if original.percent else max(abs(original.value), 1e-12)
    return loss / unit, error / unit
