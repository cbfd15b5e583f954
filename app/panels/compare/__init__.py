"""The Compare tab: two models side by side in trees that move together, and a table of all runs."""

from .panel import Compare

__all__ = ["Compare"]
