"""The tree of modules, coupled sets and structures: rows in flat arrays, a model over them, and its view."""

from .panel import TreePanel

__all__ = ["TreePanel"]
