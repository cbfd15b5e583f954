"""Fixes the indices of a weight's axis that no recorded run read, where it reads as many as an input has.

`x + positions[: x.shape[1]]` reads the first rows of a table. Longer inputs read more of them, at the same places.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ..tracing.record import Record
from . import reasons
from .solver.labels import LabelArray, Labels
from .solver.solve import components
from .unread_parameters import LabelledRun


def keep_unread_indices(labels: Labels, runs: Sequence[LabelledRun]) -> None:
    """Fix what slices of weights left out of axes of which a part must stay.

    An axis of which nothing must stay is one of channels, whatever is read of it.

    Args:
        labels: All statements; gets more.
        runs: Each run with the labels of its values.
    """
    known = [_computed_of_weights(record) for record, _ in runs]
    found = {axis.tobytes(): (axis, m) for run, own in zip(runs, known, strict=True) for axis, m in _sliced(run, own)}
    if not found:
        return
    component = components(labels)
    met, fixed = np.zeros(labels.count, dtype=np.bool_), np.zeros(labels.count, dtype=np.bool_)
    for (_, dims), own in zip(runs, known, strict=True):
        for value in dims.keys() - own:
            for dim in dims[value]:
                if dim is not None:
                    met[component[dim.ravel()]] = True
    for one in labels.fixed:
        fixed[component[one.labels]] = True
    for axis, module in found.values():
        own = component[axis]
        unread = axis[~(met[own] | fixed[own])]
        if len(unread) and fixed[own].any():
            labels.fix(unread, reasons.unread(len(axis) - len(unread), len(axis)), module)


def _computed_of_weights(record: Record) -> set[int]:
    """Weights, and values that are computed of them alone."""
    found = {source.value for source in record.sources}
    for call in record.calls:
        if found.issuperset(call.reads):
            found.update(call.outputs)
    return found


def _sliced(run: LabelledRun, weights: set[int]) -> Iterator[tuple[LabelArray, str]]:
    """Axes of weights of which a slice leaves out something, and the module that does it."""
    record, dims = run
    for call in record.calls:
        if call.op == "aten.slice" and weights.issuperset(call.reads):
            axis: int = call.arguments.get("dim", 0)
            whole = dims[call.reads[0]][axis]
            if whole is not None and record.shapes[call.outputs[0]][axis] < len(whole):
                yield whole.ravel(), call.module
