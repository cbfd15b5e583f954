"""Finds the first operator that differs after a comparison has failed, by running both models again."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...errors import Message
from ...messages import module_named
from ...structures.analysis import StandInSpec
from ...structures.audit_fields import AUDITED, SAME
from ...tracing.operator_mode import OperatorMode
from ...tracing.tree import Inputs, modules_of, tensors_of
from .run_comparison import TOLERANCE, ComparedRun, common_entries, relative_difference, sampled_result
from .weights import Weights


@dataclass(slots=True)
class OperatorResult:
    """A result of an operator: the operator, the module whose forward called it, and the tensor."""

    op: str
    module: str
    result: torch.Tensor


class OperatorResults(OperatorMode):
    """Keeps the first result of every product, norm and statistic, in order.

    Attributes:
        made: The results.
    """

    def __init__(self, left_out: Sequence[str]) -> None:
        """Take the paths of the modules that do not count."""
        super().__init__()
        self.made: list[OperatorResult] = []
        self._left_out = tuple(f"{path}." for path in left_out)
        self._stack: list[str] = [""]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and keep what it made."""
        result = func(*args, **(kwargs or {}))
        op, path = str(func.overloadpacket), self._stack[-1]
        op = SAME.get(op, op)
        if op in AUDITED and not f"{path}.".startswith(self._left_out):
            self.made += [OperatorResult(op, path, t.clone()) for t in tensors_of(result)[:1]]
        return result

    def on(self, model: nn.Module) -> "OperatorResults":
        """Listen to the forwards of a model's modules; the context to run it in."""
        for path, module in modules_of(model).items():
            module.register_forward_pre_hook(self._entering(path))
            module.register_forward_hook(self._left, always_call=True)
        return self

    def _entering(self, path: str) -> Callable[..., None]:
        return lambda *_: self._stack.append(path)

    def _left(self, *_: Any) -> None:
        self._stack.pop()


def operator_results(
    weights: Weights,
    calls: Sequence[Inputs],
    left_out: Sequence[str],
    training: bool,
    draws: bool,
    skips: Iterable[StandInSpec] = (),
) -> list[OperatorResult]:
    """Run a model and keep the results of its operators; up to where it raises."""
    seen = OperatorResults(left_out)
    try:
        ComparedRun(weights, calls, training=training, draws=draws, skips=skips, within=seen.on)
    except Exception:  # what it did before that is still compared
        return seen.made
    return seen.made


def first_difference(
    reference: list[OperatorResult], other: list[OperatorResult], dtype: torch.dtype
) -> Message | None:
    """The first operator that differs, in words; None where none does or where the runs do not go side by side."""
    for mine, its in zip(reference, other, strict=False):
        if (mine.op, mine.module) != (its.op, its.module):
            return None
        pair = common_entries(sampled_result(mine.result), its.result)
        if pair is not None:
            difference = relative_difference(*pair)
            if difference >= TOLERANCE[dtype]:
                words = {"op": mine.op, "module": module_named(mine.module), "difference": difference}
                return Message("verify.operator", "{op} in {module} differs by {difference:.1e}", words)
    return None
