"""Eager PyTorch on the CPU, on models packed for another process."""

from ..inputs import Inputs, call
from .protocol import Loaded, Run


class TorchEager:
    """Runs the user's own module as it is, without compilation."""

    title = "PyTorch, eager"
    takes = "parcel"
    precisions: tuple[str, ...] = ("fp32", "bf16")

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"torch {version('torch')}"

    def load(self, path: str, threads: int, precision: str = "fp32", step: bool = False) -> Loaded:
        """Rebuild the model from its parcel and pin torch's threads; bf16 is torch's autocast.

        A step is one token behind those of the inputs, by the model's own cache.
        """
        import torch

        from ..export.parcel import unpack
        from ..tracing.decoding import Step
        from ..tracing.reading import as_tensors

        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        model = unpack(path)

        def take(inputs: Inputs) -> Run:
            given = as_tensors(inputs)
            with torch.autocast("cpu", torch.bfloat16, precision == "bf16"):
                once = Step(model, given) if step else lambda: call(model, given)

            def run() -> object:
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, precision == "bf16"):
                    return once()

            return run

        return take
