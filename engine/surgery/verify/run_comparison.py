"""Runs a model on replaced weights, keeps samples of what its modules give, and compares two such runs.

`ComparedRun` is one run; `RunTrace` keeps the results on the way of the masked original, `TraceComparison` holds those
of the cut model against them as they come. What has failed is looked at by the operator (`first_difference`), and
whether a network is too sensitive to compare by `is_chaotic`.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]
from torch.utils.hooks import RemovableHandle

from ...errors import Message
from ...jobs import CancelToken, check
from ...messages import Phrase, module_named
from ...runtime.load_pruned import StandIn, apply_edits
from ...structures.analysis import StandInSpec
from ...structures.audit_fields import AUDITED, SAME
from ...tracing.isolated_forward import quiet_forward
from ...tracing.model_state import ForwardState
from ...tracing.operator_mode import OperatorMode
from ...tracing.tree import Inputs, call, copied_inputs, modules_of, preserved_outputs, tensors_of
from ..cut.skip_block import skip
from .input_variants import is_continuous
from .operator_modes import SameDraws
from .weights import Weights

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1}
"""What a difference must stay below."""
NOISE = 50
"""Rounding on the way to a result, in units of the last place of the largest number there."""
CHANGE = {torch.float64: 2.0**-32, torch.float32: 2.0**-14}
"""Relative change by which a network is tried, far above the rounding of its type."""
MARGIN = 10
"""Roundings on the way that count as one change of all numbers."""
ENTRIES = 1 << 12
"""How many entries of a result on the way are compared."""
Seen: TypeAlias = Callable[[str, list[torch.Tensor]], None]
"""Called with each module's results as they come: its path, its tensors, which a later operator may change in place."""


class ComparedRun:
    """Calls of a model in a row, and their outputs.

    Attributes:
        outputs: Of all calls.
        drew: They drew random numbers.
    """

    def __init__(
        self,
        weights: Weights,
        calls: Sequence[Inputs],
        chosen: Sequence[str] = (),
        training: bool = False,
        seen: Seen | None = None,
        draws: bool = False,
        skips: Iterable[StandInSpec] = (),
        within: Callable[[nn.Module], AbstractContextManager[Any]] | None = None,
        token: CancelToken | None = None,
        seed: int = 0,
        gradient: bool = False,
        noting: bool = False,
        edits: dict[str, Any] | None = None,
    ) -> None:
        """Run a model.

        Args:
            weights: A model, and what its operators read in place of its weights; left as it is.
            calls: Its inputs, call by call; what a call leaves behind is there for the next one.
            chosen: Paths of the outputs that count.
            training: In training mode, nothing dropped.
            seen: Called with the results of its modules in the first call.
            draws: It draws random numbers, which have to be the same ones in a smaller model.
            skips: Blocks whose results are replaced.
            within: Is given the copy that runs; makes what else is to be entered around the calls.
            token: Stops the run between two modules.
            seed: Of the random numbers.
            gradient: Autograd records the run.
            noting: Note what the calls change of the model and whether they draw outside of torch (`state`).
            edits: Repairs for this run alone, as `runtime.load_pruned.apply_edits` takes them.
        """
        # What a forward does to its own state must not be there for the next run.
        own = weights.twin()
        apply_edits(own, edits or {})
        hooks: list[RemovableHandle] = []
        for one in skips:
            skip(own, one)
        for path, module in modules_of(own).items():
            if token is not None:
                module.register_forward_pre_hook(partial(_stop_if_cancelled, token))
            if seen is not None and path and not isinstance(module, StandIn):
                hooks.append(module.register_forward_hook(_result_hook(seen, path)))
        with ExitStack() as stack:
            stack.enter_context(quiet_forward(own, training, twin=True, seed=seed, gradient=gradient, drawn=draws))
            stack.enter_context(weights.replace_reads())
            stack.enter_context(SameDraws() if draws else nullcontext())
            generator = torch.get_rng_state()
            stack.enter_context(nullcontext() if within is None else within(own))
            self.outputs: list[torch.Tensor] = []
            state = ForwardState(own) if noting else None
            for inputs in map(copied_inputs, calls):
                result = call(own, inputs)
                self.outputs += [one.detach() for one in preserved_outputs(result, chosen)]
                while hooks:  # further calls are there for their outputs
                    hooks.pop().remove()
            self.drew = not torch.equal(generator, torch.get_rng_state())
            self.changed = () if state is None else state.changed_names()
            self.draws_outside_torch = state is not None and state.draws_outside_torch()

    @property
    def finite(self) -> bool:
        """No output is NaN or infinite throughout."""
        return all(
            not t.isnan().any() and bool(t.isfinite().any()) for t in self.outputs if is_continuous(t) and t.numel()
        )


class ResultSample(NamedTuple):
    """What is kept of a result.

    Attributes:
        values: Of the entries that are present, all or evenly spread ones.
        shape: Of the result without what is absent; None where absent entries are no whole channels.
        step: How far apart in the flat order the values are.
        whole: Shape with what is absent.
        there: [...] which entries are present, where those absent are no whole channels.
    """

    values: torch.Tensor
    shape: tuple[int, ...] | None
    step: int
    whole: torch.Size
    there: torch.Tensor | None = None


class RunTrace:
    """The results of every module of a run, in their order: of each as many entries as show a fault.

    Attributes:
        results: Path and what is kept of its results, None for one that has no numbers to compare.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self.results: list[tuple[str, list[ResultSample | None]]] = []
        self._latest: list[tuple[torch.Tensor, int, ResultSample | None]] = []

    def keep(self, path: str, results: list[torch.Tensor]) -> None:
        """Keep copies, as a later operator may change a result in place. What a container passes on is kept once."""
        known = {id(one): made for one, version, made in self._latest if one._version == version}
        self._latest = [
            (one, one._version, known[id(one)] if id(one) in known else sample_result(one)) for one in results
        ]
        self.results.append((path, [made for *_, made in self._latest]))


def sample_result(result: torch.Tensor) -> ResultSample | None:
    """What is kept of a result; None of one without numbers to compare."""
    if not is_continuous(result):
        return None
    if result.dim() < 2 or result.numel() == 0:
        lines: tuple[int, ...] = ()
    else:  # of channels: behind the batch of an image, the last of a sequence
        lines = (1, result.dim() - 1) if result.dim() > 3 else (result.dim() - 1, 1)
    for dim in lines:
        # Where the first and the last entry of each channel agree, a look at those that are kept will do.
        ends = [tuple(slice(None) if n == dim else place for n in range(result.dim())) for place in (0, -1)]
        first, last = result[ends[0]], result[ends[1]]
        lost = first.isnan()
        if torch.equal(lost, last.isnan()) and not bool(lost.all()):
            index = (~lost).nonzero().squeeze(1)
            shape = (*result.shape[:dim], len(index), *result.shape[dim + 1 :])
            step = step_between(math.prod(shape))
            values = _spread(result, shape, step, dim, index if len(index) < len(lost) else None)
            if not bool(values.sum().isnan()):
                return ResultSample(values, shape, step, result.shape)
    there = ~result.isnan()
    values = result[there]
    step = step_between(values.numel())
    whole = values.numel() == result.numel()
    shape = tuple(result.shape) if whole else None
    return ResultSample(values[::step].clone(), shape, step, result.shape, None if whole else there)


@lru_cache(maxsize=256)
def step_between(count: int) -> int:
    """How far apart entries are that are kept: a prime, of which hardly a size is a multiple, so no channel hides."""
    if count <= ENTRIES:
        return 1
    step = -(-count // ENTRIES)
    while any(step % divisor == 0 for divisor in range(2, math.isqrt(step) + 1)):
        step += 1
    return step


def _spread(
    result: torch.Tensor, shape: tuple[int, ...], step: int, dim: int = -1, index: torch.Tensor | None = None
) -> torch.Tensor:
    """Every `step`-th entry of a result, of whose dimension only some indices are there."""
    if index is None and (step == 1 or result.is_contiguous()):
        return result.flatten()[::step].clone()
    strides = result.stride()
    others, along = (one.to(result.device) for one in _places(shape, step, strides, dim))
    along = along if index is None else index[along]
    flat = result.as_strided((1 + sum((n - 1) * s for n, s in zip(result.shape, strides, strict=True)),), (1,))
    return flat.index_select(0, others + along * strides[dim])


@lru_cache(maxsize=256)
def _places(shape: tuple[int, ...], step: int, strides: tuple[int, ...], dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where in memory every `step`-th entry in the flat order is, but for one dimension; and its index in that one.

    Shapes of a network occur repeatedly. What is kept must not be made by the dispatch mode that first asks for it.
    """
    places = np.unravel_index(np.arange(0, math.prod(shape), step), shape)
    others = sum(one * s for n, (one, s) in enumerate(zip(places, strides, strict=True)) if n != dim % len(shape))
    with _disable_current_modes():
        return torch.from_numpy(np.asarray(others)), torch.from_numpy(places[dim])


@dataclass(frozen=True, slots=True)
class _Gap:
    """How far a result is from another.

    Attributes:
        apart: max|a - b|; infinite where a number is not finite.
        largest: max|a| of what is finite.
        finite: All of a is.
        dtype: The type of a.
    """

    apart: float
    largest: float
    finite: bool
    dtype: torch.dtype

    def relative(self, floor: float = 0.0) -> float:
        """max|a - b| / max|a|, of at least `floor` where numbers nearly cancel."""
        scale = max(self.largest, floor)
        if self.apart == 0:
            return 0.0
        return self.apart / scale if scale > 0 else float("inf")


class TraceComparison:
    """Compares each result of a run with the one in a trail as it comes, so that one trail is all that is kept."""

    def __init__(self, trail: RunTrace) -> None:
        """Compare with a trail, in which NaN says that an index is absent (`nan_masking.py`)."""
        self._trail = trail
        self._known: dict[str, list[list[ResultSample | None]]] = {}
        for path, results in trail.results:
            self._known.setdefault(path, []).append(results)
        self._times: Counter[str] = Counter()
        self._gaps: dict[tuple[str, int], list[_Gap]] = {}
        self._latest: list[tuple[torch.Tensor, int, ResultSample | None, _Gap | None]] = []

    def see(self, path: str, results: list[torch.Tensor]) -> None:
        """Compare the results of a module: what is present is in the trail's order, what does not fit is left out."""
        number, known = self._times[path], self._known.get(path, [])
        self._times[path] += 1
        latest, self._latest = self._latest, []
        if number >= len(known) or len(known[number]) != len(results):
            return
        for mine, its in zip(known[number], results, strict=True):
            # What a container only passes on was compared when the module in it gave it.
            compared = [g for one, v, other, g in latest if one is its and v == its._version and other is mine]
            if compared:
                gap = compared[0]
            else:
                pair = common_entries(mine, its)
                gap = None if pair is None else _gap(*pair)
            self._latest.append((its, its._version, mine, gap))
        self._gaps[path, number] = [gap for *_, gap in self._latest if gap is not None]

    def worst(self, left_out: Collection[str] = ()) -> tuple[float, Phrase]:
        """The worst difference of a module's results, and the first that stands out in words, "" for none.

        Args:
            left_out: Modules whose results are meant to be others; what is made of these is compared.
        """
        worst, peak = 0.0, 0.0
        detail: Phrase = ""
        seen: Counter[str] = Counter()
        for path, _ in self._trail.results:
            number = seen[path]
            seen[path] += 1
            # A module that several blocks share runs less often without one: which run is which is not known then.
            if path in left_out or self._times[path] != len(self._known[path]):
                continue
            gaps = self._gaps.get((path, number), [])
            peak = max([peak, *(gap.largest for gap in gaps if gap.finite)])
            for gap in gaps:
                tolerance = TOLERANCE.get(gap.dtype, 1e-4)
                # A result that nearly cancels is compared with what went into it.
                difference = gap.relative(NOISE * torch.finfo(gap.dtype).eps / tolerance * peak)
                if difference >= tolerance and not detail:
                    words = {"module": path, "difference": difference}
                    detail = Message("verify.result", "output of {module} differs by {difference:.1e}", words)
                worst = max(worst, difference)
        return worst, detail


def _stop_if_cancelled(token: CancelToken, *_: Any) -> None:
    check(token)


def _result_hook(seen: Seen, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def see(_module: nn.Module, _args: tuple[Any, ...], result: Any) -> None:
        if any(t.is_nested or is_functorch_wrapped_tensor(t) for t in tensors_of(result)):
            return  # jagged, or within vmap or grad: no entry of it can be looked at
        # What is computed here is no part of the run.
        with torch.no_grad(), _disable_current_modes(), torch._C.DisableTorchFunction():  # pyright: ignore[reportPrivateUsage]
            seen(path, [one.detach() if one.requires_grad else one for one in tensors_of(result)])

    return see


def common_entries(reference: ResultSample | None, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The entries of a result that were kept, and the same of the cut model's; None where they do not fit."""
    if reference is None or not is_continuous(other):
        return None
    there, shape = reference.there, reference.shape
    if there is not None and other.shape == reference.whole:
        return (reference.values, other[there][:: reference.step]) if torch.equal(there, ~other.isnan()) else None
    if shape is not None and tuple(other.shape) == shape:
        return reference.values, _spread(other, shape, reference.step)
    if shape is not None and other.shape == reference.whole:  # absent in both, as after a block that is gone
        its = sample_result(other)
        same = its is not None and its.shape == shape and len(its.values) == len(reference.values)
        return (reference.values, its.values) if its is not None and same else None
    count = math.prod(shape) if shape is not None else 0 if there is None else int(there.sum())
    return (reference.values, other.flatten()[:: reference.step]) if count == other.numel() else None


def common_outputs(reference: list[torch.Tensor], found: list[torch.Tensor]) -> tuple[list[torch.Tensor], ...]:
    """Outputs of a masked run and of a cut model; of those that became narrower what both have.

    An argument of the forward may ask for results on the way, which a cut makes narrower.
    """
    if len(reference) != len(found):
        return reference, found
    pairs = zip(reference, found, strict=True)
    common = [
        (mine, its)
        if mine.shape == its.shape and not (is_continuous(mine) and bool(mine.isnan().any()))
        else common_entries(sample_result(mine), its)
        for mine, its in pairs
    ]
    if any(pair is None for pair in common):
        return reference, found
    return [pair[0] for pair in common if pair], [pair[1] for pair in common if pair]


def worst_difference(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
    """max|a - b| / max|a|, the worst over tensors; infinite where shapes differ or numbers are not finite.

    Floating and complex tensors count; whole numbers and flags only where there are no others.
    """
    if [t.shape for t in first] != [t.shape for t in second]:
        return float("inf")
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.numel()]
    if any(is_continuous(a) for a, _ in pairs):
        pairs = [(a, b) for a, b in pairs if is_continuous(a)]
    return max((relative_difference(a, b) for a, b in pairs), default=0.0)


def relative_difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """max|a - b| / max|a|."""
    return _gap(first, second).relative()


def _gap(first: torch.Tensor, second: torch.Tensor) -> _Gap:
    if not is_continuous(first):
        first, second = first.double(), second.double()
    apart = float((first - second).abs().max()) if first.numel() else 0.0
    largest = float(first.abs().max()) if first.numel() else 0.0
    if math.isfinite(apart) and math.isfinite(largest):  # as nearly always
        return _Gap(apart, largest, True, first.real.dtype)
    finite = first.isfinite()
    all_finite = bool(finite.all())
    counted = first if all_finite else first[finite]
    largest = float(counted.abs().max()) if counted.numel() else 0.0
    same = first == second  # infinities too, such as those of masked scores
    if bool(same.all()):
        return _Gap(0.0, largest, all_finite, first.real.dtype)
    a, b = first[~same], second[~same]
    apart = float((a - b).abs().max()) if a.isfinite().all() and b.isfinite().all() else float("inf")
    return _Gap(apart, largest, all_finite, first.real.dtype)


def is_chaotic(dtype: torch.dtype, plain: ComparedRun, run: Callable[[float], ComparedRun]) -> bool:
    """Rounding alone would exceed the tolerance: small changes of all numbers come out many times as large.

    Args:
        dtype: Of the comparison, float64 or float32.
        plain: The network on its weights and inputs.
        run: Runs it with all of them changed by up to a share of themselves.
    """
    moved = worst_difference(plain.outputs, run(CHANGE[dtype]).outputs)
    return moved / CHANGE[dtype] * MARGIN * torch.finfo(dtype).eps > TOLERANCE[dtype]


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
            module.register_forward_pre_hook(partial(self._enter, path))
            module.register_forward_hook(self._leave, always_call=True)
        return self

    def _enter(self, path: str, *_: Any) -> None:
        self._stack.append(path)

    def _leave(self, *_: Any) -> None:
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
        pair = common_entries(sample_result(mine.result), its.result)
        if pair is not None:
            difference = relative_difference(*pair)
            if difference >= TOLERANCE[dtype]:
                words = {"op": mine.op, "module": module_named(mine.module), "difference": difference}
                return Message("verify.operator", "{op} in {module} differs by {difference:.1e}", words)
    return None


def error_text(error: Exception) -> str:
    """The first line of an error, for a sentence."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def dtype_name(dtype: torch.dtype) -> str:
    """A type as people write it: float32."""
    return str(dtype).removeprefix("torch.")
