"""A long chain of fully connected layers: the largest analysis that is made in no time."""

import numpy as np

from secateur.engine.structures.analysis import Analysis, CostingOperators, CoupledSet, Kind, ModuleInfo, TensorInfo


def stack(layers: int, width: int) -> Analysis:
    """`layers` hidden layers of `width` neurons each, between an input and an output that are fixed."""
    count = layers * width
    names = [f"layer{n}" for n in range(layers + 1)]
    ends = (-1, *range(layers), -1)
    tensors = tuple(
        TensorInfo(f"{n}.weight", (width, width), True, (ends[i + 1], ends[i]), (), n) for i, n in enumerate(names)
    )
    sets = tuple(
        CoupledSet(Kind.NEURON, f"{n}.weight", 0, n, i * width, width, ((i, 0), (i + 1, 1)))
        for i, n in enumerate(names[:-1])
    )
    axes = np.array([(ends[i], ends[i + 1], -1, -1) for i in range(layers + 1)], np.int32)
    constant = np.array([width, *[1] * (layers - 1), width], np.int64)
    return Analysis(
        model="stack",
        input_shapes=((2, width),),
        tensors=tensors,
        modules=tuple(ModuleInfo(n, "Linear") for n in ("", *names)),
        sets=sets,
        fixed=(),
        index=np.tile(np.arange(width, dtype=np.int32), layers),
        axis_start=np.arange(layers + 1, dtype=np.int64) * width,
        member_start=np.arange(count + 1, dtype=np.int64),
        member_position=np.arange(count, dtype=np.int64),
        operators=CostingOperators(constant, axes, tuple(names), ("aten.mm",) * (layers + 1)),
        block_tensor=np.zeros((0, 2), np.int32),
        block_operator=np.zeros((0, 2), np.int32),
    )
