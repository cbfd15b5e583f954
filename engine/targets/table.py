"""The table of targets by name. To add one, add a file and a line here."""

from ..errors import SecateurError
from .onnxruntime_target import OnnxRuntime
from .openvino_target import OpenVino
from .protocol import Target
from .torch_target import TorchEager

TARGETS: dict[str, Target] = {"onnxruntime": OnnxRuntime(), "openvino": OpenVino(), "torch": TorchEager()}


def target_named(name: str) -> Target:
    """The target of that name; raises SecateurError with the names there are."""
    if name not in TARGETS:
        raise SecateurError(
            "target.unknown", "Unknown target {name!r}. Choose one of {known}.", name=name, known=", ".join(TARGETS)
        )
    return TARGETS[name]
