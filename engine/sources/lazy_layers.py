"""Initialises lazy layers when a model is opened, because checkpoints, copies and cuts need their shapes."""

import traceback
from collections.abc import Callable
from typing import Any, cast

from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import OpenError
from ..runtime import load_pruned


def finish_layers(model: nn.Module, make: Callable[[], Any], shape: tuple[int, ...], name: str) -> None:
    """Give the lazy layers of a model their sizes, as a run of another one finds them; the model itself does not run.

    Args:
        model: Its lazy layers are initialised, in the order in which they run.
        make: Makes another one, which runs once on zeros.
        shape: Of the model's input, with batch; () when unknown.
        name: For a person.

    Raises:
        OpenError: The shape is unknown, the other one does not run on it, or does not reach a lazy layer.
    """
    if not shape:
        raise OpenError(
            "open.lazy",
            "{name} has lazy layers, which get their sizes from the first input. Enter the input shape, or run the "
            "model once on example data in the function that builds it.",
            name=name,
        )
    words = {"name": name, "shape": "x".join(map(str, shape))}
    try:
        load_pruned.initialize_lazy(model, cast("nn.Module", make()), shape)
    except Exception as error:  # whatever the model's own code raises
        raise OpenError(
            "open.lazy_failed",
            "{name} has lazy layers, which get their sizes from the first input, and fails on an input of {shape}: "
            "{error}. Run the model once on example data in the function that builds it.",
            traceback.format_exc(),
            **words,
            error=str(error).strip().rstrip("."),
        ) from error
    left = next((path for path, one in (*model.named_parameters(), *model.named_buffers()) if is_lazy(one)), "")
    if left:
        raise OpenError(
            "open.lazy_unused",
            "{name} has lazy layers that an input of {shape} does not reach ({parameter}), so they have no sizes. Run "
            "them once in the function that builds the model, or remove them.",
            **words,
            parameter=left,
        )
