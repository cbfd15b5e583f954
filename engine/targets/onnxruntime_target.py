"""ONNX Runtime on the CPU, on exported files."""

from collections.abc import Sequence
from typing import Any, cast

from numpy.typing import NDArray

from .protocol import Run


class OnnxRuntime:
    """Runs .onnx files."""

    title = "ONNX Runtime"
    takes = "onnx"

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"onnxruntime {version('onnxruntime')}"

    def load(self, path: str, threads: int) -> Run:
        """Open a session with pinned threads."""
        session = open_session(path, threads)
        names = [one.name for one in session.get_inputs()]

        def run(inputs: Sequence[NDArray[Any]]) -> object:
            return session.run(None, dict(zip(names, inputs, strict=True)))

        return run


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
