"""The Changes tab: what got worse from one state to another, by class, by slice and by sample."""

from .panel import ChangesPanel

__all__ = ["ChangesPanel"]
