"""Options of torch's two exporters: free dimensions, silenced warnings, and the first line of an error."""

import contextlib
import inspect
import logging
import re
import warnings
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ..model_inputs import Inputs, batch_size

TRACED_BATCH = 2
"""Batch size of a trace whose batch is free; 1 would be frozen into the graph."""
LOGGERS = (
    "torch.onnx", "torch.export", "torch.fx", "torch.utils._pytree", "onnx_ir", "onnxscript", "torchao", "executorch",
)  # fmt: skip
"""Of the exporters, by which they speak of their own workings."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def free_batch(model: nn.Module, inputs: Inputs) -> Any:
    """Dynamic shapes in which the first dimension of every input that has the batch is free."""
    batch, given = torch.export.Dim("batch", min=1), batch_size(inputs)

    def shape(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return None
        return {0: batch} if one.ndim and len(one) == given else {}

    shapes = tree_map(shape, inputs)
    parameters = inspect.signature(model.forward).parameters.values()
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    named = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    if isinstance(inputs, Mapping) or not variadic or len(inputs) <= named:
        return shapes
    return (*shapes[:named], shapes[named:])


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """The exporters' remarks on their own workings are of no use to a person."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def first_line(error: Exception) -> str:
    """The first line of what caused an error."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def plain(error: Exception) -> str:
    """All of an error's text without the colours of a terminal."""
    return _COLOUR.sub("", str(error))
