"""Fixes the axes that parameters may read which did not run in any recorded run.

`a(h) if x.mean() > 1 else b(h)` runs one of two layers. The operators of the other are unknown, so its weights could
meet any axis of a size that fits. Code reaches a layer through the modules around it, so what counts is what the
forwards of these saw: what they were given, what the modules that they called gave back, and what they computed
themselves. What happens inside other modules stays as free as it was.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from ..errors import Message
from ..messages import listed
from ..tracing.record import Record
from ..tracing.tree import modules_of
from . import reasons
from .solver.labels import Dim, LabelArray, Labels
from .value_uses import innermost_calls, paths_around

MODULES_NAMED = 4
"""Modules that a sentence names."""
CONVOLUTIONS = nn.modules.conv._ConvNd  # pyright: ignore[reportPrivateUsage] - the common class of six
NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)  # pyright: ignore[reportPrivateUsage]
"""Of which some have no parameters, and take one size all the same."""
PARAMETRISED = ".parametrizations."
"""Behind the path of a module: where torch keeps what a parameter of it is computed from."""
LabelledRun: TypeAlias = tuple[Record, Mapping[int, Sequence[Dim]]]
"""A record, and the labels of its values."""


@dataclass(frozen=True, slots=True)
class UnreadParameters:
    """A parameter that no operator read.

    Attributes:
        name: What did not run: the outermost module of which nothing was read, or the parameter itself.
        modules: Paths of the modules that own it; several where it is tied.
        reads: Sizes of axes that it is multiplied with or added to.
        makes: Sizes of axes that come of it.
    """

    name: str
    modules: tuple[str, ...]
    reads: tuple[int, ...]
    makes: tuple[int, ...] = ()


def unread_parameters(model: nn.Module, runs: Sequence[Record]) -> tuple[UnreadParameters, ...]:
    """Parameters that none of these runs of a model read, and norms without any that did not run."""
    sources, modules = runs[0].sources, modules_of(model)
    read = [{value for call in run.calls for value in call.refs()} for run in runs]
    known = [
        any(one.value in values for one, values in zip(same, read, strict=True))
        for same in zip(*(run.sources for run in runs), strict=True)
    ]
    owners = [tuple(dict.fromkeys(name.rpartition(".")[0] for name in (one.name, *one.aliases))) for one in sources]
    running = {call.path for run in runs for call in run.module_calls}
    running.update(p for some, one in zip(owners, known, strict=True) if one for own in some for p in paths_around(own))
    found: list[UnreadParameters] = []
    for source, own, one in zip(sources, owners, known, strict=True):
        module = modules.get(source.module.partition(PARAMETRISED)[0])
        if one or not source.floating or not source.parameter:
            continue
        idle = [path for path in paths_around(source.module) if path and path not in running]
        reads, makes = _sizes(module, source.shape)
        found.append(UnreadParameters(idle[-1] if idle else source.name, own, reads, makes))
    for path, module in modules.items():
        if isinstance(module, NORMS) and path not in running and next(module.parameters(), None) is None:
            idle = [one for one in paths_around(path) if one and one not in running]
            norm: Any = module  # torch has no common type for the sizes of norms
            shape: tuple[int, ...] = getattr(norm, "normalized_shape", ())
            size = getattr(norm, "num_channels", 0) or getattr(norm, "num_features", 0)
            found.append(UnreadParameters(idle[-1], (path,), tuple(int(n) for n in (*shape, size) if n > 1)))
    return tuple(found)


def _sizes(module: nn.Module | None, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes that a module's parameter reads and makes: of torch's own as they say, of others every dimension."""
    if isinstance(module, nn.Linear):
        reads, makes = (module.in_features,), (module.out_features,)
    elif isinstance(module, CONVOLUTIONS):
        reads, makes = (module.in_channels,), (module.out_channels,)
    elif isinstance(module, nn.Bilinear):
        reads, makes = (module.in1_features, module.in2_features), (module.out_features,)
    elif isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        reads, makes = (), (module.embedding_dim,)
    elif isinstance(module, nn.RNNBase):
        made = module.proj_size or module.hidden_size
        reads, makes = (module.input_size,), (made, made * (2 if module.bidirectional else 1))
    elif isinstance(module, nn.MultiheadAttention):
        sizes: Any = module  # torch says nothing of their types
        reads, makes = (sizes.embed_dim, sizes.kdim, sizes.vdim), (sizes.embed_dim,)
    else:
        return tuple(size for size in dict.fromkeys(shape) if size > 1), ()
    if len(shape) < 2 and not isinstance(module, nn.MultiheadAttention):  # a bias
        reads = ()
    return tuple(size for size in reads if size > 1), tuple(size for size in makes if size > 1)


def names_of(unused: Sequence[UnreadParameters]) -> tuple[str, ...]:
    """What did not run, each once; a single number fits everything, and so tells nothing."""
    return tuple(dict.fromkeys(one.name for one in unused if one.reads or one.makes))


def unused_note(unused: Sequence[UnreadParameters], ignored: bool) -> Iterator[Message]:
    """What to know of a model of which something did not run; nothing of any other."""
    if every := names_of(unused):
        names = listed(every, MODULES_NAMED)
        yield reasons.unused_ignored(names) if ignored else reasons.unused_kept(names)


@dataclass(slots=True)
class _Seen:
    """What the code of one module saw.

    Attributes:
        axes: Labels of axes by size; those of neighbours by their product too, as code that flattens them sees it.
        sizes: Sizes of axes by themselves.
    """

    axes: dict[int, list[LabelArray]] = field(default_factory=dict[int, list[LabelArray]])
    sizes: set[int] = field(default_factory=set[int])

    def add(self, dims: Sequence[Dim], shape: tuple[int, ...]) -> None:
        """Take a value: each axis, neighbours that all are tracked, and all of a sample."""
        for first, dim in enumerate(dims):
            tracked, size = list[LabelArray](), 1
            for last in range(first, len(dims)):
                one = dims[last]
                size *= shape[last]
                tracked += [] if one is None else [one.ravel()]
                whole = len(tracked) == last - first + 1 or (first == 1 and last == len(dims) - 1)
                if tracked and whole:
                    self.axes.setdefault(size, []).extend(tracked)
            if dim is not None:
                self.sizes.add(len(dim))

    def of_sizes(self, sizes: Iterable[int]) -> list[LabelArray]:
        """Axes of these sizes."""
        return [one for size in sizes for one in self.axes.get(size, [])]

    def near(self, size: int) -> list[LabelArray]:
        """Axes of which one of a size may be put together, or that it may be a part of."""
        near = [s for s in self.sizes if size % s == 0 or s % size == 0 or size - s in self.sizes]
        return self.of_sizes(near)

    def every(self) -> list[LabelArray]:
        """All axes."""
        return self.of_sizes(self.sizes)


def keep_unused(labels: Labels, runs: Sequence[LabelledRun], unused: Sequence[UnreadParameters]) -> None:
    """Fix what parameters that no run read may read.

    That is every axis of one of its sizes. A layer that fits none of them takes several together or a part of one:
    those stay of which it can be so, and all that the code around it saw where there are none.

    Args:
        labels: All statements; gets more.
        runs: Each run with the labels of its values.
        unused: The parameters.
    """
    holders = [list(dict.fromkeys(path for module in one.modules for path in paths_around(module))) for one in unused]
    seen = _collect_seen(runs, {path for paths in holders for path in paths})
    holders = [[path for path in paths if path in seen] for paths in holders]
    made: dict[str, set[int]] = {}
    for one, (nearest, *_) in zip(unused, holders, strict=True):
        made.setdefault(nearest, set()).update(one.makes)
    found: dict[str, list[LabelArray]] = {}
    for one, paths in zip(unused, holders, strict=True):
        places = [seen[path] for path in paths]
        fitting = [axis for place in places for axis in place.of_sizes((*one.reads, *one.makes))]
        if one.reads and made[paths[0]].union(*(place.axes for place in places)).isdisjoint(one.reads):
            related = [[axis for size in one.reads for axis in place.near(size)] for place in places]
            others = [axes for axes in (*related, *(place.every() for place in places)) if axes]
            fitting += others[0] if others else []
        found.setdefault(one.name, []).extend(fitting)
    alike: dict[bytes, tuple[LabelArray, list[str]]] = {}
    for name, axes in found.items():
        if axes:
            every_label = np.unique(np.concatenate(axes))
            alike.setdefault(every_label.tobytes(), (every_label, []))[1].append(name)
    for every_label, names in alike.values():
        labels.fix(every_label, reasons.unused_reader(listed(names, MODULES_NAMED)), names[0])


def _collect_seen(runs: Sequence[LabelledRun], wanted: set[str]) -> dict[str, _Seen]:
    """What the code of modules saw: of those that are wanted and ran."""
    seen: dict[str, _Seen] = {}
    for record, dims in runs:
        values: dict[str, set[int]] = {}
        _, around = innermost_calls(record)
        for place, call in enumerate(record.module_calls):
            caller = record.module_calls[around[place]].path if around[place] >= 0 else ""
            for path in wanted.intersection((call.path, caller)):
                values.setdefault(path, set()).update(call.inputs, call.outputs)
        for call in record.calls:
            if call.module in wanted:
                values.setdefault(call.module, set()).update(call.refs(), call.outputs)
        parameters = {source.value for source in record.sources}
        for path, some in values.items():
            one = seen.setdefault(path, _Seen())
            for value in sorted(some - parameters):
                if value in dims:
                    one.add(dims[value], record.shapes[value])
    return seen
