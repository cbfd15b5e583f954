"""How large one ONNX file may be, and how large that of a model is."""

from torch import nn

from ..errors import ExportError

LARGEST = 2**31 - 2**20
"""Bytes that one protobuf file can hold."""


def too_large() -> ExportError:
    """What stops a model that one file cannot hold."""
    template = (
        "The model has more than 2 GB of weights, which is the limit of one ONNX file. Export to a PyTorch folder."
    )
    return ExportError("export.too_large", template)


def bytes_in_float32(model: nn.Module) -> int:
    """Size of all weights in a file that computes in float32 whatever the model does; tied weights count once."""
    tensors = {id(one): one for one in (*model.parameters(), *model.buffers())}.values()
    return sum(4 * one.numel() if one.is_floating_point() else one.numel() * one.element_size() for one in tensors)
