"""Compares each operator of a cut model with what the analysis predicts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import nn

from ...errors import Message
from ...messages import Phrase
from ...runtime.load_pruned import PrunedAttention, StandIn, own_class
from ...structures.analysis import Analysis, AuditStep, Mask
from ...structures.audit_fields import SPELLED, is_audited, may_be_absent, measures, name_of, scalars
from ...structures.costs import kept_sizes
from ...structures.op_sequence import operations
from ...tracing.attribute_reads import AttributeReads
from ...tracing.recorder import Attempt, attempt
from ...tracing.tree import Inputs, modules_of
from .weight_folding import Folding, alike


class WrongNumber(NamedTuple):
    """A number that a forward gives to torch: module, call site, place among the arguments, axis (-1 for a factor)."""

    module: str
    site: str
    where: str
    axis: int

    @property
    def factor(self) -> bool:
        """It is to compute with, and no size."""
        return self.axis < 0


@dataclass(frozen=True, slots=True)
class Audit:
    """How far a cut model behaves as predicted.

    Attributes:
        matched: Operators that did, in order.
        total: Operators predicted.
        module: Where the first difference is ("" is the model itself).
        text: What differs, in words; "" when nothing does.
        wrong: Numbers in forwards that are not as predicted, as far as it ran.
        right: How many are before the first of these.
        axes: Of the operator that differs; of those before and after, where the forward raised.
        ran: Operators of all kinds that ran before the forward raised; 0 where it did not.
        factor: What differs is a number to compute with.
        reads: Attributes that were read as far as it ran, None where they were not noted.
    """

    matched: int
    total: int
    module: str = ""
    text: Phrase = ""
    wrong: tuple[WrongNumber, ...] = ()
    right: int = 0
    axes: tuple[int, ...] = ()
    ran: int = 0
    factor: bool = False
    reads: AttributeReads | None = None

    @property
    def passed(self) -> bool:
        """Everything is as predicted."""
        return not self.text


class Auditor:
    """Runs a cut model on the analysis's own inputs, compares sizes and numbers of every product and norm."""

    def __init__(self, model: nn.Module, analysis: Analysis, removed: Mask, inputs: Inputs, folding: Folding) -> None:
        """Take the cut model, which may change between audits, what is gone in it, and what may take up its numbers."""
        self._model = model
        self._folding = folding
        self._analysis = analysis
        self._inputs = inputs
        kept = kept_sizes(analysis, removed)
        self._gone = {n for s, first, last in analysis.block_calls if removed[s] for n in range(first, last)}
        self._expected = [
            (step, tuple(s if a < 0 else int(kept[a]) for s, a in zip(step.sizes, step.axes, strict=True)))
            for step in analysis.steps
            if step.call not in self._gone
        ]
        self._literals = {(one.module, one.site, one.number, one.where): one for one in analysis.literals}
        self._kept = kept
        # Numbers that show in no result, so that a run passes with wrong ones.
        self._alone = {
            (one.module, one.site, one.where): one.value
            for one in analysis.literals
            if one.alone and int(kept[one.axis]) != one.value
        }

    def __call__(self, watched: bool = False, reading: bool = False) -> Audit:
        """Audit the model as it is now.

        Args:
            watched: Look at what forwards hand to torch too.
            reading: Look at which attributes they read too.
        """
        run = attempt(self._model, self._inputs, self._analysis.weightless, watched or bool(self._alone), reading)
        modules = modules_of(self._model).items()
        # Their forward is not the model's own: attention with other parts, or a stand-in for a block.
        own = {path for path, module in modules if isinstance(module, (PrunedAttention, StandIn))}
        self._folding.clear()
        found = self._compare(run, own, {})
        # A number to compute with is another one: weights before it may take that up, and the code stays.
        if found.factor:
            # Where numbers of a forward are replaced, the factors in it are replaced too.
            replaced = {path for path, module in modules if own_class(module) is not type(module)}
            self._folding.search(run, own | replaced)
            found = self._compare(run, own, self._folding.numbers)
        checked = list(self._given_numbers(run)) if watched or self._alone else []
        if self._alone and found.passed:
            wrong = [one for one, right in checked if not right and (one.module, one.site, one.where) in self._alone]
            if wrong:
                first = wrong[0]
                words = {"size": self._alone[first.module, first.site, first.where]}
                text = Message("audit.size", "a size of {size} stayed the same", words)
                found = replace(
                    found, matched=found.matched - len(wrong), module=first.module, text=text, axes=(first.axis,)
                )
        if found.passed or not watched:
            return replace(found, reads=run.reads)
        is_wrong = [not right and not (one.factor and one.module in self._folding.found) for one, right in checked]
        wrong = tuple(one for (one, _), is_so in zip(checked, is_wrong, strict=True) if is_so)
        right = is_wrong.index(True) if wrong else len(checked)
        return replace(found, wrong=wrong, right=right, reads=run.reads)

    def _compare(self, run: Attempt, own: Collection[str], other: Mapping[int, tuple[float, ...]]) -> Audit:
        """How far a run is as predicted.

        Args:
            run: Of the cut model.
            own: Modules with other code.
            other: For calls of the original's record: numbers that they must have now.
        """
        done = [
            (name_of(c), measures(c, run.shapes), scalars(c), c.module)
            for c in run.calls
            if is_audited(c) and (c.op not in SPELLED or c.module not in own)
        ]
        expected: list[tuple[AuditStep, tuple[int, ...]]] = []
        for step, sizes in self._expected:
            if step.op in SPELLED and step.module in own:
                continue
            # A slice that leaves out nothing any more does not run.
            now = done[len(expected)][:2] if len(expected) < len(done) else ("", ())
            is_absent = now[0] != step.op or (now[1] != sizes and not step.dead)
            if not (is_absent and may_be_absent(step, sizes)):
                expected.append((step, sizes))
        for number, ((step, sizes), (op, shape, given, module)) in enumerate(zip(expected, done, strict=False)):
            if op == step.op and step.dead:  # a check of sizes: only that it runs counts
                continue
            if op != step.op or shape != sizes:
                now, predicted = "x".join(map(str, shape)), "x".join(map(str, sizes))
                words = {"op": op, "sizes": now, "other": step.op, "predicted": predicted}
                text = Message("audit.gives", "{op} returns {sizes}; predicted: {other} with {predicted}", words)
                return Audit(number, len(expected), module, text, axes=step.axes)
            if not alike(given, other.get(step.call, step.scalars)):
                text = _uses(op, given, step.scalars)
                return Audit(number, len(expected), module, text, axes=step.axes, factor=True)
        matched = min(len(done), len(expected))
        if run.error is not None:
            text = f"{type(run.error).__name__}: {str(run.error).splitlines()[0] if str(run.error) else ''}"
            around = [step for step, _ in expected[max(matched - 1, 0) : matched + 1]]
            axes = tuple(axis for step in around for axis in step.axes)
            return Audit(matched, len(expected), run.module, text, axes=axes, ran=len(run.calls))
        if len(done) != len(expected):
            return Audit(matched, len(expected), "", _ran(len(done), len(expected)))
        return self._compare_script(run, own, matched, other)

    def _compare_script(
        self, run: Attempt, own: Collection[str], matched: int, other: Mapping[int, tuple[float, ...]]
    ) -> Audit:
        """Every operator of the run with the numbers that it had before, or must have now."""
        expected = [o for o in self._analysis.script if o.module not in own and o.call not in self._gone]
        done = [o for o in operations(run.calls, run.weights) if o.module not in own]
        total = matched + len(expected)
        for before, now in zip(expected, done, strict=False):
            if now.op != before.op:
                words = {"op": now.op, "other": before.op}
                return Audit(matched, total, now.module, Message("audit.runs", "{op} runs where {other} ran", words))
            if not before.dead and not alike(now.numbers, other.get(before.call, before.numbers)):
                text = _uses(now.op, now.numbers, before.numbers)
                return Audit(matched, total, now.module, text, factor=True)
            matched += 1
        if len(done) != len(expected):
            return Audit(matched, total, "", _ran(len(done), len(expected)))
        return Audit(matched, total)

    def _given_numbers(self, run: Attempt) -> Iterator[tuple[WrongNumber, bool]]:
        """Numbers that forwards gave to torch, and whether each is what is predicted, in the order of the run."""
        for call in run.functions:
            for where, value, _ in call.given:
                literal = self._literals.get((call.module, call.site, call.number, where))
                if literal is not None:
                    size = literal.axis >= 0
                    expected = int(self._kept[literal.axis]) if size else literal.value
                    # A bound below zero is counted from the end, and may be right.
                    right = alike((value,), (expected,)) or (size and value < 0)
                    yield WrongNumber(call.module, call.site, where, literal.axis), right


def _uses(op: str, numbers: Sequence[float], before: Sequence[float]) -> Message:
    words = {"op": op, "numbers": str(tuple(numbers)), "before": str(tuple(before))}
    return Message("audit.uses", "{op} uses {numbers}; before: {before}", words)


def _ran(count: int, predicted: int) -> Message:
    words = {"count": count, "predicted": predicted}
    return Message("audit.ran", "{count} operators ran, {predicted} were predicted", words)
