"""The Sensitivity tab: the metric against the removed share of each layer."""

from .panel import SensitivityPanel

__all__ = ["SensitivityPanel"]
