"""Costs by name, worded the same wherever one is asked for."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.protocol import Cost

say = QCoreApplication.translate


def cost_words(cost: Cost) -> str:
    """A cost as it stands behind "of the"."""
    return {
        Cost.MACS: say("costs", "MACs"),
        Cost.PARAMETERS: say("costs", "parameters"),
        Cost.SIZE: say("costs", "file size"),
        Cost.PEAK: say("costs", "memory"),
        Cost.LATENCY: say("costs", "latency"),
    }[cost]
