"""ONNX Runtime on the CPU, for exported files."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from numpy.typing import NDArray

from ..inference.model_inputs import Inputs, as_array, call, named_arrays
from ..machine.devices import CPU
from ..storage.temporary_folders import temporary_folder
from .bench import profiled_blocks, repeat, session_options
from .protocol import Kernel, Loaded, Run, TargetSpec


class OnnxRuntime:
    """Runs .onnx files."""

    title = "ONNX Runtime"
    takes = "onnx"
    precisions: tuple[str, ...] = ("fp32", "int8")
    devices: tuple[str, ...] = (CPU,)

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"onnxruntime {version('onnxruntime')}"

    def load(self, path: str, threads: int, precision: str = "fp32", step: bool = False, device: str = CPU) -> Loaded:
        """Open a session with pinned threads; for int8 the weights are quantised first, activations as they come."""
        session = open_session(path, threads) if precision == "fp32" else _quantise_and_open(path, threads)
        feed = feeder(session)

        def take(inputs: Inputs) -> Run:
            return partial(session.run, None, call(feed, inputs))

        return take

    def kernels(self, path: str, target: TargetSpec, inputs: Inputs) -> list[Kernel]:
        """What onnxruntime's own profile says, to whole microseconds."""
        with temporary_folder() as folder:
            make = open_session if target.precision == "fp32" else _quantise_and_open
            session = make(path, target.threads, str(folder / "profile"))
            run = partial(session.run, None, call(feeder(session), inputs))
            repeat(run, target.seconds)
            return [Kernel(*one) for one in profiled_blocks(session.end_profiling())]


def _quantise_and_open(path: str, threads: int, profile: str = "") -> Any:
    """A session with the file's weights in int8, quantised dynamically: needs no data."""
    from onnxruntime import quantization

    library = cast("Any", quantization)
    with temporary_folder() as folder:
        smaller = folder / "int8.onnx"
        library.quantize_dynamic(path, smaller, weight_type=library.QuantType.QInt8)
        return open_session(str(smaller), threads, profile)


def feeder(session: Any) -> Callable[..., dict[str, NDArray[Any]]]:
    """`feed_by` the names of a session's inputs."""
    return feed_by([one.name for one in session.get_inputs()])


def feed_by(names: Sequence[str]) -> Callable[..., dict[str, NDArray[Any]]]:
    """A function that is called as the model is, with arrays or tensors, and gives what a file is to be fed.

    Arrays by name are the file's inputs of that name, those by position its inputs in order; numbers and flags are part
    of the file. It raises TypeError where arrays are missing or too many.
    """
    # As arguments can be called in Python.
    spelled = {re.sub(r"\W|^(?=\d)", "_", name): name for name in names}

    def feed(*inputs: Any, **named: Any) -> dict[str, NDArray[Any]]:
        given = {spelled.get(name, name): one for name, one in named_arrays(named)}
        others = [name for name in names if name not in given]
        positional = [one for _, one in named_arrays(inputs)]
        if len(others) != len(positional) or not given.keys() <= set(names):
            raise TypeError(f"the file takes {', '.join(names)}")
        given |= zip(others, positional, strict=True)
        return {name: as_array(given[name]) for name in names}

    return feed


def open_session(path: str, threads: int = 1, profile: str = "") -> Any:
    """An `InferenceSession` on the CPU with pinned threads, quiet; it writes a profile where a path says so."""
    import onnxruntime

    options = session_options(threads)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
