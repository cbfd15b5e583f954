"""Constraints under which one configuration describes a cut model of transformers: uniform layers.

One number of a configuration decides a size in all layers, so they lose equally many structures. What no number decides
stays as it is, and blocks go as whole layers.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Message, OpenError, PlanError
from ...planning.count_balance import all_bundles, weakest_first
from ...structures.analysis import Analysis, Constraint, CountRule, Kind, Mask
from ...structures.count_constraints.extend import constrained
from ..cut.cut import shapes
from .config_fields import ConfigFields
from .config_fit import fits, is_transformers

TRIED = 64
"""Steps by which the width becomes smaller until a configuration accepts the plan."""


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
    fields = ConfigFields(model)
    decided, fixed = _decided(analysis, fields)
    together: dict[object, list[int]] = defaultdict(list)
    for axis, signature in decided.items():
        together[signature].append(axis)
    size = np.diff(analysis.axis_start)
    added = [
        Constraint(CountRule.EQUAL, tuple(sorted(axes)), int(size[max(axes)]), (), _equal(signature), "")
        for signature, axes in ((one, [*axes, *([-1] if one in fixed else [])]) for one, axes in together.items())
        if len(axes) > 1
    ]
    lists = {path for one in fields.effects for path in one.layers}
    whole: list[int] = []
    for number, one in enumerate(analysis.sets):
        if one.kind is Kind.BLOCK:
            free = one.module.rpartition(".")[0] in lists
        else:
            stored = [(t, d) for t, d in one.touches if analysis.tensors[t].name in fields.shapes]
            free = all(analysis.tensors[t].axes[d] in decided for t, d in stored)
        whole += [] if free else [number]
    if whole:
        reason = Message("counted.no_field", "The model's configuration has no field for this size.")
        added.append(Constraint(CountRule.WHOLE, (), 0, tuple(whole), reason, ""))
    return constrained(analysis, added)


def _decided(analysis: Analysis, fields: ConfigFields) -> tuple[dict[int, tuple[object, ...]], set[tuple[object, ...]]]:
    """For each axis that the configuration decides, its size and by which fields: equal for axes of equal sizes.

    With it those sizes that have a dimension which cannot be cut: there, all axes stay (BERT's heads, where its width
    is an output).
    """
    deciding, found = fields.deciding(), dict[int, tuple[object, ...]]()
    fixed = set[tuple[object, ...]]()
    for tensor in analysis.tensors:
        for name in (tensor.name, *tensor.aliases):
            for dim, axis in enumerate(tensor.axes):
                by = deciding.get((name, dim))
                if by:
                    signature = (tensor.shape[dim], *sorted(by.items(), key=str))
                    if axis >= 0:
                        found.setdefault(axis, signature)
                    else:
                        fixed.add(signature)
    return found, fixed


def _equal(signature: Any) -> Message:
    names = ", ".join(".".join(map(str, path)) for path, _ in signature[1:])
    template = "One number of the configuration ({fields}) holds for all layers."
    return Message("counted.uniform", template, {"fields": names})


def fitting_plan(model: Any, analysis: Analysis, removed: Mask, scores: NDArray[np.float64], locked: Mask) -> Mask:
    """[S] the plan, or the nearest smaller width that a configuration accepts (widths that heads divide).

    Args:
        model: The original.
        analysis: Of it, with the constraints of `keep_uniform`.
        removed: [S] the plan.
        scores: [S] NaN where unknown.
        locked: [S] what must not be marked.

    Raises:
        PlanError: None of the next widths is accepted.
    """
    fields = ConfigFields(model)
    plan = removed.copy()
    widths = [one for one in all_bundles(analysis) if any(analysis.sets[n].kind is Kind.WIDTH for n in one.sets)]
    for _ in range(TRIED):
        found = {name: tuple(shape) for name, shape in shapes(analysis, plan).items() if name in fields.shapes}
        if fits(fields, found):
            return plan
        for bundle in widths:
            for number, size in zip(bundle.sets, bundle.sizes, strict=True):
                one = analysis.sets[number]
                left = one.first + np.flatnonzero((~plan & ~locked)[one.structures])
                if len(left) <= size:
                    break
                plan[weakest_first(left, scores)[:size]] = True
    template = "No configuration of the model accepts this plan. Allow other sizes, or plan without uniform layers."
    raise PlanError("uniform.none", template)
