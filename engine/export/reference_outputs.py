"""Outputs of the live model on real inputs at two batch sizes, for a file to be compared with."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..adapters.torchvision_detection import IMAGES, images_of, resized
from ..errors import ExportError
from ..inference.model_inputs import Inputs, as_array, at_batch, batch_size, call, holds_arrays
from ..tasks.model_outputs import evaluating
from ..tracing.tree import exported_outputs
from .compare import COARSE, TOLERANCE, ReferenceCase


def cases(model: nn.Module, inputs: Inputs, fixed: int = 0) -> list[ReferenceCase]:
    """Inputs and outputs at batch 1 and at the batch of `inputs`, or 3 where that is 1 or 2.

    The model is traced at batch 2: a file in which that number is frozen fails here.

    Args:
        model: The live model.
        inputs: Example inputs [N, ...].
        fixed: The only batch size that counts, 0 for those above.
    """
    if not holds_arrays(inputs):
        raise ExportError(
            "export.inputs",
            "The model has no example inputs, so the exported file cannot be checked. "
            "Open the model with an input shape or data.",
        )
    given = batch_size(inputs)
    batches = [at_batch(inputs, batch) for batch in ((fixed,) if fixed else (1, given if given > 2 else 3))]
    return [(one, outputs_of(model, one)) for one in batches]


def images_and_boxes(detector: nn.Module, inputs: Inputs) -> list[ReferenceCase]:
    """Images [1, 3, H, W] of two sizes, one after the other, and what a detector finds in each.

    Args:
        detector: One in two stages.
        inputs: The inputs by which it was analysed.

    Raises:
        ExportError: It finds nothing in any of them, so that there is nothing to compare.
    """
    images = images_of(inputs)
    height, width = images.shape[-2:]
    tall = resized(images[-1:], (height + height // 4, width - width // 4))
    batches = [images[:1], tall]
    found = [outputs_of(detector, {IMAGES: [one[0]]}) for one in batches]
    if not any(len(expected[0]) for expected in found):
        raise ExportError(
            "export.nothing_found",
            "The detector finds nothing in the example images, so the exported file cannot be checked. Recover the "
            "model first, or open images in which it finds objects.",
        )
    return [({IMAGES: np.asarray(one)}, expected) for one, expected in zip(batches, found, strict=True)]


def outputs(result: Any) -> list[NDArray[Any]]:
    """All tensors in a model's output as arrays, in the order in which a file has them."""
    return [as_array(one.tensor.detach().cpu()) for one in exported_outputs(result)]


def require_agreement(difference: float, coarse: bool = False) -> float:
    """The difference of a file or folder from the model; raises ExportError where it is too large.

    Args:
        difference: The worst one over all outputs, relative to the largest value.
        coarse: Both compute in bfloat16.
    """
    tolerance = COARSE if coarse else TOLERANCE
    if not difference < tolerance:
        raise ExportError(
            "export.differs",
            "The exported file's outputs differ from the model's by {difference:.1e} (allowed: {tolerance:.0e}). "
            "Nothing was written. Try another format.",
            difference=difference,
            tolerance=tolerance,
        )
    return difference


def outputs_of(model: nn.Module, inputs: Inputs) -> list[NDArray[Any]]:
    """What the live model computes in evaluation mode; raises ExportError where it does not run."""
    try:
        with evaluating(model), torch.no_grad():
            return outputs(call(model, inputs))
    except Exception as error:
        raise ExportError(
            "export.forward",
            "The model does not run at batch {batch}: {error}",
            batch=batch_size(inputs),
            error=str(error),
        ) from error
