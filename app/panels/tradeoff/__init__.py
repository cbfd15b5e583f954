"""The Trade-off tab: points of cost against metric."""

from .panel import TradeOffPanel

__all__ = ["TradeOffPanel"]
