"""What structures are coloured by in place of scores: numbers of each, from what the document holds. No torch."""

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Mask
from secateur.engine.structures.costs import StructureMacs

from .sensitivity_curves import Curves


def lost_by_structure(analysis: Analysis, removed: Mask, curves: Curves) -> NDArray[np.float64]:
    """[S] how much worse the metric is where half of a structure's set is removed, in its own unit; NaN unknown."""
    values = np.full(analysis.count, np.nan)
    for curve in curves.all(analysis, removed):
        values[analysis.sets[curve.set_number].structures] = curves.lost(curve)
    return np.where(removed, np.nan, values)


def shares_by_structure(analysis: Analysis, removed: Mask) -> NDArray[np.float64]:
    """[S] share of the MACs that goes with each structure and all that is coupled to it; NaN for what is gone."""
    macs = StructureMacs(analysis, removed)
    taken = np.concatenate([np.zeros(0, np.int64), *(macs.of_set(number) for number in range(len(analysis.sets)))])
    return np.where(removed, np.nan, taken / max(macs.total, 1))
