"""OpenVINO on the CPU, on exported files. Its extra is `secateur[openvino]`."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import SecateurError
from ..inputs import Inputs, call
from .onnxruntime_target import feed_by
from .protocol import Loaded, Run

TYPES = {"fp32": "f32", "bf16": "bf16"}
"""Our words for OpenVINO's; without a word it would take bf16 by itself where the CPU has it."""

TELLING = "openvino_telemetry"


class OpenVino:
    """Runs .onnx files."""

    title = "OpenVINO"
    takes = "onnx"
    precisions: tuple[str, ...] = ("fp32", "bf16")

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"openvino {version('openvino')}"
        except PackageNotFoundError:
            return "openvino, not installed"

    def load(self, path: str, threads: int, precision: str = "fp32", step: bool = False) -> Loaded:
        """Read the file; it is compiled for the shapes of the inputs that it gets."""
        core = _core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise SecateurError("target.no_bf16", "This processor cannot compute in bf16. Choose fp32.")
        model = core.read_model(path)
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": TYPES[precision]}
        names = [one.get_any_name() for one in model.inputs]

        def take(inputs: Inputs) -> Run:
            feed = call(feed_by(names), inputs)
            model.reshape({name: list(one.shape) for name, one in feed.items()})
            request: Any = core.compile_model(model, "CPU", options).create_infer_request()
            request.infer({name: np.ascontiguousarray(one) for name, one in feed.items()})
            return request.infer  # with what it was given: nothing is copied again

        return take


def _core() -> Any:
    try:
        with _untold():
            openvino: Any = import_module("openvino")
    except ImportError as error:
        template = "OpenVINO is not installed. Install it: pip install 'secateur[openvino]'"
        raise SecateurError("target.openvino", template, details=str(error)) from error
    return openvino.Core()


@contextmanager
def _untold() -> Generator[None]:
    """Importing OpenVINO tells its makers, unless its module for that is not there: nobody asked our user.

    https://docs.openvino.ai/2026/about-openvino/additional-resources/telemetry.html
    """
    missing: Any = None  # what Python takes for a module that cannot be found
    loaded: Any = sys.modules.setdefault(TELLING, missing)
    try:
        yield
    finally:
        if loaded is None:
            del sys.modules[TELLING]
