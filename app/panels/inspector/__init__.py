"""The inspector: what is selected, how its scores are spread, what goes along, and why what is fixed is fixed."""

from .panel import InspectorPanel

__all__ = ["InspectorPanel"]
