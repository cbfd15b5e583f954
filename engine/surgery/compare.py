"""One forward with everything on the way, and how far two of them are apart."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ..tracing.reading import Inputs, answers_of, call, copied, modules_of, tensors_of
from ..tracing.recorder import quiet_forward
from ..tracing.twin import isolated

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""What a difference must stay below."""


class Run:
    """One forward: outputs, and the results of every module on the way."""

    def __init__(self, model: nn.Module, inputs: Inputs, chosen: Sequence[str] = (), training: bool = False) -> None:
        self.trail: dict[str, list[torch.Tensor]] = {}
        model = isolated(model)  # what a forward does to its own state is not there for the next one
        handles = [
            module.register_forward_hook(self._noting(path)) for path, module in modules_of(model).items() if path
        ]
        try:
            with quiet_forward(model, training):
                self.outputs = answers_of(call(model, copied(inputs)), chosen)
        finally:
            for handle in handles:
                handle.remove()

    def _noting(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(_module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
            # Copies: a later operator may change a result in place.
            self.trail.setdefault(path, []).extend(t.clone() for t in tensors_of(result))

        return hook

    def compare(self, other: "Run") -> tuple[float, str]:
        """Worst difference over outputs and over results of equal shape on the way, and the first that stands out."""
        worst, detail = worst_difference(self.outputs, other.outputs), ""
        for path, results in self.trail.items():
            others = other.trail.get(path)
            if others is None or [r.shape for r in results] != [o.shape for o in others]:
                continue
            difference = worst_difference(results, others)
            tolerance = TOLERANCE.get(results[0].dtype, 1e-4) if results else 1.0
            if difference >= tolerance and not detail:
                detail = f"result of {path} differs by {difference:.1e}"
            worst = max(worst, difference)
        return worst, detail


def worst_difference(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    """max|a - b| / max|a|, the worst over tensors; infinite where shapes differ or numbers are not finite."""
    if [t.shape for t in first] != [t.shape for t in second]:
        return float("inf")
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if not a.is_floating_point() or not a.numel():
            continue
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            return float("inf")
        scale, gap = float(a.abs().max()), float((a - b).abs().max())
        worst = max(worst, gap / scale if scale > 0 else (0.0 if gap == 0 else float("inf")))
    return worst
