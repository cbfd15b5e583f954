"""ONNX Runtime on the CPU, on exported files."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..inputs import Inputs, call, named_arrays
from .protocol import Loaded, Run


class OnnxRuntime:
    """Runs .onnx files."""

    title = "ONNX Runtime"
    takes = "onnx"

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"onnxruntime {version('onnxruntime')}"

    def load(self, path: str, threads: int) -> Loaded:
        """Open a session with pinned threads."""
        session = open_session(path, threads)
        feed = feeder(session)

        def take(inputs: Inputs) -> Run:
            return partial(session.run, None, call(feed, inputs))

        return take


def feeder(session: Any) -> Callable[..., dict[str, NDArray[Any]]]:
    """A function that is called as the model is, with arrays or tensors, and gives what the session is to be fed.

    Arrays by name are the file's inputs of that name, those by position its inputs in order; numbers and flags are part
    of the file. It raises TypeError where arrays are missing or too many.
    """
    names = [one.name for one in session.get_inputs()]

    def feed(*inputs: Any, **named: Any) -> dict[str, NDArray[Any]]:
        given = dict(named_arrays(named))
        others = [name for name in names if name not in given]
        positional = [one for _, one in named_arrays(inputs)]
        if len(others) != len(positional) or not given.keys() <= set(names):
            raise TypeError(f"the file takes {', '.join(names)}")
        given |= zip(others, positional, strict=True)
        return {name: np.asarray(given[name]) for name in names}

    return feed


def open_session(path: str, threads: int = 1) -> Any:
    """An `InferenceSession` on the CPU with pinned threads, quiet."""
    import onnxruntime

    options = cast("Any", onnxruntime).SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait for work would take the cores from the model whose turn is next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
