"""The inspector: what is selected, how its scores are spread, what is removed with it, and why some of it is fixed."""

from .panel import InspectorPanel

__all__ = ["InspectorPanel"]
