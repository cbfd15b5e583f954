"""The Heads tab: layers by heads as a heat map of their scores, to mark in."""

from .panel import HeadsPanel

__all__ = ["HeadsPanel"]
