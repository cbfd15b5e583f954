"""One forward with everything on the way, and how far two of them are apart."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from ..tracing.quiet import quiet_forward
from ..tracing.reading import Inputs, answers_of, call, copied, modules_of, tensors_of
from ..tracing.twin import isolated
from .double import throughout
from .drawing import SameDraws
from .runtime import StandIn

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""What a difference must stay below."""
NOISE = 50
"""Rounding on the way to a result, in units of the last place of the largest number there."""


class Run:
    """One forward: outputs, and where asked the results of every module on the way."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        chosen: Sequence[str] = (),
        training: bool = False,
        trail: bool = True,
        draws: bool = False,
    ) -> None:
        """Run a model.

        Args:
            model: Left as it is.
            inputs: Its inputs.
            chosen: Paths of the outputs that count.
            training: In training mode, nothing dropped.
            trail: Note the results of its modules.
            draws: It draws random numbers, which have to be the same ones in a smaller model.
        """
        self.trail: list[tuple[str, list[torch.Tensor]]] = []
        model = isolated(model)  # what a forward does to its own state is not there for the next one
        handles = [
            module.register_forward_hook(self._noting(path))
            for path, module in modules_of(model).items()
            if trail and path and not isinstance(module, StandIn)
        ]
        try:
            with quiet_forward(model, training), throughout(model), SameDraws() if draws else nullcontext():
                self.outputs = answers_of(call(model, copied(inputs)), chosen)
        finally:
            for handle in handles:
                handle.remove()

    @property
    def finite(self) -> bool:
        """No output is NaN or infinite throughout."""
        return all(
            not t.isnan().any() and bool(t.isfinite().any()) for t in self.outputs if _continuous(t) and t.numel()
        )

    def _noting(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
            # Copies: a later operator may change a result in place.
            self.trail.append((path, [t.clone() for t in tensors_of(result)]))

        return hook

    def compare(self, other: "Run", left_out: Collection[str] = ()) -> tuple[float, str]:
        """Worst difference over outputs and over the results of modules, and the first that stands out.

        Args:
            other: The cut model's run. Where this run holds NaN, an index is absent (`absent.py`): what is present
                stands in the other, smaller result in the same order. Results that do not fit are left out.
            left_out: Modules whose results are meant to be others; what is made of these is compared.
        """
        worst, detail = worst_difference(self.outputs, other.outputs), ""
        theirs: dict[str, list[list[torch.Tensor]]] = {}
        for path, results in other.trail:
            theirs.setdefault(path, []).append(results)
        times = Counter(path for path, _ in self.trail)
        seen: dict[str, int] = {}
        peak = 0.0
        for path, results in (one for one in self.trail if one[0] not in left_out):
            seen[path] = number = seen.get(path, -1) + 1
            others = theirs.get(path, [])
            # A module that several blocks share runs less often without one: which run is which is not known then.
            if len(others) != times[path] or len(others[number]) != len(results):
                continue
            pairs = [p for p in map(present, results, others[number]) if p is not None]
            peak = max([peak, *(float(a.abs().max()) for a, _ in pairs if a.numel() and a.isfinite().all())])
            for a, b in pairs:
                tolerance = TOLERANCE.get(a.real.dtype, 1e-4)
                # A result that nearly cancels is compared with what went into it.
                floor = NOISE * torch.finfo(a.dtype).eps / tolerance * peak
                difference = relative_difference(a, b, floor)
                if difference >= tolerance and not detail:
                    detail = f"result of {path} differs by {difference:.1e}"
                worst = max(worst, difference)
        return worst, detail


def present(reference: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The entries of a result that remain, beside the cut model's; None where they do not fit."""
    if not _continuous(reference) or not _continuous(other):
        return None
    there = ~reference.isnan()
    if reference.shape == other.shape:
        return (reference[there], other[there]) if torch.equal(there, ~other.isnan()) else None
    if int(there.sum()) != other.numel():
        return None
    return reference[there], other.flatten()


def worst_difference(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    """max|a - b| / max|a|, the worst over tensors; infinite where shapes differ or numbers are not finite.

    Floating and complex tensors count; whole numbers and flags only where there are no others.
    """
    if [t.shape for t in first] != [t.shape for t in second]:
        return float("inf")
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.numel()]
    if any(_continuous(a) for a, _ in pairs):
        pairs = [(a, b) for a, b in pairs if _continuous(a)]
    return max((relative_difference(a, b) for a, b in pairs), default=0.0)


def relative_difference(first: torch.Tensor, second: torch.Tensor, floor: float = 0.0) -> float:
    """max|a - b| / max|a|, of at least `floor` where numbers nearly cancel."""
    if not _continuous(first):
        first, second = first.double(), second.double()
    same = first == second  # infinities too, such as those of masked scores
    if bool(same.all()):
        return 0.0
    a, b = first[~same], second[~same]
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("inf")
    scale = max(float(first[first.isfinite()].abs().max()), floor)
    return float((a - b).abs().max()) / scale if scale > 0 else float("inf")


def _continuous(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
