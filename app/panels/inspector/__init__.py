"""The inspector: what is selected, how its scores are spread, what goes along, and why what is fixed is fixed."""

from .panel import Inspector

__all__ = ["Inspector"]
