"""The History tab: the tree of states."""

from .panel import HistoryPanel

__all__ = ["HistoryPanel"]
