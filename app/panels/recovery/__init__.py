"""The Recovery tab: curves of a training, while it runs and afterwards."""

from .panel import Recovery

__all__ = ["Recovery"]
