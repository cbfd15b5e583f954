"""Names of structures and costs on the screen, and names shortened for rows."""

from collections.abc import Iterable

from PySide6.QtCore import QCoreApplication

from secateur.engine.planning.protocol import Cost, KindLimit
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind

from .format import share

say = QCoreApplication.translate


def one_of(kind: Kind) -> str:
    """The name of one structure: "filter"."""
    return {
        Kind.FILTER: say("kinds", "filter"),
        Kind.NEURON: say("kinds", "neuron"),
        Kind.HEAD: say("kinds", "head"),
        Kind.KV_GROUP: say("kinds", "key/value group"),
        Kind.EXPERT: say("kinds", "expert"),
        Kind.HEAD_DIM: say("kinds", "head dimension"),
        Kind.WIDTH: say("kinds", "width channel"),
        Kind.GROUP: say("kinds", "channel group"),
        Kind.UNIT: say("kinds", "recurrent unit"),
        Kind.CHANNEL: say("kinds", "channel"),
        Kind.BLOCK: say("kinds", "whole block"),
    }[kind]


def many_of(kind: Kind) -> str:
    """The name of many structures: "filters"."""
    return {
        Kind.FILTER: say("kinds", "filters"),
        Kind.NEURON: say("kinds", "neurons"),
        Kind.HEAD: say("kinds", "heads"),
        Kind.KV_GROUP: say("kinds", "key/value groups"),
        Kind.EXPERT: say("kinds", "experts"),
        Kind.HEAD_DIM: say("kinds", "head dimensions"),
        Kind.WIDTH: say("kinds", "channels of residual width"),
        Kind.GROUP: say("kinds", "channel groups"),
        Kind.UNIT: say("kinds", "recurrent units"),
        Kind.CHANNEL: say("kinds", "channels"),
        Kind.BLOCK: say("kinds", "blocks"),
    }[kind]


def title_of(kind: Kind) -> str:
    """The name of a coupled set: "residual width"."""
    return say("kinds", "residual width") if kind is Kind.WIDTH else many_of(kind)


def counted(kind: Kind, number: int) -> str:
    """Number and name: "1 filter", "64 filters"."""
    return f"{number:,} {one_of(kind) if number == 1 else many_of(kind)}"


def kept_words(kept: Iterable[KindLimit]) -> str:
    """What a goal keeps of single kinds: "70 % of heads, 10 blocks"."""
    return ", ".join(
        counted(one.kind, one.count)
        if one.count
        else say("kinds", "{0} of {1}").format(share(one.share), many_of(one.kind))
        for one in kept
    )


def structure_name(analysis: Analysis, structure: int, one: CoupledSet | None = None) -> str:
    """Name of one: "filter 42"; a block has no number."""
    one = analysis.set_of(structure) if one is None else one
    name = one_of(one.kind)
    return name if one.count == 1 else f"{name} {int(analysis.index[structure])}"


def short_path(path: str) -> str:
    """The last part of a module path, with the one before where it is only a number: "layer2.1"."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() and len(parts) > 1 else parts[-1]


def cost_words(cost: Cost) -> str:
    """A cost as it is written behind "of the"."""
    return {
        Cost.MACS: say("costs", "MACs"),
        Cost.PARAMETERS: say("costs", "parameters"),
        Cost.SIZE: say("costs", "file size"),
        Cost.PEAK: say("costs", "memory"),
        Cost.LATENCY: say("costs", "latency"),
    }[cost]
