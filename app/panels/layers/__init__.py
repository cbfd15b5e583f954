"""The Layers tab: a row for each layer with widths, costs and sensitivity, and the ties between layers."""

from .panel import LayersPanel

__all__ = ["LayersPanel"]
