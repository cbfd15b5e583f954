"""The Recovery tab: curves of a training, while it runs and afterwards."""

from .panel import RecoveryPanel

__all__ = ["RecoveryPanel"]
