"""Target shapes: how many structures of each kind a layer keeps, exactly (LLM-Shearing, Xia et al. 2023). Numpy only.

A shape is written in the numbers that a configuration has: heads are query heads, also where groups of them share keys
and values, and head dimensions are channels. Blocks are counted in the whole model. The weakest of every layer go; a
shape that no plan can have is refused with the nearest numbers that one can have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, PlanError
from ..messages import any_of, listed, of_kind, title
from ..structures.analysis import Analysis, CountBundle, CoupledSet, Kind, Mask
from .count_balance import all_bundles, balanced, weakest_first
from .infeasibility import size_text
from .isomorphic_classes import with_block_contents, with_their_blocks
from .kind_counts import check_limit, count_of, plan_kinds
from .marks import check_plan
from .protocol import Goal, KindLimit, PlanStart, Reached, plural
from .scope import in_scope


def reshape_plan(start: PlanStart, kept: Mapping[int, int]) -> Mask:
    """Remove the weakest of each set until it keeps as many as it should.

    Args:
        start: What is gone, locked and rated; what has no score goes last.
        kept: By number of the set how many structures it keeps; others lose none.

    Returns:
        [S] removed and the marks on top of it. Sets that must lose as many as others do.

    Raises:
        PlanError: Locks leave too few to remove, or the plan breaks a constraint.
    """
    analysis, removed, scores = start.analysis, start.removed, start.scores
    marked, locked = analysis.empty(), with_their_blocks(analysis, start.locked)
    for number, count in kept.items():
        one = analysis.sets[number]
        here = one.first + np.flatnonzero(~removed[one.structures])
        free, lose = here[~locked[here]], len(here) - count
        if lose > len(free):
            template = (
                "{where} cannot keep {count}: {locked} of its structures are locked. Unlock some, or plan for a goal."
            )
            where = of_kind(one.module, one.kind)
            raise PlanError("plan.shape_locked", template, where=where, count=count, locked=len(here) - len(free))
        marked[weakest_first(free, scores)[: max(lose, 0)]] = True
    marked = balanced(analysis, marked, removed, scores, locked)
    check_plan(analysis, removed | marked)
    return removed | marked


SHOWN = 4
"""Sizes of layers that a sentence names."""


@dataclass(frozen=True, slots=True)
class KindSize:
    """How many structures of a kind a layer has, and how many it may keep, as a configuration counts them.

    Attributes:
        kind: Which; blocks are counted in the whole model.
        sizes: Numbers that layers have in the original, ascending; one where all are equal.
        kept: The same without what is removed.
        step: Numbers that can be kept lie so far apart; 0 where nothing can go.
        least: Smallest number that the smallest layer can keep.
        fixed: Why nothing can go, None where something can.
    """

    kind: Kind
    sizes: tuple[int, ...]
    kept: tuple[int, ...]
    step: int
    least: int
    fixed: Message | None = None

    def asked(self, limit: KindLimit) -> int:
        """The number that a limit means in the largest layer; of a share the nearest that can be kept."""
        size = self.sizes[-1]
        return limit.count or size - self.step * round((1 - limit.share) * size / max(self.step, 1))


@dataclass(frozen=True, slots=True)
class _Layer:
    """The structures of a kind in one place, as a configuration counts them.

    Attributes:
        bundle: The sets that lose structures in step, those of other kinds that go along included.
        one: The set of this kind.
        unit: How many a configuration counts for each structure.
        step: How many go in a step of the bundle.
    """

    bundle: CountBundle
    one: CoupledSet
    unit: int
    step: int

    @property
    def size(self) -> int:
        """How many the original has."""
        return self.unit * self.one.count

    @property
    def allowed(self) -> NDArray[np.int64]:
        """Numbers that can be kept, ascending."""
        return self.size - self.step * np.arange(self.bundle.most, -1, -1, dtype=np.int64)

    def left(self, removed: Mask) -> int:
        """How many are not among the `removed` [S]."""
        return self.unit * int((~removed[self.one.structures]).sum())


def shape_of(analysis: Analysis, removed: Mask | None = None) -> tuple[KindSize, ...]:
    """The shape of a model without what is `removed` [S], and what of it can change; from the outside in."""
    found = _structure_sizes(analysis, analysis.empty() if removed is None else removed)
    if Kind.KV_GROUP in found:
        # Groups share keys and values: a layer has as many query heads as groups and heads of a group make.
        groups, each = found[Kind.KV_GROUP], found.get(Kind.HEAD)
        size = each.sizes[-1] if each is not None else 1
        kept = each.kept[-1] if each is not None and each.kept else size
        free = each is not None and each.step > 0
        found[Kind.HEAD] = KindSize(
            Kind.HEAD,
            tuple(size * count for count in groups.sizes),
            tuple(kept * count for count in groups.kept),
            1 if free else groups.step * size,
            groups.least * (each.least if each is not None and free else size),
            None if free else groups.fixed,
        )
    # As configurations list them, from the outside in; a sentence names the first that is wrong.
    order = [Kind.BLOCK, Kind.WIDTH, Kind.HEAD, Kind.KV_GROUP, *Kind]
    return tuple(sorted(found.values(), key=lambda one: order.index(one.kind)))


def plan_shape(start: PlanStart, goal: Goal) -> Mask:
    """Mark the weakest of each layer until it has the shape of a goal; what has no score goes last.

    Args:
        start: What is gone, locked and rated.
        goal: Its `shape` says how many stay.

    Returns:
        [S] removed and marked.

    Raises:
        PlanError: No plan has this shape; says which numbers are nearest.
    """
    analysis, removed = start.analysis, start.removed
    if not goal.shape:
        return removed
    asked, layers, kept = _in_structures(analysis, goal), _layers(analysis), dict[int, int]()
    for kind, limit in asked.items():
        for layer in layers.get(kind, ()):
            if goal.scope and not any(in_scope(layer.one.module, place) for place in goal.scope):
                continue
            steps = (layer.size - _kept_number(analysis, layer, layers[kind], limit)) // max(layer.step, 1)
            for number, size in zip(layer.bundle.sets, layer.bundle.sizes, strict=True):
                kept[number] = analysis.sets[number].count - size * steps
            if limit.count > layer.left(removed):
                raise _too_many(limit, layer.left(removed))
    if Kind.BLOCK in asked:
        left = count_of(analysis, removed, Kind.BLOCK)
        if asked[Kind.BLOCK].count > left:
            raise _too_many(asked[Kind.BLOCK], left)
        # Which blocks go is a choice among all of them, so it is planned as a count; widths of what stays follow.
        whole = replace(goal, kept=(asked[Kind.BLOCK],), shape=())
        removed = plan_kinds(start, whole)
    return reshape_plan(start.without(removed), kept)


def reached_shape(analysis: Analysis, goal: Goal, removed: Mask) -> tuple[Reached, ...]:
    """For each kind of a goal's shape what was asked and what the largest layer keeps without the `removed` [S].

    Raises:
        PlanError: The shape counts a kind that the model does not have.
    """
    known = {one.kind: one for one in shape_of(analysis, removed)} if goal.shape else {}
    if alien := next((limit.kind for limit in goal.shape if limit.kind not in known), None):
        raise _no_such_kind(analysis, alien)
    rows = [(known[limit.kind], limit) for limit in goal.shape]
    return tuple(Reached(limit.kind, one.sizes[-1], one.asked(limit), max(one.kept, default=0)) for one, limit in rows)


def forced_sizes(analysis: Analysis, goal: Goal, before: Mask, removed: Mask) -> tuple[Message, ...]:
    """Remarks on what went beside the numbers that a goal's shape asks for; none where other limits may take more.

    Args:
        analysis: Of the original model.
        goal: With the shape, if it has one.
        before: [S] what was gone already.
        removed: [S] what is gone now.
    """
    if not goal.shape or goal.limits or goal.kept:
        return ()
    asked = {limit.kind for limit in goal.shape}
    asked |= {Kind.HEAD, Kind.KV_GROUP} if asked & {Kind.HEAD, Kind.KV_GROUP} else set()
    template = "The shape forces the {kinds} from {before:,} to {after:,}. Add them to the shape to choose the number."
    return tuple(
        Message(
            "plan.shape_forced",
            template,
            {"kinds": title(plural(now.kind)), "before": first.kept[-1], "after": now.kept[-1]},
        )
        for first, now in zip(shape_of(analysis, before), shape_of(analysis, removed), strict=True)
        if now.kind not in asked and now.kept and first.kept and now.kept[-1] < first.kept[-1]
    )


def shape_between(analysis: Analysis, goal: Goal, removed: Mask, part: float) -> tuple[KindLimit, ...]:
    """The shape that is `part` of the way from what is left without the `removed` [S], on a logarithmic scale.

    Numbers are those nearest that a plan can have. Where groups of heads share keys and values, groups and the heads
    of a group go each by their own factor, and both are in the shape.

    Raises:
        PlanError: No plan has the goal's shape.
    """
    sizes, found = _structure_sizes(analysis, removed), dict[Kind, KindLimit]()
    for kind, limit in _in_structures(analysis, goal).items():
        one, found[kind] = sizes.get(kind), limit
        if one is None:
            continue
        # No plan has one number of them.
        if len(one.sizes) > 1:
            found[kind] = limit if limit.count else KindLimit(kind, limit.share**part)
            continue
        # Of layers that keep different numbers the smallest counts.
        now, asked = min(one.kept or one.sizes), one.asked(limit)
        steps = round((now - now * (asked / now) ** part) / max(one.step, 1))
        found[kind] = KindLimit(kind, count=max(now - steps * one.step, asked))
    if Kind.KV_GROUP in sizes and Kind.HEAD in found:
        heads = found[Kind.HEAD].count * found[Kind.KV_GROUP].count
        found[Kind.HEAD] = KindLimit(Kind.HEAD, count=heads)
    return tuple(found.values())


def _structure_sizes(analysis: Analysis, removed: Mask) -> dict[Kind, KindSize]:
    """How many structures of each kind there are without the `removed` [S]; heads of a group, where groups share."""
    gone = with_block_contents(analysis, removed)
    found: dict[Kind, KindSize] = {}
    if blocks := count_of(analysis, analysis.empty(), Kind.BLOCK):
        found[Kind.BLOCK] = KindSize(Kind.BLOCK, (blocks,), (count_of(analysis, removed, Kind.BLOCK),), 1, 1)
    for kind, layers in _layers(analysis).items():
        kept = {layer.left(removed) for layer in layers if not gone[layer.one.structures].all()}
        free = [layer for layer in layers if layer.bundle.most]
        # The smallest layer bounds what one number for all layers may be.
        least = min((int(layer.allowed[0]) for layer in free or layers), default=0)
        found[kind] = KindSize(
            kind,
            tuple(sorted({layer.size for layer in layers})),
            tuple(sorted(kept)),
            max((layer.step for layer in free), default=0),
            least,
            None if free else _why_fixed(analysis, layers[0]),
        )
    return found


def _layers(analysis: Analysis) -> dict[Kind, list[_Layer]]:
    """The places of each kind that can lose structures, all where none can; blocks are not among them.

    What goes along with residual width (the neurons of a pooler) belongs to it.
    """
    found: dict[Kind, list[_Layer]] = {}
    for bundle in all_bundles(analysis):
        pairs = [(analysis.sets[number], size) for number, size in zip(bundle.sets, bundle.sizes, strict=True)]
        wide = [pair for pair in pairs if pair[0].kind is Kind.WIDTH]
        for one, size in wide[:1] or pairs:
            if one.kind is Kind.BLOCK:
                continue
            unit = 1
            if one.kind is Kind.HEAD_DIM:
                # A configuration counts channels, and a rotary embedding ties them in pairs.
                units: list[int] = []
                for tensor, dim in one.touches:
                    sharing = (other for other in analysis.sets if other.kind in (Kind.HEAD, Kind.KV_GROUP))
                    if heads := [other.count for other in sharing if (tensor, dim) in other.touches]:
                        units.append(analysis.tensors[tensor].shape[dim] // (one.count * prod(heads)))
                unit = max(min(units, default=1), 1)
            found.setdefault(one.kind, []).append(_Layer(bundle, one, unit, unit * size))
    return {kind: [one for one in layers if one.bundle.most] or layers for kind, layers in found.items()}


def _in_structures(analysis: Analysis, goal: Goal) -> dict[Kind, KindLimit]:
    """What a goal's shape asks of each kind, heads as groups and heads of a group. Blocks first.

    Raises:
        PlanError: A kind is not in the model, is counted twice, or cannot have this number.
    """
    named = [limit.kind for limit in (*goal.kept, *goal.shape)]
    if len(set(named)) < len(named):
        raise PlanError("plan.kept_twice", "A goal can count each kind of structure once. Change the counts.")
    known, asked = {one.kind: one for one in shape_of(analysis)}, {limit.kind: limit for limit in goal.shape}
    for limit in goal.shape:
        if limit.kind not in known:
            raise _no_such_kind(analysis, limit.kind)
        check_limit(limit)
        if limit.count > known[limit.kind].sizes[-1]:
            raise _too_many(limit, known[limit.kind].sizes[-1])
    if Kind.HEAD not in asked or Kind.KV_GROUP not in known:
        return asked
    # Query heads are groups and heads of a group. Without a number of groups, or where the heads of a group are fixed,
    # whole groups go.
    heads, groups = known[Kind.HEAD], known[Kind.KV_GROUP]
    free = any(one.bundle.most for one in _layers(analysis).get(Kind.HEAD, ()))
    wanted, each = heads.asked(asked[Kind.HEAD]), heads.sizes[0] // groups.sizes[0]
    given = asked.get(Kind.KV_GROUP)
    # Without a number of groups, groups keep their heads and whole ones go, as the cache shrinks by that.
    count = groups.asked(given) if given is not None else max(wanted // each, 1)
    kept = max(wanted // count, 1)
    if count * kept != wanted or kept > each or (kept < each and not free):
        if given is None:
            near = [each * n for n in (wanted // each, wanted // each + 1) if 0 < n <= groups.sizes[0]]
        else:
            near = [count * n for n in (kept, kept + 1) if 0 < n <= each] if free else [count * each]
        raise PlanError(
            "plan.shape_groups",
            "{heads:,} heads cannot be kept with {count:,} of {groups:,} key/value groups of {each:,} heads. Nearest "
            "possible number of heads: {near}.",
            heads=wanted,
            count=count,
            groups=groups.sizes[0],
            each=each,
            near=any_of(f"{one:,}" for one in near),
        )
    grouped = {Kind.KV_GROUP: KindLimit(Kind.KV_GROUP, count=count), Kind.HEAD: KindLimit(Kind.HEAD, count=kept)}
    return asked | grouped


def _kept_number(analysis: Analysis, layer: _Layer, layers: Sequence[_Layer], limit: KindLimit) -> int:
    """How many a layer keeps; raises PlanError for a number that it cannot keep."""
    allowed = layer.allowed
    if not limit.count:
        return int(allowed[np.argmin(np.abs(allowed - limit.share * layer.size))])
    kinds = title(plural(limit.kind))
    sizes = sorted({one.size for one in layers})
    if len(sizes) > 1:
        template = "Layers have different numbers of {kinds} ({sizes}), so one number cannot be kept. Enter a share."
        raise PlanError("plan.shape_uneven", template, kinds=kinds, sizes=listed(map(str, sizes), SHOWN))
    if limit.count in allowed:
        return limit.count
    if not layer.bundle.most:
        template = "The {kinds} stay at {size:,} in each layer. {reason} Leave them out of the shape."
        why = _why_fixed(analysis, layer)
        raise PlanError("plan.shape_fixed", template, kinds=kinds, size=layer.size, reason=why or "")
    lower, higher = allowed[allowed < limit.count], allowed[allowed > limit.count]
    near = any_of(f"{int(one):,}" for one in (*lower[-1:], *higher[:1]))
    template = "No plan is possible {asked}. Nearest possible: {near}."
    raise PlanError("plan.shape_size", template, asked=size_text(limit), near=near)


def _no_such_kind(analysis: Analysis, kind: Kind) -> PlanError:
    """The error for a kind that no layer can count; of one that goes along with the residual width says so."""
    along = [bundle for bundle in all_bundles(analysis) if any(analysis.sets[n].kind is kind for n in bundle.sets)]
    if not along:
        template = "The model has no removable {kinds}. Leave them out of the goal."
        return PlanError("plan.no_such_kind", template, kinds=title(plural(kind)))
    reasons = (one.reason for one in analysis.constraints if not set(one.sets).isdisjoint(along[0].sets))
    template = "The {kinds} go in step with the {width}. {reason} Enter how many {width} stay."
    kinds, width = title(plural(kind)), title(plural(Kind.WIDTH))
    return PlanError("plan.goes_with_width", template, kinds=kinds, width=width, reason=next(reasons, ""))


def _too_many(limit: KindLimit, most: int) -> PlanError:
    template = "The shape asks for {count:,} {kinds}, but there are {most:,}. Enter at most {most:,}."
    return PlanError("plan.shape_more", template, count=limit.count, kinds=title(plural(limit.kind)), most=most)


def _why_fixed(analysis: Analysis, layer: _Layer) -> Message | None:
    """The reason of a constraint that holds a set."""
    return next((one.reason for one in analysis.constraints if not set(one.sets).isdisjoint(layer.bundle.sets)), None)
