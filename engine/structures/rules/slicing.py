"""Slicing and indexing: the part has the labels of the indices that it takes."""

from collections.abc import Sequence

from ...tracing.record import Ref
from .. import reasons
from ..solver.labels import Dim, Dims
from .context import Context
from .elementwise import broadcast
from .views import keep_parameter


def slice_(context: Context) -> None:
    """[start:end:step] of an axis; what is left out must be what the code says (`Context.counts`)."""
    dims = list(context.of("self"))
    axis: int = context.get("dim", 0)
    whole = dims[axis]
    if whole is not None:
        step: int = context.get("step", 1)
        start, end, _ = slice(context.get("start"), context.get("end"), 1).indices(len(whole))
        dims[axis] = whole[start:end:step]
        # If its only index went, nothing would be left of the slice.
        if len(whole) > 1 == len(whole[start:end:step]):
            context.fix(dims[axis], reasons.sliced(context.call.op))
            dims[axis] = None
        if step == 1:
            context.counts[context.number] = whole[:start], whole[max(start, end) :]
        elif len(whole) % step:
            context.fix(whole, reasons.sliced(context.call.op))
        else:
            # Runs of `step` indices go as one, so that those that remain keep their places in theirs.
            runs = whole.reshape(-1, step)
            for place in range(1, step):
                context.labels.tie(runs[:, 0], runs[:, place])
    context.give(dims)
    keep_parameter(context)


def select(context: Context) -> None:
    """One index of an axis is taken: it must stay, and so must its position; in dead code it must be there."""
    dims = list(context.of("self"))
    gone = dims.pop(context.get("dim"))
    place: int = context.get("index")
    least = place + 1 if place >= 0 else -place
    if gone is not None and context.labels.in_dead_code and least > 1:
        context.labels.count_least(gone, least, reasons.at_least(context.call.op, least), context.call.module)
    context.fix(gone, reasons.sliced(context.call.op))
    context.give(dims)


def split(context: Context) -> None:
    """Parts of one size (split, chunk) lose as many indices each; a shorter last one stays, and is never the longer."""
    split_with_sizes(context)
    call, labels = context.call, context.labels
    axis: int = context.get("dim", 0) % len(context.of("self"))
    parts = [d for d in (context.dims[o][axis] for o in call.outputs) if d is not None]
    if len(parts) < 2:
        return
    if labels.in_dead_code:
        # Dead code that works out the size of its parts does so after a cut, too: as long as the axis divides.
        one = labels.equal_part(parts) if len({len(d) for d in parts}) == 1 else None
        for output in call.outputs:
            context.dims[output][axis] = one
        return
    reason = reasons.equal_parts(call.op, len(parts))
    if len(parts[-1]) < len(parts[0]):
        last = parts.pop()
        labels.fix(last, reasons.sliced(call.op), call.module)
        labels.count_least(parts[0], len(last), reasons.last_part(call.op, len(last)), call.module)
    if len(parts) > 1:
        labels.count_equal(parts, reason, call.module)


def split_with_sizes(context: Context) -> None:
    """Parts of given sizes: each has the labels of its own indices."""
    dims = context.of("self")
    axis: int = context.get("dim", 0) % len(dims)
    start = 0
    for number, output in enumerate(context.call.outputs):
        size = context.record.shapes[output][axis]
        whole = dims[axis]
        part = None if whole is None else whole[start : start + size]
        context.give([*dims[:axis], part, *dims[axis + 1 :]], number)
        start += size
    keep_parameter(context)


def unbind(context: Context) -> None:
    """Every index of an axis becomes a tensor: the axis must stay."""
    dims = list(context.of("self"))
    gone = dims.pop(context.get("dim", 0))
    context.fix(gone, reasons.sliced(context.call.op))
    context.give_all(dims)


def flip(context: Context) -> None:
    """The order of an axis is turned round, and its labels with it."""
    dims: Dims = list(context.of("self"))
    axes: list[int] = context.get("dims")
    for axis in axes:
        whole = dims[axis]
        dims[axis] = None if whole is None else whole[::-1]
    context.give(dims)


def roll(context: Context) -> None:
    """Indices move along the named axes, which must stay."""
    named = context.get("dims") or list(range(len(context.shape("self"))))
    context.give(_fixed_at(context, named))


def triangle(context: Context) -> None:
    """tril, triu: the last two axes are compared by position, so they must stay."""
    context.give(_fixed_at(context, (-2, -1)))


def diagonal(context: Context) -> None:
    """Two axes become their diagonal, the last axis."""
    dims = _fixed_at(context, (context.get("dim1", 0), context.get("dim2", 1)))
    for axis in sorted((context.get("dim1", 0) % len(dims), context.get("dim2", 1) % len(dims)), reverse=True):
        del dims[axis]
    context.give([*dims, None])


def unfold(context: Context) -> None:
    """Windows over an axis: their contents are the last axis."""
    context.give([*_fixed_at(context, (context.get("dimension"),)), None])


def index_select(context: Context) -> None:
    """Indices of an axis by number: the axis must stay."""
    context.give(_fixed_at(context, (context.get("dim"),)))


def gather(context: Context) -> None:
    """Along one axis by number; on the others the result has the size of the index."""
    dims, index = _fixed_at(context, (context.get("dim"),)), context.of("index")
    axis = context.get("dim") % max(1, len(dims))
    for n, (whole, length) in enumerate(zip(dims, context.shape("self"), strict=True)):
        if n == axis:
            dims[n] = index[n]
        elif length == context.shape("index")[n]:
            dims[n] = context.meet([whole, index[n]])
        else:
            context.fix(whole, reasons.sliced(context.call.op))
            dims[n] = None
    context.give(dims)


def scatter(context: Context) -> None:
    """Values are written along one axis by number; the other axes are shared with index and source."""
    axis = context.get("dim") % max(1, len(context.shape("self")))
    dims = _fixed_at(context, (axis,))
    for name in ("index", "src", "source"):
        if context.value(name) is not None and len(context.shape(name)) == len(dims):
            for n, (part, length) in enumerate(zip(context.of(name), context.shape(name), strict=True)):
                if n != axis and length == context.shape("self")[n]:
                    dims[n] = context.meet([dims[n], part])
                else:
                    context.fix(part, reasons.sliced(context.call.op))
                    if n != axis:
                        context.fix(dims[n], reasons.sliced(context.call.op))
    context.give(dims)


def index(context: Context) -> None:
    """x[i, :, j]: axes that are indexed must stay, the others pass; indices that stand apart put their axes first."""
    context.give(_indexed_dims(context))


def index_put(context: Context) -> None:
    """x[i, :, j] = values: the values meet what the same index would take."""
    taken = _indexed_dims(context)
    values, sizes = context.of("values"), context.shape("values")
    for behind in range(1, min(len(values), len(taken)) + 1):
        if sizes[-behind] > 1:
            context.meet([taken[-behind], values[-behind]])
    places = _places(context)
    context.give([None if n in places else d for n, d in enumerate(context.of("self"))])


def masked_scatter(context: Context) -> None:
    """x[mask] = source, entry after entry: last axes along which the mask repeats are those of the source, too."""
    dims, source, mask = context.of("self"), context.of("source"), context.of("mask")
    whole, given = context.shape("self"), context.shape("source")
    shared = 0
    for behind in range(1, min(len(whole), len(given)) + 1):
        repeats = behind > len(mask) or context.shape("mask")[-behind] == 1 or context.labels.is_spread(mask[-behind])
        if not repeats or whole[-behind] != given[-behind]:
            break
        shared = behind
    made: Dims = [None] * len(dims)
    for behind in range(1, shared + 1):
        meeting = [dims[-behind], source[-behind], *([mask[-behind]] if behind <= len(mask) else [])]
        meeting = [d for n, d in enumerate(meeting) if n < 2 or d is not None]
        made[-behind] = context.meet(meeting)
    for dim in (*dims[: len(dims) - shared], *source[: len(source) - shared], *mask[: max(0, len(mask) - shared)]):
        context.fix(dim, reasons.sliced(context.call.op))
    context.give(made)


def _places(context: Context) -> dict[int, int]:
    """Axes that are indexed, each with the number of the index that does it (a mask takes as many as it has)."""
    places, axis = dict[int, int](), 0
    indices: list[Ref | None] = context.get("indices")
    for ref in indices:
        count = len(context.record.shapes[ref.value]) if ref is not None and _is_mask(context, ref.value) else 1
        if ref is not None:
            places.update(dict.fromkeys(range(axis, axis + count), ref.value))
        axis += count
    return places


def _is_mask(context: Context, value: int) -> bool:
    return context.record.dtypes[value] in ("bool", "uint8")


def _indexed_dims(context: Context) -> Dims:
    """Axes of x[i, :, j]."""
    dims, places = list(context.of("self")), _places(context)
    for axis in places:
        context.fix(dims[axis], reasons.sliced(context.call.op))
    values = list(dict.fromkeys(places.values()))
    masked = any(_is_mask(context, value) for value in values)
    rest = [n for n in range(len(dims)) if n not in places]
    writes = context.value("values") is not None
    # A mask gives one axis, however many it has.
    count = 1 if writes else len(context.out_shape()) - len(rest)
    made: Sequence[Dim] = [None] * count if masked else broadcast(context, values)
    together = not places or max(places) - min(places) == len(places) - 1
    first = min(places, default=0) if together else 0
    result = [dims[n] for n in rest]
    return [*result[:first], *made, *result[first:]]


def _fixed_at(context: Context, axes: Sequence[int] | int) -> Dims:
    """The axes of `self`, the named ones fixed and untracked."""
    dims = list(context.of("self"))
    for axis in [axes] if isinstance(axes, int) else axes:
        if dims:
            context.fix(dims[axis], reasons.sliced(context.call.op))
            dims[axis] = None
    return dims


RULES = {
    "aten.slice": slice_,
    "aten.select": select,
    "aten.split": split,
    "aten.unsafe_split": split,
    "aten.split_with_sizes": split_with_sizes,
    "aten.unsafe_split_with_sizes": split_with_sizes,
    "aten.unbind": unbind,
    "aten.flip": flip,
    "aten.roll": roll,
    "aten.tril": triangle,
    "aten.triu": triangle,
    "aten.diagonal": diagonal,
    "aten.unfold": unfold,
    "aten.index_select": index_select,
    "aten.gather": gather,
    **{
        f"aten.{name}": scatter
        for name in ("scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_",
                     "index_add", "index_add_", "index_copy", "index_copy_", "index_fill", "index_fill_")
    },
    "aten.masked_scatter": masked_scatter,
    "aten.masked_scatter_": masked_scatter,
    "aten.index": index,
    "aten.index_put": index_put,
    "aten.index_put_": index_put,
    "aten._index_put_impl_": index_put,
    "aten._unsafe_index": index,
}  # fmt: skip
