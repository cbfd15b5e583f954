"""The rows of the tree as flat arrays, made once a model: nodes (modules and coupled sets) and, below them, structures.

A module with a single coupled set and no modules below is one row with it. Modules that neither cost nor hold a set
(norms, activations) get no row: what they hold is removed with other layers' structures and is shown there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.engine.structures.analysis import Analysis, Kind

from ...text.structures import one_of, short_path, title_of

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Rows:
    """N nodes, S structures, K coupled sets.

    Attributes:
        parent: [N] node above, -1 at the top.
        owner: [N] coupled set that the row shows, -1 for none.
        lead: [N] coupled set that the row's outputs are part of, -1 for none.
        axis: [N] axis of the row's outputs, -1 for none.
        fixed: [N] entry of `Analysis.fixed` for its outputs, -1 for none.
        tensor: [N] first parameter of the row's module, -1 for none.
        path: [N] module path, details and class, as numpy strings in lower case for searching.
        modules: Module path of each node.
        names: Short name of each node.
        details: A few words for each node.
        module_count: How many of the nodes are modules; coupled sets in rows of their own follow.
        set_node: [K] node that shows a set.
        set_of: [S] set of each structure.
        set_start: [K] first structure of each set.
        below_set: ([*], [*]) nodes and the sets in or below them.
        below_operator: ([*], [*]) nodes and the operators in or below them.
        tensor_node: [T] the row nearest to each tensor's module, -1 where only the model itself holds it.
        parameters: [T] which tensors are parameters.
    """

    parent: Ints
    owner: Ints
    lead: Ints
    axis: Ints
    fixed: Ints
    tensor: Ints
    path: NDArray[np.str_]
    modules: tuple[str, ...]
    names: tuple[str, ...]
    details: tuple[str, ...]
    module_count: int
    set_node: Ints
    set_of: Ints
    set_start: NDArray[np.int64]
    below_set: tuple[Ints, Ints]
    below_operator: tuple[Ints, Ints]
    tensor_node: Ints
    parameters: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """N."""
        return len(self.parent)

    def by_set(self, values: NDArray[Any]) -> NDArray[Any]:
        """[K] sums of [S] values in each set, whose structures follow one another."""
        if not len(values):
            return np.zeros(len(self.set_start), np.int64)
        kind = np.int64 if values.dtype == np.bool_ else values.dtype
        return np.add.reduceat(values, self.set_start, dtype=kind)

    def sums_below(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] sums of [T] values in or below each row."""
        held = self.tensor_node >= 0
        weights = values[held].astype(np.float64)
        own = np.bincount(self.tensor_node[held], weights=weights, minlength=self.count).astype(np.float64)
        return self.upwards(own).astype(np.int64)

    def upwards(self, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N] each row's number with those of all below it."""
        totals, above = own.copy(), self.parent.astype(np.int64)
        while (has := above >= 0).any():
            np.add.at(totals, above[has], own[has])
            above = np.where(has, self.parent[np.maximum(above, 0)], -1)
        return totals


def rows_of(analysis: Analysis) -> Rows:
    """All rows of an analysis, in the order of the model."""
    shown: set[str] = set()
    for path in {*analysis.operators.module, *(s.module for s in analysis.sets)}:
        parts = path.split(".")
        shown.update(".".join(parts[: n + 1]) for n in range(len(parts)))
    infos = {m.path: m for m in analysis.modules}
    modules = [m.path for m in analysis.modules if m.path in shown and m.path]
    has_below = {_above(p, shown) for p in modules}
    by_module: dict[str, list[int]] = {}
    for number, one in enumerate(analysis.sets):
        by_module.setdefault(one.module, []).append(number)
    merged = {p: n[0] for p, n in by_module.items() if p and len(n) == 1 and p not in has_below}
    apart = [n for p, numbers in by_module.items() if p not in merged for n in numbers]
    node_of = {p: n for n, p in enumerate(modules)}
    paths = [*modules, *(analysis.sets[n].module for n in apart)]
    parent = [node_of.get(_above(p, shown), -1) for p in modules] + [
        node_of.get(analysis.sets[n].module, -1) for n in apart
    ]
    owner = [merged.get(p, -1) for p in modules] + apart
    set_node = np.zeros(len(analysis.sets), np.int32)
    for node, number in enumerate(owner):
        if number >= 0:
            set_node[number] = node
    # Of each module: axis of its first parameter's outputs, the set on it, its fixed entry, that parameter.
    first: dict[str, int] = {}
    for number, parameter in enumerate(analysis.tensors):
        if parameter.parameter and parameter.shape:
            first.setdefault(parameter.module, number)
    on = {place: n for n in reversed(range(len(analysis.sets))) for place in analysis.sets[n].touches}
    entries = {(f.tensor, f.dim): n for n, f in reversed(list(enumerate(analysis.fixed)))}
    outputs = np.full((4, len(paths)), -1, np.int32)
    for node, path in enumerate(modules):
        if path in first:
            place = (first[path], 0)
            of_axis = analysis.tensors[first[path]].axes[0]
            outputs[:, node] = of_axis, on.get(place, -1), entries.get(place, -1), first[path]
    axis, lead, fixed, tensor = outputs
    below_set = [(a, k) for k, n in enumerate(set_node) for a in _upwards(int(n), parent)]
    operators = [(a, o) for o, p in enumerate(analysis.operators.module) for a in _upwards(node_of.get(p, -1), parent)]
    details: list[str] = []
    for info in (infos[p] for p in modules):
        plain = info.type_name in ("Sequential", "ModuleList", "Conv2d", "Linear")
        details.append(info.detail or ("" if plain else info.type_name))
    details += [""] * len(apart)
    names = [short_path(p) for p in modules]
    for one in (analysis.sets[n] for n in apart):
        names.append(one_of(one.kind) if one.kind is Kind.BLOCK and one.count == 1 else title_of(one.kind))
    types = [infos[p].type_name if p in infos else "" for p in paths]
    whole = [f"{p} {d} {t}".lower() for p, d, t in zip(paths, details, types, strict=True)]
    return Rows(
        parent=_ints(parent),
        owner=_ints(owner),
        lead=np.where(_ints(owner) < 0, lead, -1).astype(np.int32),
        axis=axis,
        fixed=np.where((_ints(owner) < 0) & (lead < 0), fixed, -1).astype(np.int32),
        tensor=tensor,
        path=np.array(whole, dtype=np.str_),
        modules=tuple(paths),
        names=tuple(names),
        details=tuple(details),
        module_count=len(modules),
        set_node=set_node,
        set_of=analysis.set_numbers(),
        set_start=np.array([one.first for one in analysis.sets], np.int64),
        below_set=_pairs(below_set),
        below_operator=_pairs(operators),
        tensor_node=_ints([nearest(t.module, node_of) for t in analysis.tensors]),
        parameters=np.array([t.parameter for t in analysis.tensors], np.bool_),
    )


def _above(path: str, shown: set[str]) -> str:
    """The nearest shown module above a path, "" at the top."""
    while path:
        path = path.rpartition(".")[0]
        if path in shown:
            return path
    return ""


def _upwards(node: int, parent: list[int]) -> list[int]:
    """A node and all above it."""
    found: list[int] = []
    while node >= 0:
        found.append(node)
        node = parent[node]
    return found


def nearest(path: str, node_of: dict[str, int]) -> int:
    """The row of a module, or of the nearest one above it; -1 for the model itself."""
    while path and path not in node_of:
        path = path.rpartition(".")[0]
    return node_of.get(path, -1)


def _ints(values: list[int]) -> Ints:
    return np.array(values, np.int32)


def _pairs(values: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    both = np.array(values, np.int32).reshape(-1, 2)
    return both[:, 0], both[:, 1]
