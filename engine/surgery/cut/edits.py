"""The repairs that a cut made besides slicing, and the result of its verification, as plain data."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...errors import Message
from ...messages import Phrase, clauses


@dataclass(frozen=True, slots=True)
class Edits:
    """Repairs that make a model's code run with the smaller tensors; `runtime.load_pruned.apply_edits` applies them.

    They can be written as JSON.

    Attributes:
        blocks: (module path, what it returns): modules of removed blocks, which stand-ins replace that compute
            nothing; what it returns as in `structures.analysis.StandInSpec`.
        attributes: (module path, attribute, value): what a module remembers of its sizes.
        attention: Paths of `nn.MultiheadAttention` modules whose forward takes its sizes from the weights:
            (path, number of heads, head dimension of the original for the scale).
        literals: (module path, call site, k-th call from there or -1 for each, place among the arguments, number):
            numbers that a forward hands to torch functions (`runtime.CallSiteMode`), and where the batch is a factor of
            one, (times, by): what the code gives is multiplied with the first and divided by the second.
        constants: (module path, call site, k-th call from there or -1 for each, place among the arguments, (dimension,
            size, kept original indices) of each that is cut): tensors of the code's own, which it makes, or holds, in
            the original's size.
        slices: (buffer name, dimension, kept original indices): buffers that no checkpoint holds (not persistent),
            which a fresh model makes in the original's size.
        weights: (parameter, dimension, original indices there or None for all, factor, paths of the modules whose
            results are multiplied with it): what the original's weights are multiplied by, as the code after them
            computes with a number that came to be another. A model's file of weights holds it already, so nothing is to
            be done for it when that is loaded.
    """

    blocks: tuple[tuple[str, Any], ...] = ()
    attributes: tuple[tuple[str, str, Any], ...] = ()
    attention: tuple[tuple[str, int, int], ...] = ()
    literals: tuple[tuple[str, str, int, str, Any], ...] = ()
    constants: tuple[tuple[str, str, int, str, tuple[tuple[int, int, tuple[int, ...]], ...]], ...] = ()
    slices: tuple[tuple[str, int, tuple[int, ...]], ...] = ()
    weights: tuple[tuple[str, int, tuple[int, ...] | None, float, tuple[str, ...]], ...] = ()


PLACES = {"blocks": (0,), "attributes": (0, 1), "attention": (0,), "literals": (0, 1, 3), "constants": (0, 1, 3),
          "slices": (0, 1)}  # fmt: skip
"""Which fields of a repair say where it is; of a literal its k-th call does not: all calls are replaced together."""


def merged_repairs(kind: str, earlier: Iterable[Any], later: Iterable[Any]) -> list[Any]:
    """Repairs of one kind from two cuts, one after the other: of the same place those of the later one count."""
    places: dict[tuple[Any, ...], list[Any]] = {}
    for repairs in (earlier, later):
        given: dict[tuple[Any, ...], list[Any]] = {}
        for repair in repairs:
            given.setdefault(tuple(repair[field] for field in PLACES[kind]), []).append(repair)
        places.update(given)
    return [repair for repairs in places.values() for repair in repairs]


REMOVAL, PERMUTATION = "removal", "permutation, random weights"
TRAINING, GRADIENTS = "removal in training mode", "gradients in training mode"
OTHER_INPUTS = "removal, random weights, other batches and sizes"
COARSE = "removal in float32"
VARIATION, IN_A_ROW = "removal, other ways to run it", "removal, repeated calls"
TENSORS = "every tensor, attribute and hook"
MILDER = ("near the model's weights", "nearer the model's weights")
"""In brackets behind the name of a comparison on weights that are not wholly random."""
CHECKS = (
    *(REMOVAL, TRAINING, GRADIENTS, PERMUTATION, OTHER_INPUTS, VARIATION, IN_A_ROW, COARSE, TENSORS),
    *(f"{OTHER_INPUTS} ({milder})" for milder in MILDER),
)
"""What comparisons are called."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    Attributes:
        name: One of `CHECKS`.
        difference: max|a - b| / max|a|, worst over outputs.
        effect: The same measure of masked against unmasked original; None where it does not apply.
        tolerance: What the difference must stay below.
        dtype: "float64" or "float32"; "exact" where bits are compared.
        detail: Where it differed first, or why it is inconclusive, in words; "" for neither.
        dead: On random weights the outputs do not depend at all on what was removed, but on what was kept.
    """

    name: str
    difference: float
    effect: float | None
    tolerance: float
    dtype: str
    detail: Phrase = ""
    dead: bool = False

    @property
    def conclusive(self) -> bool:
        """The removed structures had an effect that this comparison could have missed only by a fault of its own.

        Or they are shown to have none: removing what nothing depends on changes nothing.
        """
        return self.effect is None or self.effect >= 100 * self.tolerance or self.dead

    @property
    def passed(self) -> bool:
        """Below the tolerance."""
        return self.difference < self.tolerance


@dataclass(frozen=True, slots=True)
class Verification:
    """All comparisons of a cut. It says nothing about accuracy.

    Attributes:
        checks: Every comparison made.
        skipped: Comparisons that could not be made, with the reason in words.
        covered: Ways to run the model for which the comparisons hold.
        unvaried: What was held constant, with the reason where there is one.
    """

    checks: tuple[Check, ...] = ()
    skipped: tuple[Phrase, ...] = field(default=())
    covered: tuple[Phrase, ...] = field(default=())
    unvaried: tuple[Phrase, ...] = field(default=())

    @property
    def scope(self) -> tuple[Message, ...]:
        """For what the comparisons hold, and what was held constant, a sentence each as far as it is known."""
        lines: list[Message] = []
        if self.covered:
            lines.append(Message("verify.covered", "verified for: {names}", {"names": clauses(self.covered)}))
        if self.unvaried:
            lines.append(Message("verify.unvaried", "not varied: {names}", {"names": clauses(self.unvaried)}))
        return tuple(lines)

    @property
    def passed(self) -> bool:
        """Every comparison passed, and at least one could have failed."""
        return all(c.passed for c in self.checks) and any(c.conclusive for c in self.checks if c.effect is not None)

    @property
    def difference(self) -> float:
        """The worst difference."""
        return max((c.difference for c in self.checks), default=0.0)
