"""One forward with everything on the way, and how far another is apart from it."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from ..errors import Message
from ..phrases import Phrase
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
Seen: TypeAlias = Callable[[str, list[torch.Tensor]], None]
"""Is told of each module's results as they come: its path, its tensors, which a later operator may change in place."""


class Run:
    """One forward and its outputs."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        chosen: Sequence[str] = (),
        training: bool = False,
        seen: Seen | None = None,
        draws: bool = False,
    ) -> None:
        """Run a model.

        Args:
            model: Left as it is.
            inputs: Its inputs.
            chosen: Paths of the outputs that count.
            training: In training mode, nothing dropped.
            seen: Is told of the results of its modules.
            draws: It draws random numbers, which have to be the same ones in a smaller model.
        """
        model = isolated(model)  # what a forward does to its own state is not there for the next one
        handles = [
            module.register_forward_hook(_telling(seen, path))
            for path, module in modules_of(model).items()
            if seen is not None and path and not isinstance(module, StandIn)
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


class Trail:
    """The results of every module of a run, in their order.

    Attributes:
        results: Path and results.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self.results: list[tuple[str, list[torch.Tensor]]] = []
        self._latest: list[tuple[torch.Tensor, int, torch.Tensor]] = []

    def keep(self, path: str, results: list[torch.Tensor]) -> None:
        """Keep copies: a later operator may change a result in place. What a container passes on is kept once."""
        known = {id(one): copy for one, version, copy in self._latest if one._version == version}
        self._latest = [(one, one._version, known[id(one)] if id(one) in known else one.clone()) for one in results]
        self.results.append((path, [copy for _, _, copy in self._latest]))


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


class Beside:
    """Compares each result of a run with the one in a trail as it comes, so that one trail is all that is kept."""

    def __init__(self, trail: Trail) -> None:
        """Compare with a trail, in which NaN says that an index is absent (`absent.py`)."""
        self._trail = trail
        self._known: dict[str, list[list[torch.Tensor]]] = {}
        for path, results in trail.results:
            self._known.setdefault(path, []).append(results)
        self._times: Counter[str] = Counter()
        self._gaps: dict[tuple[str, int], list[_Gap]] = {}

    def see(self, path: str, results: list[torch.Tensor]) -> None:
        """A module gave results. What is present stands in them in the trail's order; what does not fit is left out."""
        number, known = self._times[path], self._known.get(path, [])
        self._times[path] += 1
        if number < len(known) and len(known[number]) == len(results):
            pairs = (present(mine, its) for mine, its in zip(known[number], results, strict=True))
            self._gaps[path, number] = [_gap(*pair) for pair in pairs if pair is not None]

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
                    detail = Message("verify.result", "result of {module} differs by {difference:.1e}", words)
                worst = max(worst, difference)
        return worst, detail


def _telling(seen: Seen, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    return lambda _module, _args, result: seen(path, tensors_of(result))


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


def relative_difference(first: torch.Tensor, second: torch.Tensor) -> float:
    """max|a - b| / max|a|."""
    return _gap(first, second).relative()


def _gap(first: torch.Tensor, second: torch.Tensor) -> _Gap:
    if not _continuous(first):
        first, second = first.double(), second.double()
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


def _continuous(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
