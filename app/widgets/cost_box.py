"""A choice of costs, worded the same wherever one is asked for."""

from collections.abc import Sequence

from PySide6.QtWidgets import QWidget

from secateur.engine.planning.protocol import Cost

from ..text.structures import cost_words
from .fields import ComboBox

ORDER = (Cost.MACS, Cost.PARAMETERS, Cost.SIZE, Cost.PEAK, Cost.LATENCY)
"""As people ask for them."""


class CostBox(ComboBox):
    """The costs as entries."""

    def __init__(self, name: str, costs: Sequence[Cost] = ORDER, parent: QWidget | None = None) -> None:
        """Offer some; `name` is what a screen reader says."""
        super().__init__(name, parent)
        for cost in costs:
            self.addItem(cost_words(cost), str(cost))

    @property
    def cost(self) -> Cost:
        """The chosen one."""
        return Cost(self.currentData())

    def choose(self, cost: Cost) -> None:
        """Choose one; the first where it is not offered."""
        self.setCurrentIndex(max(0, self.findData(str(cost))))
