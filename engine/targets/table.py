"""The table of targets by name, and what the machine that measures is called. To add one, add a file and a line."""

import os

from ..errors import SecateurError
from ..machine.devices import CPU, title_of
from .bench import processor
from .onnxruntime_target import OnnxRuntime
from .openvino_target import OpenVino
from .protocol import Target, TargetSpec
from .torch_target import TorchEager

TARGETS: dict[str, Target] = {"onnxruntime": OnnxRuntime(), "openvino": OpenVino(), "torch": TorchEager()}


def target_named(name: str) -> Target:
    """The target of that name; raises SecateurError with the names there are."""
    if name not in TARGETS:
        raise SecateurError(
            "target.unknown", "Unknown target {name!r}. Choose one of {known}.", name=name, known=", ".join(TARGETS)
        )
    return TARGETS[name]


def machine_of(target: TargetSpec) -> str:
    """Processor, cores, device and runtime version of this machine, or the name of another one."""
    if target.machine:
        return target.machine
    device = () if target.device == CPU else (title_of(target.device),)
    return ", ".join([f"{processor()}, {os.cpu_count()} cores", *device, target_named(target.runtime).version()])
