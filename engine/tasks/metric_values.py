"""A metric in words for command line, scripts and reports: with its n and its standard error."""

from ..errors import Message
from ..text.format import thousands
from .protocol import Metric


def metric_value(metric: Metric | None) -> str:
    """A metric's value with its standard error."""
    if metric is None:
        return ""
    if not metric.percent:
        return f"{metric.value:.4g}" + (f" ± {metric.error:.2g}" if metric.error else "")
    error = f" ± {100 * metric.error:.1f}" if metric.error else ""
    return f"{100 * metric.value:.1f}{error} %"


def metric_words(metric: Metric) -> Message:
    """top-1 91.4 ± 0.6 % (test split, n = 2,000)."""
    words = {"name": metric.name, "value": metric_value(metric), "split": metric.split.value}
    template = "{name} {value} ({split} split, n = {count})"
    return Message("metric.on_split", template, words | {"count": thousands(metric.count)})


ROUNDING = 1e-9
"""What does not count of a loss."""


def lost(original: Metric, now: Metric) -> tuple[float, float]:
    """What of a metric is lost, and the standard error of that: in points of a fraction, else in shares of it."""
    loss = original.value - now.value if original.higher_is_better else now.value - original.value
    error = original.difference_error(now)
    unit = 1.0 if original.percent else max(abs(original.value), 1e-12)
    return loss / unit, error / unit
