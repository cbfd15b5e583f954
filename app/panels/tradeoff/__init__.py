"""The Trade-off tab: points of cost against metric."""

from .panel import TradeOff

__all__ = ["TradeOff"]
