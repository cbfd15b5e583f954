"""Constraints under which one configuration describes a cut model of transformers: uniform layers.

One number of a configuration decides a size in all layers, so they lose equally many structures. What no number decides
stays as it is, and blocks go as whole layers. `nearest_uniform` says what breaks this in a plan, and what it costs to
keep it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import gcd, lcm
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...errors import Message, OpenError, PlanError, SecateurError
from ...jobs import CancelToken, NeverCancelled, check
from ...messages import Phrase, any_of, listed, module_named, title
from ...planning.count_balance import all_bundles, weakest_first
from ...planning.isomorphic_classes import with_block_contents
from ...planning.protocol import Goal, KindLimit, PlanStart, plural
from ...planning.target_shape import plan_shape, shape_between
from ...structures.analysis import Analysis, Constraint, CountBundle, CountRule, Kind, Mask
from ...structures.costs import Costs, costs
from ...structures.count_constraints import constrain
from ...text.format import signed
from ..cut.cut import shapes
from .config_fields import ConfigFields, Path, fields_of
from .config_fit import fits, is_transformers

_Signature: TypeAlias = tuple[Any, ...]
"""A size, and (field, size when that field alone was changed) of the fields that decide it."""
TRIED = 64
"""Steps by which the width becomes smaller until a configuration accepts the plan."""
SHOWN = 4
"""Kinds, and counts of one kind, that a sentence names."""
NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
"""Of a layer, in the path of a module."""


def keep_uniform(model: Any, analysis: Analysis) -> Analysis:
    """The analysis with the constraints under which plans keep what one configuration can say.

    Args:
        model: The original, of transformers.
        analysis: Of it.

    Returns:
        An analysis with the same structures.

    Raises:
        OpenError: The model has no such configuration.
    """
    if not is_transformers(model):
        template = "Uniform layers need a model of the Transformers library. Leave the option out."
        raise OpenError("uniform.class", template)
    fields = fields_of(model)
    decided = _decided_sizes(analysis, fields)
    size = np.diff(analysis.axis_start)
    added = [
        Constraint(CountRule.EQUAL, one.axes, int(size[max(one.axes)]), (), _equal(one.fields), "")
        for one in decided
        if len(one.axes) > 1
    ]
    added += [
        Constraint(CountRule.MULTIPLE, (axis,), one.step, (), _equal(one.fields), "")
        for one in decided
        if one.step > 1
        for axis in one.axes
        if axis >= 0
    ]
    # Sizes that are other multiples of the same fields keep the same share (a bottleneck's channels and its width).
    multiples: dict[frozenset[Path], list[int]] = {}
    for one in decided:
        if one.factor and min(one.axes) >= 0:
            multiples.setdefault(frozenset(one.fields), []).append(one.axes[0])
    for paths, axes in multiples.items():
        if len(axes) > 1:
            number = lcm(*(int(size[axis]) for axis in axes))
            why = _equal(sorted(paths, key=str))
            added.append(Constraint(CountRule.PROPORTIONAL, tuple(axes), number, (), why, ""))
    free_axes = {axis for one in decided for axis in one.axes}
    lists = {path for one in fields.effects for path in one.layers}
    whole: list[int] = []
    for number, one in enumerate(analysis.sets):
        if one.kind is Kind.BLOCK:
            free = one.module.rpartition(".")[0] in lists
        else:
            stored = [(t, d) for t, d in one.touches if analysis.tensors[t].name in fields.shapes]
            free = all(analysis.tensors[t].axes[d] in free_axes for t, d in stored)
        whole += [] if free else [number]
    if whole:
        reason = Message("counted.no_field", "The model's configuration has no field for this size.")
        added.append(Constraint(CountRule.WHOLE, (), 0, tuple(whole), reason, ""))
    return constrain(analysis, added)


@dataclass(frozen=True, slots=True)
class _DecidedSize:
    """Axes that have one size, as the same fields of a configuration decide it.

    Attributes:
        axes: Sorted; -1 where one of the dimensions cannot be cut, so that all axes stay (BERT's heads, where its width
            is an output).
        fields: Those that decide it.
        step: Indices of an axis to one of the fields that can change, so that multiples of it are left.
        factor: It is a constant times the product of the fields.
    """

    axes: tuple[int, ...]
    fields: tuple[Path, ...]
    step: int
    factor: bool


def _decided_sizes(analysis: Analysis, fields: ConfigFields) -> list[_DecidedSize]:
    """The axes whose sizes the configuration decides, and which of them are equal.

    Dimensions are of one size where the same fields decide them alike; where one axis has dimensions of two sizes, both
    are one (OPT's width, which a field of its own decides at the embedding).
    """
    deciding, axes_of = fields.deciding_fields, dict[_Signature, set[int]]()
    for tensor in analysis.tensors:
        for name in (tensor.name, *tensor.aliases):
            for dim, axis in enumerate(tensor.axes):
                if by := deciding.get((name, dim)):
                    axes_of.setdefault((tensor.shape[dim], *sorted(by.items(), key=str)), set()).add(max(axis, -1))
    bound = {signature[1][0] for signature, axes in axes_of.items() if -1 in axes and len(signature) == 2}
    joined: list[tuple[list[_Signature], set[int]]] = []
    for signature, axes in axes_of.items():
        own = axes - {-1}
        near = [one for one in joined if one[1] & own]
        joined = [one for one in joined if one not in near]
        joined.append(([signature, *(s for one in near for s in one[0])], axes.union(*(one[1] for one in near))))
    units = {one.path: one for one in fields.effects}
    decided: list[_DecidedSize] = []
    for signatures, axes in joined:
        if not axes - {-1}:
            continue
        steps: list[int] = []
        is_factor = len({frozenset(path for path, _ in by) for _, *by in signatures}) == 1
        for size, *by in signatures:
            # By how much the size changes with one of the fields that can change; 1 where that is no whole number.
            own = [divmod(n - size, units[path].other - units[path].value) for path, n in by if path not in bound]
            steps.append(gcd(*(step for step, _ in own)) if own and not any(rest for _, rest in own) else 1)
            is_factor &= all(n * units[path].value == size * units[path].other for path, n in by)
        paths = tuple(dict.fromkeys(path for _, *by in signatures for path, _ in by))
        decided.append(_DecidedSize(tuple(sorted(axes)), paths, lcm(*steps), is_factor))
    return decided


def _equal(fields: Sequence[Path]) -> Message:
    names = ", ".join(".".join(map(str, path)) for path in fields)
    template = "One number of the configuration ({fields}) holds for all layers."
    return Message("counted.uniform", template, {"fields": names})


def require_shape(model: Any, start: PlanStart, goal: Goal, uniform: bool = False, rounds: int = 1) -> None:
    """Raise PlanError where no plan has a goal's target shape; it takes no scores, so that this is known before them.

    Args:
        model: The original.
        start: What is gone and locked; where nothing is scored yet, equal scores.
        goal: With the shape, if it has one.
        uniform: One configuration has to describe the result.
        rounds: On the way to it, each with a shape of its own.
    """
    if goal.shape:
        plan, removed = plan_shape(start, goal), start.removed
        if uniform and not goal.limits:
            fitting_plan(model, start, plan, goal.shape)
        between = [shape_between(start.analysis, goal, removed, number / rounds) for number in range(1, rounds)]
        plan = removed
        for shape in (*between, goal.shape):
            plan = plan_shape(start.without(plan), replace(goal, shape=shape))


def fitting_plan(
    model: Any,
    start: PlanStart,
    removed: Mask,
    shape: tuple[KindLimit, ...] = (),
    token: CancelToken | None = None,
) -> Mask:
    """[S] the plan, or the nearest smaller width that a configuration accepts (widths that heads divide).

    Args:
        model: The original.
        start: What the plan was made from; its analysis has the constraints of `keep_uniform`.
        removed: [S] the plan.
        shape: The target shape that was planned for; a width that it counts is not changed.
        token: Cancels between two trials.

    Raises:
        PlanError: None of the next widths is accepted, or the shape's own is not.
        Cancelled: The token was set.
    """
    analysis, fields, token = start.analysis, fields_of(model), token or NeverCancelled()
    plan, widths = removed.copy(), _widths(analysis)
    counted = any(limit.kind is Kind.WIDTH for limit in shape)
    for _ in range(TRIED):
        check(token)
        if _is_accepted(fields, analysis, plan):
            return plan
        if counted:
            near = nearest_widths(model, analysis, plan, token)
            if not near:
                template = "No configuration of the model has this shape. Choose other numbers."
                raise PlanError("uniform.shape", template)
            template = "No configuration of the model has this width with these heads. Nearest possible width: {near}."
            raise PlanError("uniform.width", template, near=any_of(map(str, near)))
        for bundle in widths:
            for number, size in zip(bundle.sets, bundle.sizes, strict=True):
                one = analysis.sets[number]
                left = one.first + np.flatnonzero((~plan & ~start.locked)[one.structures])
                if len(left) <= size:
                    break
                plan[weakest_first(left, start.scores)[:size]] = True
    template = "No configuration of the model accepts this plan. Allow other sizes, or plan without uniform layers."
    raise PlanError("uniform.none", template)


def is_configurable(model: Any, analysis: Analysis, removed: Mask) -> bool:
    """Whether one configuration describes what a plan leaves, by its shapes.

    Args:
        model: The original, of transformers.
        analysis: Of it, with or without the constraints of `keep_uniform`.
        removed: [S] the plan.
    """
    return _is_accepted(fields_of(model), analysis, removed)


def kinds_without_field(model: Any, analysis: Analysis, removed: Mask) -> tuple[Kind, ...]:
    """The kinds that a plan removes although no number of the configuration lets them go (head dimensions).

    Args:
        model: The original, of transformers.
        analysis: Of it, without the constraints of `keep_uniform`.
        removed: [S] the plan.
    """
    uniform, found = keep_uniform(model, analysis), list[Kind]()
    free = {analysis.sets[n].kind for bundle in all_bundles(uniform) if bundle.most for n in bundle.sets}
    for kind in (one for one in Kind if one not in free):
        alone = analysis.empty()
        for one in analysis.sets:
            alone[one.structures] = removed[one.structures] & (one.kind is kind)
        if alone.any() and not is_configurable(model, analysis, alone):
            found.append(kind)
    return tuple(found)


def _is_accepted(fields: ConfigFields, analysis: Analysis, plan: Mask) -> bool:
    """Whether a configuration builds what a plan [S] leaves."""
    found = {name: tuple(shape) for name, shape in shapes(analysis, plan).items() if name in fields.shapes}
    digest = blake2b(repr(sorted(found.items())).encode(), digest_size=16).digest()
    if digest not in fields.accepted:
        fields.accepted[digest] = fits(fields, found)
    return fields.accepted[digest]


def _widths(analysis: Analysis) -> list[CountBundle]:
    """What loses structures in step with the residual width."""
    return [one for one in all_bundles(analysis) if any(analysis.sets[n].kind is Kind.WIDTH for n in one.sets)]


def nearest_widths(model: Any, analysis: Analysis, plan: Mask, token: CancelToken) -> tuple[int, ...]:
    """Of the larger and of the smaller widths the next that a configuration accepts with a plan's other sizes.

    Args:
        model: The original.
        analysis: Of it, with the constraints of `keep_uniform`.
        plan: [S] what is removed.
        token: Cancels between two trials.

    Returns:
        Channels, ascending; none in a direction in which the next steps are not accepted.

    Raises:
        Cancelled: The token was set.
    """
    fields, widths, near = fields_of(model), _widths(analysis), list[int]()
    for change in (1, -1):
        tried = plan.copy()
        for _ in range(TRIED):
            places = [
                (analysis.sets[n].structures, size)
                for one in widths
                for n, size in zip(one.sets, one.sizes, strict=True)
            ]
            # One step: all widths together, as one number of the configuration decides them.
            rest = min((np.count_nonzero(tried[place] == (change > 0)) - size for place, size in places), default=-1)
            if rest < (0 if change > 0 else 1):  # all may stay, not all may go
                break
            for place, size in places:
                inside = tried[place]
                inside[np.flatnonzero(inside == (change > 0))[:size]] = change < 0
            check(token)
            if _is_accepted(fields, analysis, tried):
                one = next(analysis.sets[n] for n in widths[0].sets if analysis.sets[n].kind is Kind.WIDTH)
                near.append(int((~tried[one.structures]).sum()))
                break
    return tuple(sorted(near))


@dataclass(frozen=True, slots=True)
class NearestUniform:
    """A plan that is not uniform, and the uniform one next to it.

    Attributes:
        uneven: What breaks uniformity: for each kind how many which layers keep.
        removed: [S] the uniform plan: every kind loses, rounded, what its layers lose on average.
        plan: What the plan costs that is not uniform.
        uniform: What this one costs.
    """

    uneven: tuple[Message, ...]
    removed: Mask
    plan: Costs
    uniform: Costs

    @property
    def message(self) -> Message:
        """The same in words."""
        words: dict[str, Any] = {"layers": listed(self.uneven, SHOWN)}
        for name in ("macs", "parameters"):
            before, after = getattr(self.plan, name), getattr(self.uniform, name)
            words |= {name: after, f"{name}_change": signed(100 * (after / max(before, 1) - 1), 1)}
        template = (
            "Layers differ: {layers}. The nearest uniform plan has {macs:,} MACs ({macs_change} %) and {parameters:,} "
            "parameters ({parameters_change} %)."
        )
        return Message("uniform.nearest", template, words)


def nearest_uniform(
    model: Any, analysis: Analysis, removed: Mask, scores: NDArray[np.float64] | None = None
) -> NearestUniform | None:
    """The uniform plan next to one that is not; None where the plan is uniform or no uniform one is near.

    Args:
        model: The original, of transformers.
        analysis: Of it.
        removed: [S] the plan.
        scores: [S] NaN where unknown; what the plan removes goes first in any case. None for the plan alone.
    """
    try:
        uniform = keep_uniform(model, analysis)
        gone, plan = with_block_contents(analysis, removed), analysis.empty()
        uneven: dict[Kind, Message] = {}
        for bundle in all_bundles(uniform):
            if (found := _uneven_message(analysis, bundle, removed, gone)) is not None:
                uneven.setdefault(analysis.sets[bundle.sets[0]].kind, found)
            plan[_weakest_structures(analysis, bundle, removed, gone, scores)] = True
        rated = np.zeros(analysis.count) if scores is None else scores
        plan = fitting_plan(model, PlanStart.of(uniform, rated), plan)
    except SecateurError:  # no configuration, or none that accepts a plan like this one
        return None
    if not uneven:
        return None
    return NearestUniform(tuple(uneven.values()), plan, costs(analysis, removed), costs(analysis, plan))


def _weakest_structures(
    analysis: Analysis, bundle: CountBundle, removed: Mask, gone: Mask, scores: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Structures that go so that each set of a bundle loses what those that are left lose on average."""
    there = [*_remaining_sets(analysis, bundle, gone)] or [*zip(bundle.sets, bundle.sizes, strict=True)]
    lost = [int(removed[analysis.sets[number].structures].sum()) / size for number, size in there]
    steps = min(round(sum(lost) / len(lost)), bundle.most)
    chosen = [np.zeros(0, np.int64)]
    for number, size in zip(bundle.sets, bundle.sizes, strict=True):
        one = analysis.sets[number]
        order = weakest_first(np.arange(one.first, one.first + one.count), scores, removed)
        chosen.append(order[: size * steps])
    return np.concatenate(chosen)


def _remaining_sets(analysis: Analysis, bundle: CountBundle, gone: Mask) -> Iterator[tuple[int, int]]:
    """(set, its size) of a bundle's sets that are not in removed blocks."""
    for number, size in zip(bundle.sets, bundle.sizes, strict=True):
        if analysis.sets[number].kind is Kind.BLOCK or not gone[analysis.sets[number].structures].all():
            yield number, size


def _uneven_message(analysis: Analysis, bundle: CountBundle, removed: Mask, gone: Mask) -> Message | None:
    """How many structures which layers keep, where a configuration has one number; None where that is one."""
    kept: dict[int, list[Phrase]] = defaultdict(list)
    for number, _ in _remaining_sets(analysis, bundle, gone):
        one = analysis.sets[number]
        layer = NUMBER.search(one.module)
        kept[one.count - int(removed[one.structures].sum())].append(layer[0] if layer else module_named(one.module))
    kind = analysis.sets[bundle.sets[0]].kind
    whole = sum(analysis.sets[number].count for number, _ in _remaining_sets(analysis, bundle, gone))
    parts = kind is Kind.BLOCK and not bundle.most and removed[analysis.sets[bundle.sets[0]].first]
    fixed = not bundle.most and kind is not Kind.BLOCK and sum(n * len(places) for n, places in kept.items()) < whole
    if len(kept) < 2 and not fixed and not parts:
        return None
    each = (
        Message("uniform.count", "{count} in {places}", {"count": count, "places": listed(places, SHOWN)})
        for count, places in sorted(kept.items(), reverse=True)
    )
    return Message("uniform.kind", "{kinds} {counts}", {"kinds": title(plural(kind)), "counts": listed(each, SHOWN)})
