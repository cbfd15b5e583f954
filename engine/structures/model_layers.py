"""The layers of a model with shapes and costs, to be put beside those of another model. Plain numpy.

What the window has open it lists itself; any other model is opened by `workflows/read_layers.py`.
"""

from dataclasses import dataclass

import numpy as np

from .analysis import Analysis, Mask
from .costs import costs, kept_sizes


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A module that has parameters or computes.

    Attributes:
        path: Of the module, "" for the model itself.
        type_name: Its class.
        shapes: Of its parameters, by their names in it.
        parameters: How many numbers they hold, tied ones counted once.
        macs: Multiply-accumulates of what it calls itself, for one sample.
    """

    path: str
    type_name: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class ModelLayers:
    """A model by its layers.

    Attributes:
        name: For a person.
        inputs: Shapes of the example inputs that MACs are counted for.
        rows: In the order of the model.
        parameters: Of the whole model.
        macs: Of the whole model, for one sample.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    rows: tuple[LayerRow, ...]
    parameters: int
    macs: int


def layers_of(analysis: Analysis, removed: Mask | None = None) -> ModelLayers:
    """The layers of an analysed model; of what is left of it, where some structures are `removed` [S]."""
    gone = analysis.empty() if removed is None else removed
    spent, sizes = costs(analysis, gone), kept_sizes(analysis, gone)
    paths = [module.path for module in analysis.modules]
    place = {path: number for number, path in enumerate(paths)}
    shapes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in paths]
    parameters, macs = np.zeros(len(paths), np.int64), np.zeros(len(paths), np.int64)
    for tensor, size in zip(analysis.tensors, spent.tensor_sizes.tolist(), strict=True):
        if tensor.parameter and size and tensor.module in place:
            at = place[tensor.module]
            kept = (
                int(sizes[axis]) if axis >= 0 else whole for axis, whole in zip(tensor.axes, tensor.shape, strict=True)
            )
            shapes[at].append((tensor.name.removeprefix(f"{tensor.module}."), tuple(kept)))
            parameters[at] += size
    for path, count in zip(analysis.operators.module, spent.operator_macs.tolist(), strict=True):
        if path in place:
            macs[place[path]] += count
    rows = (
        LayerRow(module.path, module.type_name, tuple(shapes[at]), int(parameters[at]), int(macs[at]))
        for at, module in enumerate(analysis.modules)
        if parameters[at] or macs[at]
    )
    return ModelLayers(analysis.model, analysis.input_shapes, tuple(rows), spent.parameters, spent.macs)
