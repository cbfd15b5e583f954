"""Eager PyTorch, for models that were packed for another process."""

import time
from functools import partial
from typing import Any

from ..inference.model_inputs import Inputs, call, named_arrays
from ..machine.devices import CPU, kind_of, moved, synchronize
from .bench import BlockTimes, repeat
from .protocol import Kernel, Loaded, Run, TargetSpec


class TorchEager:
    """Runs the user's own module as it is, without compilation."""

    title = "PyTorch, eager"
    takes = "parcel"
    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    devices: tuple[str, ...] = (CPU, "cuda", "mps")

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"torch {version('torch')}"

    def load(self, path: str, threads: int, precision: str = "fp32", step: bool = False, device: str = CPU) -> Loaded:
        """Rebuild the model from its parcel and pin torch's threads; less than fp32 is torch's autocast.

        A step is one token behind those of the inputs, by the model's own cache.
        """
        import torch

        from ..sources.open import unpack
        from ..tracing.tree import as_tensors
        from .token_step import TokenStep

        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:
            torch.set_num_interop_threads(1)
        model = unpack(path).to(device)

        def take(inputs: Inputs) -> Run:
            """A run on these inputs, over only when the device has computed it."""
            given = moved(as_tensors(inputs), device)
            with _autocast(device, precision):
                once = TokenStep(model, given) if step else lambda: call(model, given)

            def run() -> object:
                with torch.inference_mode(), _autocast(device, precision):
                    output = once()
                synchronize(device)
                return output

            return run

        return take

    def kernels(self, path: str, target: TargetSpec, inputs: Inputs) -> list[Kernel]:
        """Each module without parts of its own, and what runs between two of them, which has the next one's name.

        Eager PyTorch fuses nothing; between modules there are sums, reshapes and attention.
        """
        import torch

        from ..sources.open import unpack
        from ..tracing.tree import as_tensors

        torch.set_num_threads(target.threads)
        model, given, gathered = unpack(path).to(target.device), as_tensors(inputs), BlockTimes()
        given = moved(given, target.device)
        clock = _Clock(gathered, target.device)
        clock.watch(model)

        def run() -> None:
            with torch.inference_mode(), _autocast(target.device, target.precision):
                clock.start()
                call(model, given)
                clock.begin("the end", ())

        repeat(run, target.seconds)
        return [Kernel(*one) for one in gathered.blocks()]


def _autocast(device: str, precision: str) -> Any:
    """Where operators that gain by it compute in a precision."""
    import torch

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(kind_of(device), kinds.get(precision), enabled=precision in kinds)


class _Clock:
    """Times modules, and what runs between them."""

    def __init__(self, gathered: BlockTimes, device: str = CPU) -> None:
        self.gathered, self.device = gathered, device
        self.start()

    def start(self) -> None:
        self.calls = dict[str, int]()
        self.since = time.perf_counter()

    def watch(self, model: Any) -> None:
        for name, module in model.named_modules():
            if not any(module.children()):
                module.register_forward_pre_hook(partial(self._begin_module, name))
                module.register_forward_hook(partial(self._end_module, name))

    def begin(self, name: str, arguments: Any) -> None:
        synchronize(self.device)
        elapsed = time.perf_counter() - self.since
        self.calls[name] = self.calls.get(name, 0) + 1
        self.gathered.add(f"before {name} {self.calls[name]}", "between", _sizes(arguments), elapsed)
        self.since = time.perf_counter()

    def _begin_module(self, name: str, module: Any, arguments: Any) -> None:
        self.begin(name, arguments)

    def _end_module(self, name: str, module: Any, arguments: Any, outputs: Any) -> None:
        synchronize(self.device)
        elapsed = time.perf_counter() - self.since
        sizes = [*_sizes(arguments), *(tuple(p.shape) for p in module.parameters()), *_sizes((outputs,))]
        self.gathered.add(f"{name} {self.calls[name]}", type(module).__name__, sizes, elapsed)
        self.since = time.perf_counter()


def _sizes(value: Any) -> list[tuple[int, ...]]:
    return [tuple(one.shape) for _, one in named_arrays(value)]
