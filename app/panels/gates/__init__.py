"""The Masks tab: how gates close while masks are learned."""

from .panel import GatesPanel

__all__ = ["GatesPanel"]
