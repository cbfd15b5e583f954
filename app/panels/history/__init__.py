"""The History tab: the tree of states."""

from .panel import History

__all__ = ["History"]
