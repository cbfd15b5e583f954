"""The Graph tab: the model as a drawing of its layers, with blocks that fold."""

from .panel import GraphPanel

__all__ = ["GraphPanel"]
