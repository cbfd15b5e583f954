"""Eager PyTorch on the CPU, on models packed for another process."""

from ..inputs import Inputs, call
from .protocol import Run


class TorchEager:
    """Runs the user's own module as it is, without compilation."""

    title = "PyTorch, eager"
    takes = "parcel"

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"torch {version('torch')}"

    def load(self, path: str, threads: int) -> Run:
        """Rebuild the model from its parcel and pin torch's threads."""
        import torch

        from ..export.parcel import unpack
        from ..tracing.reading import as_tensors

        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        model = unpack(path)

        def run(inputs: Inputs) -> object:
            with torch.inference_mode():
                return call(model, as_tensors(inputs))

        return run
