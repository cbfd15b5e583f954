"""The exporting process for a two-stage detector: writes everything from the image to the boxes.

Which boxes the first stage chooses depends on the image, which torch's present exporter cannot follow; the earlier one,
which records what runs, can.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.onnx.operators import shape_as_tensor

from ..adapters.torchvision_detection import IMAGES, images_of
from ..jobs import Job, Progress
from ..model_inputs import read
from ..sources.open import unpack
from ..tracing.tree import as_tensors, named_tensors
from .exporter_options import quiet
from .write_onnx import put, refused

OPSET = 17
"""Of the operators: torchvision's detectors need 11, runtimes of the last years know this one."""


def main(job: dict[str, Any]) -> Job[dict[str, Any]]:
    """Export the parcel `job["parcel"]` to `job["path"]`."""
    yield Progress("Rebuilding the model", 0, 4)
    model = unpack(job["parcel"])
    image: Tensor = images_of(as_tensors(read(job["inputs"])))[:1]
    yield Progress("Exporting to ONNX", 1, 4)
    export_boxes_here(model, image, job["path"], job["properties"])
    return {}


def export_boxes_here(model: nn.Module, image: Tensor, path: str, properties: Mapping[str, str]) -> None:
    """Write a detector to an ONNX file, in this process; cannot be interrupted, and changes the detector.

    Args:
        model: In eval mode.
        image: [1, 3, H, W].
        path: File to write.
        properties: Stored as the file's metadata, beside the names of the outputs.
    """
    with torch.no_grad():
        found = [name for name, _ in named_tensors(model([image[0]])[0])]
    _export(_OneImage(model).eval(), image, path, found)
    put(onnx.load(path), path, {**properties, "outputs": json.dumps(found)})


class _OneImage(nn.Module):
    """A detector that takes one image [1, 3, H, W] and gives what it finds, array by array. It changes the detector."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        if model.transform.fixed_size is None:
            model.transform.resize = partial(resized_as_in_eager_mode, model.transform)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [tensor for _, tensor in named_tensors(self.model([images[0]])[0])]


def resized_as_in_eager_mode(transform: Any, image: Tensor, target: None) -> tuple[Tensor, None]:
    """An image [3, H, W] at the size that a detector gives it, by numbers that a graph can hold.

    torchvision's own are float32 while it is traced. The shorter side is to become a whole number, so that the last
    digit decides between that and one pixel less: for every tenth size of an image the file would work on another one.
    """
    sides = shape_as_tensor(image)[-2:].double()
    shortest, longest = torch.tensor([transform.min_size[-1], transform.max_size], dtype=torch.float64).unbind()
    # Of one element each: a scalar would be taken for float32.
    scale = torch.minimum((shortest / sides).amax(0, True), (longest / sides).amin(0, True))
    height, width = (sides * scale).long().unbind()
    size = cast("list[int]", [height, width])
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0], target


def _export(model: nn.Module, image: Tensor, path: str, found: list[str]) -> None:
    free = {IMAGES: {2: "height", 3: "width"}, **{name: {0: "found"} for name in found}}
    with quiet():
        try:
            torch.onnx.export(
                model,
                (image,),
                path,
                dynamo=False,
                opset_version=OPSET,
                input_names=[IMAGES],
                output_names=found,
                dynamic_axes=free,
            )
        except Exception as error:
            raise refused(error) from error
