"""The Compare tab: two models side by side in trees that move together, and a table of all runs."""

from .panel import ComparePanel

__all__ = ["ComparePanel"]
