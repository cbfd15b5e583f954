"""OpenVINO on the CPU, for exported files. Needs the extra `secateur[openvino]`."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SecateurError
from ..inference.model_inputs import Inputs, call
from ..machine.devices import CPU
from .bench import BlockTimes, repeat
from .onnxruntime_target import feed_by
from .protocol import Kernel, Loaded, Run, TargetSpec

TYPES = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""OpenVINO's names of precisions by ours. Without one it would take bf16 by itself where the CPU has it."""

TELEMETRY = "openvino_telemetry"


class OpenVino:
    """Runs .onnx files."""

    title = "OpenVINO"
    takes = "onnx"
    precisions: tuple[str, ...] = tuple(TYPES)
    devices: tuple[str, ...] = (CPU,)

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"openvino {version('openvino')}"
        except PackageNotFoundError:
            return "openvino, not installed"

    def load(self, path: str, threads: int, precision: str = "fp32", step: bool = False, device: str = CPU) -> Loaded:
        """Read the file; it is compiled for the shapes of the inputs that it gets."""
        core, options = _core(), _options(threads, precision)
        model = core.read_model(path)

        def take(inputs: Inputs) -> Run:
            request: Any = _compile(core, model, options, inputs).create_infer_request()
            request.infer(_feed_for(model, inputs))
            # With what it was given: nothing is copied again.
            return request.infer

        return take

    def kernels(self, path: str, target: TargetSpec, inputs: Inputs) -> list[Kernel]:
        """What OpenVINO's counters say, to whole microseconds; shapes are those of the graph that it runs.

        https://docs.openvino.ai/2026/openvino-workflow/running-inference/optimize-inference.html
        """
        core, options = _core(), _options(target.threads, target.precision) | {"PERF_COUNT": True}
        model = core.read_model(path)
        compiled = _compile(core, model, options, inputs)
        request: Any = compiled.create_infer_request()
        request.infer(_feed_for(model, inputs))
        shapes = dict[str, list[tuple[int, ...]]]()
        for node in compiled.get_runtime_model().get_ordered_ops():
            values = [*node.input_values(), *node.outputs()]
            shapes[node.get_friendly_name()] = [tuple(one.get_shape()) for one in values]
        gathered = BlockTimes()

        def run() -> None:
            request.infer()
            for one in request.get_profiling_info():
                if one.real_time:
                    sizes = shapes.get(one.node_name, [])
                    gathered.add(one.node_name, one.node_type, sizes, one.real_time.total_seconds())

        repeat(run, target.seconds)
        return [Kernel(*one) for one in gathered.blocks()]


def _options(threads: int, precision: str) -> dict[str, Any]:
    if precision.upper() not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        template = "This processor does not support {precision}. Choose fp32."
        raise SecateurError("target.precision_here", template, precision=precision)
    return {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": TYPES[precision]}


def _compile(core: Any, model: Any, options: dict[str, Any], inputs: Inputs) -> Any:
    """The model, compiled for the shapes of its inputs."""
    model.reshape({name: list(one.shape) for name, one in _feed_for(model, inputs).items()})
    return core.compile_model(model, "CPU", options)


def load_file(path: str) -> tuple[Any, Callable[..., list[NDArray[Any]]]]:
    """A file, and a function that takes inputs as the model does, at any batch, and gives its outputs in order."""
    core = _core()
    model = core.read_model(path)
    compiled = core.compile_model(model, "CPU", _options(1, "fp32"))

    def run(*inputs: Any, **named: Any) -> list[NDArray[Any]]:
        results = compiled(_feed_for(model, named if named else inputs))
        return [results[number] for number in range(len(model.outputs))]

    return model, run


def _feed_for(model: Any, inputs: Inputs) -> dict[str, Any]:
    feed = call(feed_by([one.get_any_name() for one in model.inputs]), inputs)
    return {name: np.ascontiguousarray(one) for name, one in feed.items()}


def library() -> Any:
    """The module `openvino`; raises SecateurError where it is not installed.

    Importing it tells its makers, unless its module for that is not there: our user was not asked.
    https://docs.openvino.ai/2026/about-openvino/additional-resources/telemetry.html
    """
    # What Python takes for a module that cannot be found.
    missing: Any = None
    telemetry: Any = sys.modules.setdefault(TELEMETRY, missing)
    try:
        return import_module("openvino")
    except ImportError as error:
        template = "OpenVINO is not installed. Install it: pip install 'secateur[openvino]'"
        raise SecateurError("target.openvino", template, details=str(error)) from error
    finally:
        if telemetry is None:
            del sys.modules[TELEMETRY]


def _core() -> Any:
    return library().Core()
