"""Compares one training step of the masked original and the cut model: results, gradients, buffers afterwards.

Both run in training mode with autograd on, and a backward pass from a weighted sum of the outputs runs beneath the same
dispatch modes as the forward. What NaN marks mean in the operators of a backward says `nan_masking.py`. Autograd's own
formulas know nothing of the marks: a sum hands its gradient to absent entries too, a mean divides by their number.
`PresentStatistics` exchanges these functions in the masked run by ones whose derivative is right.

Gradients of a large model are never there together: a hook takes a sample of each and drops it.
"""

import math
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]

from ...errors import Message
from ...jobs import Cancelled
from ...messages import Phrase
from ...tracing.tree import preserved_outputs
from ..cut.edits import GRADIENTS, TRAINING, Check
from .input_variants import is_continuous
from .masked_model import Indices
from .nan_masking import NAN
from .run_comparison import (
    CHANGE,
    MARGIN,
    TOLERANCE,
    ComparedRun,
    RunTrace,
    TraceComparison,
    dtype_name,
    error_text,
    step_between,
)

GRADIENT = {torch.float64: 1e-6, torch.float32: 1e-3}
"""What differences of gradients must stay below."""
NOISE = {torch.float64: 1000, torch.float32: 50}
"""Rounding of a gradient, in units of the last place of the largest one: a bias before a norm has nothing else."""


class Sample(NamedTuple):
    """Evenly spread entries of a tensor, of what is present of it.

    Attributes:
        shape: Without what is absent.
        values: The entries.
    """

    shape: tuple[int, ...]
    values: Tensor


@dataclass(slots=True)
class StepTrace:
    """What a training step did, but for the results of its modules.

    Attributes:
        gradients: By parameter.
        buffers: By buffer, after the step.
    """

    gradients: dict[str, Sample] = field(default_factory=dict[str, Sample])
    buffers: dict[str, Sample] = field(default_factory=dict[str, Sample])


@contextmanager
def backward_pass(
    model: nn.Module,
    trace: StepTrace,
    gone: Mapping[str, Mapping[int, Indices]],
    chosen: Sequence[str],
) -> Generator[None]:
    """Context around a call of a twin in training mode; a backward pass follows the call.

    Args:
        model: The twin.
        trace: Gets samples.
        gone: What of each tensor is absent, marked by NaN; empty for the cut model.
        chosen: Paths of the outputs that count.
    """
    results: list[Any] = []

    def take(name: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        with _disable_current_modes(), torch.no_grad():
            found = sample_present(parameter.grad, gone.get(name, {}))
            before = trace.gradients.get(name)  # a block that is computed again in the backward comes in parts
            trace.gradients[name] = found if before is None else Sample(found.shape, found.values + before.values)
        parameter.grad = None

    trace.gradients.clear()  # of a run that did not come to its end
    model.register_forward_hook(lambda _model, _given, result: results.append(result))
    parameters = {name: one for name, one in model.named_parameters() if one.is_floating_point() or one.is_complex()}
    # A model that is frozen throughout has no gradients to compare: it is trained as a whole.
    if not any(one.requires_grad for one in parameters.values()):
        for one in parameters.values():
            one.requires_grad_()
    for name, one in parameters.items():
        if one.requires_grad:
            one.register_post_accumulate_grad_hook(partial(take, name))
    with torch.enable_grad(), PresentStatistics() if gone else nullcontext():
        yield
        # A number that depends on every entry of every output in another way.
        generator = torch.Generator().manual_seed(4)
        parts: list[Tensor] = []
        for output in preserved_outputs(results.pop(), chosen):
            one = torch.view_as_real(output) if output.is_complex() else output
            if not one.requires_grad:
                continue
            # `SameDraws` would make it one number for all entries, another one where a block with dropout is gone.
            with _disable_current_modes():
                drawn = torch.rand(one.shape, generator=generator, dtype=torch.float64)
                weights = drawn.to(one.device, one.dtype) + 0.5
            finite = one.detach().isfinite()  # scores of what is masked out are infinite
            parts.append((torch.where(finite, one, 0.0) * weights).sum())
        if parts:
            reduce(torch.add, parts).backward()
    with _disable_current_modes(), torch.no_grad():
        trace.buffers = {name: sample_present(one, gone.get(name, {})) for name, one in model.named_buffers()}


def sample_present(tensor: Tensor, gone: Mapping[int, Indices]) -> Sample:
    """Evenly spread entries of what is present; of a long table of which most is zero, of rows that are not."""
    tensor = tensor.detach()
    kept: list[NDArray[np.int64]] = []
    for dim, size in enumerate(tensor.shape):
        there = np.ones(size, dtype=np.bool_)
        there[gone.get(dim, [])] = False
        kept.append(there.nonzero()[0])
    shape = tuple(map(len, kept))
    count = math.prod(shape)
    if tensor.dim() == 0 or count == 0:
        return Sample(shape, tensor.reshape(-1)[:count].clone())
    found = _spread_entries(tensor, kept)
    # The gradient of an embedding is zero in all rows that the example does not read.
    if tensor.dim() > 1 and len(found) < count and not bool(found.any()):
        column = tensor[(slice(None), *(int(index[0]) for index in kept[1:]))]
        kept[0] = np.intersect1d(kept[0], column.nonzero().flatten().cpu().numpy())
        found = _spread_entries(tensor, kept)
    return Sample(shape, found)


def _spread_entries(tensor: Tensor, kept: Sequence[NDArray[np.int64]]) -> Tensor:
    shape = tuple(map(len, kept))
    count = math.prod(shape)
    places = np.arange(0, count, step_between(count))
    if shape != tensor.shape:
        index = zip(kept, np.unravel_index(places, shape), strict=True)
        places = np.ravel_multi_index(tuple(one[place] for one, place in index), tensor.shape)
    return tensor.reshape(-1).index_select(0, torch.from_numpy(places).to(tensor.device))


class StepRefused(Exception):
    """A step says nothing of the cut, for this reason."""

    def __init__(self, reason: Phrase) -> None:
        """Take the reason."""
        super().__init__(str(reason))
        self.reason = reason


class OriginalFails(StepRefused):
    """The original itself raises in training mode."""


def compare_step(
    run: Callable[..., ComparedRun],
    dtype: torch.dtype,
    left_out: Collection[str],
    multiplied: Collection[str],
    closely: bool,
    unknown: set[str],
) -> list[Check]:
    """A check of results and buffers, and one of gradients where there are any.

    Args:
        run: Runs the cut model (`cut`), the masked original (`masked`) or the original, each as a twin, perhaps with
            all weights changed a little (`nudge`).
        dtype: Of the runs.
        left_out: Names of tensors that are meant to be others.
        multiplied: Modules whose results are.
        closely: Compare what each module gives too.
        unknown: Operators that have no rule for what is absent; gets parameters whose gradients are no numbers for it.

    Raises:
        OriginalFails: The original raises.
        StepRefused: Its code takes no marks, or rounding changes as much as a fault would.
    """
    trail, mine, its = RunTrace(), StepTrace(), StepTrace()
    try:
        reference = run(masked=True, seen=trail.keep if closely else None, step=mine)
    except Cancelled:
        raise
    except Exception as error:
        try:
            run(step=StepTrace())
        except Exception as own:
            raise OriginalFails(error_text(own)) from None
        raise StepRefused(error_text(error)) from None
    if not reference.finite:
        raise StepRefused("the original outputs NaN or infinity")
    comparison = TraceComparison(trail)
    try:
        found = run(cut=True, seen=comparison.see if closely else None, step=its)
    except Cancelled:
        raise
    except Exception as error:
        detail = Message("verify.raises", "the cut model raises {error}", {"error": error_text(error)})
        return [Check(TRAINING, math.inf, None, TOLERANCE[dtype], dtype_name(dtype), detail)]
    made = _make_checks(dtype, (reference, mine), (found, its), comparison.worst(multiplied), left_out, unknown)
    # A difference in single precision is looked at again in double precision first, by the caller.
    if dtype is torch.float64 and not all(one.passed for one in made):
        nudged = StepTrace()
        moved = run(masked=True, nudge=CHANGE[dtype], step=nudged)
        share = torch.finfo(dtype).eps * MARGIN / CHANGE[dtype]
        for one in _make_checks(dtype, (reference, mine), (moved, nudged), (0.0, ""), left_out, set()):
            if one.difference * share > one.tolerance:
                raise StepRefused("rounding alone changes the result")
    return made


def _make_checks(
    dtype: torch.dtype,
    mine: tuple[ComparedRun, StepTrace],
    its: tuple[ComparedRun, StepTrace],
    on_the_way: tuple[float, Phrase],
    left_out: Collection[str],
    unknown: set[str],
) -> list[Check]:
    tolerance = TOLERANCE[dtype]
    outputs: list[dict[str, Sample]] = []
    for run, _ in (mine, its):
        counted = [one for one in run.outputs if is_continuous(one)] or run.outputs
        outputs.append({str(number): Sample(tuple(one.shape), one) for number, one in enumerate(counted)})
    given, _ = _worst(outputs[0], outputs[1], dtype, tolerance, ())
    buffers, which = _worst(mine[1].buffers, its[1].buffers, dtype, tolerance, left_out)
    detail = on_the_way[1]
    if buffers >= tolerance and not detail:
        words = {"name": which, "difference": buffers}
        detail = Message("verify.buffer", "buffer {name} differs by {difference:.1e} after a step", words)
    checks = [Check(TRAINING, max(given, buffers, on_the_way[0]), None, tolerance, dtype_name(dtype), detail)]
    if mine[1].gradients or its[1].gradients:
        tolerance = GRADIENT[dtype]
        worst, which = _worst(mine[1].gradients, its[1].gradients, dtype, tolerance, left_out, unknown)
        words = {"name": which, "difference": worst}
        template = "the gradient of {name} differs by {difference:.1e}"
        detail = Message("verify.gradient", template, words) if worst >= tolerance else ""
        checks.append(Check(GRADIENTS, worst, None, tolerance, dtype_name(dtype), detail))
    return checks


def _worst(
    mine: Mapping[str, Sample],
    its: Mapping[str, Sample],
    dtype: torch.dtype,
    tolerance: float,
    left_out: Collection[str],
    unknown: set[str] | None = None,
) -> tuple[float, str]:
    """The largest difference, relative to the largest entry of its tensor, and the name of that tensor.

    Names of tensors of which the masked original alone has no finite numbers are added to `unknown`.
    """
    names = [name for name in mine.keys() | its.keys() if name not in left_out]
    peak = max((_peak(mine[n].values) for n in names if n in mine and is_continuous(mine[n].values)), default=0.0)
    floor = NOISE[dtype] * torch.finfo(dtype).eps / tolerance * peak
    worst = (0.0, "")
    for name in sorted(names):
        first, second = mine.get(name), its.get(name)
        if first is None or second is None or first.shape != second.shape:
            absent = first is not None and 0 in first.shape and second is None
            worst = worst if absent else (math.inf, name)
            continue
        a, b = (one if is_continuous(one) else one.double() for one in (first.values, second.values))
        same = (a == b) | (a.isnan() & b.isnan()) if a.shape == b.shape else torch.zeros(())
        if bool(same.all()):
            continue
        if unknown is not None and a.shape == b.shape and bool((b.isfinite() & ~a.isfinite()).any()):
            unknown.add(name)
        # The type in which a parameter is stored rounds its gradient.
        scale = max(_peak(a), floor) * max(1.0, 4 * torch.finfo(a.dtype).eps / tolerance)
        apart = _peak((a - b)[~same], math.inf) if a.shape == b.shape else math.inf
        worst = max(worst, (apart / scale if scale else math.inf, name))
    return worst


def _peak(values: Tensor, otherwise: float = 0.0) -> float:
    """The largest absolute value; something else where one is not finite."""
    largest = float(values.abs().max()) if values.numel() else 0.0
    return largest if math.isfinite(largest) else otherwise


class _Marked(torch.autograd.Function):
    """A tensor as it is, of which absent entries have no gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, absent: Tensor) -> Tensor:
        """The tensor itself."""
        ctx.absent = absent
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """NaN at what is absent."""
        with _disable_current_modes():
            return gradients[0].masked_fill(ctx.absent, NAN), None


class PresentStatistics(TorchFunctionMode):
    """Context manager in which sums, means and variances have derivatives that know what is absent."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, or the one that replaces it."""
        kwargs = kwargs or {}
        if not torch.is_grad_enabled():
            return func(*args, **kwargs)
        reduction = kwargs.get("reduction", "mean") if func in LOSSES else ""
        if reduction in REDUCTIONS:
            func, args, kwargs = REDUCTIONS[reduction], (func(*args, **{**kwargs, "reduction": "none"}),), {}
        rule = STATISTICS.get(func)
        value = args[0] if args else kwargs.get("input")
        if rule is None or not (isinstance(value, Tensor) and value.is_floating_point() and value.requires_grad):
            return func(*args, **kwargs)
        copy = value.detach().clone()  # of a weight the one that operators read in its place
        with _disable_current_modes():
            absent = copy.isnan() if bool(copy.sum().isnan()) else None
        if absent is None or bool(absent.all()):
            return func(*args, **kwargs)
        kwargs = {name: one for name, one in kwargs.items() if name != "input"}
        return rule(_Marked.apply(value, absent), absent, *args[1:], **kwargs)


def _axes(value: Tensor, dim: int | Sequence[int] | None) -> list[int]:
    return [dim] if isinstance(dim, int) else list(dim or range(value.dim()))


def _count(value: Tensor, absent: Tensor, dim: Any, keepdim: bool) -> Tensor:
    with _disable_current_modes():
        return (~absent).sum(_axes(value, dim), keepdim=keepdim).to(value.dtype)


def _sum(value: Tensor, absent: Tensor, dim: Any = None, keepdim: bool = False, **given: Any) -> Tensor:
    return value.sum(_axes(value, dim), keepdim=keepdim, **given)


def _mean(
    value: Tensor, absent: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    value = value if dtype is None else value.to(dtype)
    return value.sum(_axes(value, dim), keepdim=keepdim) / _count(value, absent, dim, keepdim)


def _variance(
    value: Tensor, absent: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False,
    *, correction: float | None = None,
) -> Tensor:  # fmt: skip
    if isinstance(dim, bool):  # x.var(unbiased)
        dim, unbiased = None, dim
    less = float(unbiased) if correction is None else correction
    centred = value - _mean(value, absent, dim, keepdim=True)
    return centred.square().sum(_axes(value, dim), keepdim=keepdim) / (_count(value, absent, dim, keepdim) - less)


def _with_mean(value: Tensor, absent: Tensor, dim: Any = None, *given: Any, keepdim: bool = False, **other: Any) -> Any:
    keepdim = given[1] if len(given) > 1 else keepdim
    mean = _mean(value, absent, None if isinstance(dim, bool) else dim, keepdim)
    return _variance(value, absent, dim, *given[:1], keepdim=keepdim, **other), mean


def _deviation(*args: Any, **given: Any) -> Tensor:
    return _variance(*args, **given).sqrt()


def _deviation_with_mean(*args: Any, **given: Any) -> Any:
    variance, mean = _with_mean(*args, **given)
    return variance.sqrt(), mean


def _rms_norm(
    value: Tensor, absent: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    eps = torch.finfo(value.dtype).eps if eps is None else eps
    square = _mean(value.square(), absent, list(range(-len(shape), 0)), keepdim=True)
    normal = value * (square + eps).rsqrt()
    return normal if weight is None else normal * weight


STATISTICS: Mapping[Any, Callable[..., Any]] = {
    **dict.fromkeys((torch.sum, Tensor.sum), _sum),
    **dict.fromkeys((torch.mean, Tensor.mean), _mean),
    **dict.fromkeys((torch.var, Tensor.var), _variance),
    **dict.fromkeys((torch.std, Tensor.std), _deviation),
    torch.var_mean: _with_mean,
    torch.std_mean: _deviation_with_mean,
    functional.rms_norm: _rms_norm,
}
"""Functions whose derivative counts entries."""
LOSSES = frozenset(
    (
        functional.l1_loss, functional.mse_loss, functional.smooth_l1_loss, functional.huber_loss,
        functional.soft_margin_loss, functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits,
        functional.kl_div,
    )
)  # fmt: skip
"""Functions of pairs of entries that end in a sum or a mean."""
REDUCTIONS = {"mean": torch.mean, "sum": torch.sum}
