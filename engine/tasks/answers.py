"""What a model answers: the logits among its outputs, asked in evaluation mode, with sentences for what can go wrong."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import SecateurError, TaskError


def logits(outputs: Any) -> torch.Tensor:
    """The logits [N, classes] among a model's or a runtime's outputs: the tensor itself, `.logits`, or the first of several."""
    if isinstance(outputs, Mapping) and outputs:
        outputs = outputs.get("logits", next(iter(outputs.values())))
    elif hasattr(outputs, "logits"):
        outputs = outputs.logits
    while isinstance(outputs, list | tuple) and outputs:
        outputs = outputs[0]
    if isinstance(outputs, np.ndarray):
        outputs = torch.from_numpy(outputs)
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        given = f"a tensor {list(outputs.shape)}" if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        template = (
            "The model answers with {given}; a classification needs [N, classes]. Describe the task in a task.py."
        )
        raise TaskError("task.outputs", template, given=given)
    return outputs


@contextmanager
def evaluating(predict: Any) -> Iterator[None]:
    """Put a module into evaluation mode, and every part of it back as it was afterwards."""
    modules = list(predict.modules()) if isinstance(predict, nn.Module) else []
    were_training = [module for module in modules if module.training]
    for module in were_training:
        module.training = False
    try:
        yield
    finally:
        for module in were_training:
            module.training = True


def ask(predict: Any, inputs: tuple[Any, ...]) -> Any:
    """The outputs for a batch, without gradients.

    The mode is entered for this one call: a job is a generator, and a mode entered around a `yield` would leak to its caller.
    """
    with torch.inference_mode():
        try:
            return predict(*inputs)
        except SecateurError:
            raise
        except Exception as error:
            raise _refused(predict, inputs, error) from error


def _refused(predict: Any, inputs: tuple[Any, ...], error: Exception) -> TaskError:
    """Say why a model could not take a batch: in words where the channels differ, otherwise in the framework's own."""
    shapes = [tuple(x.shape) for x in inputs if isinstance(x, torch.Tensor)]
    wanted = _channels(predict)
    if wanted is not None and len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] != wanted:
        template = (
            "The images have {channels} channels, the model takes {wanted}. Convert the images or open other data."
        )
        return TaskError("task.channels", template, details=str(error), channels=shapes[0][1], wanted=wanted)
    shape = ", ".join(str(list(s)) for s in shapes)
    template = "The model cannot take a batch of shape {shape}: {error}. Check the size, the channels and the type of the data."
    return TaskError("task.batch", template, details=repr(error), shape=shape, error=str(error).strip().rstrip("."))


def _channels(predict: Any) -> int | None:
    """Channels that the first convolution takes, for the sentence only: it is looked at after the model has refused."""
    modules = predict.modules() if isinstance(predict, nn.Module) else ()
    return next((module.in_channels for module in modules if isinstance(module, nn.Conv2d)), None)
