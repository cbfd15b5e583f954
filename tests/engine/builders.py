"""A small network and its analysis, written by hand: what tests of planning, scoring and the window stand on.

`tiny_analysis` needs numpy only; `tiny_net` is the same network as a torch module, `tiny_cut` cuts it by hand.
The network has two residual blocks, an attention with fused qkv and a classifier, on [N, 1, 8, 8] images.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secateur.engine.errors import Message
from secateur.engine.structures.analysis import (
    Analysis,
    CostingOperators,
    CoupledSet,
    FixedAxis,
    Kind,
    Mask,
    ModuleInfo,
    TensorInfo,
)

if TYPE_CHECKING:
    from .tiny_net import TinyNet

WIDTH, HIDDEN, HEADS, HEAD_DIM, CLASSES, SIDE = 16, 24, 4, 4, 3, 8
PIXELS = SIDE * SIDE
INNER = HEADS * HEAD_DIM
AXIS_LENGTHS = (WIDTH, HIDDEN, HIDDEN, 3 * INNER, INNER, HEADS, HEAD_DIM)
"""Axes: 0 residual width, 1 and 2 filters, 3 qkv outputs, 4 inputs of the projection, 5 heads, 6 head dimensions."""
AXIS_START = np.concatenate([[0], np.cumsum(AXIS_LENGTHS)]).astype(np.int64)


def tiny_analysis() -> Analysis:
    """The analysis of `TinyNet`: width, filters, heads, head dimensions, three blocks, fixed input and output."""
    tensors = _tensors()
    number = {t.name: n for n, t in enumerate(tensors)}
    sets, members, index = _sets(number)
    operators = _operators()
    return Analysis(
        model="tiny net",
        input_shapes=((2, 1, SIDE, SIDE),),
        tensors=tensors,
        modules=_modules(),
        sets=sets,
        fixed=_fixed(number),
        index=index,
        axis_start=AXIS_START,
        member_start=np.concatenate([[0], np.cumsum([len(m) for m in members])]).astype(np.int64),
        member_position=np.concatenate(members).astype(np.int64),
        operators=operators,
        block_tensor=_held(sets, [t.module for t in tensors]),
        block_operator=_held(sets, operators.module),
        notes=(Message("tracing.unseen", "{module} did not run with the example input.", {"module": "aux"}),),
    )


def tiny_scores(analysis: Analysis, seed: int = 0) -> NDArray[np.float64]:
    """[S] plausible scores, different for every structure; blocks have none (NaN)."""
    scores = np.random.default_rng(seed).gamma(4.0, 0.25, analysis.count)
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            scores[one.structures] = np.nan
    return scores


def tiny_net(seed: int = 0) -> "TinyNet":
    """The network with random weights and BatchNorm statistics, in eval mode."""
    from .tiny_net import build

    return build(seed)


def tiny_cut(net: "TinyNet", analysis: Analysis, removed: Mask) -> "TinyNet":
    """A smaller `TinyNet` without the removed structures, its tensors sliced by hand (no blocks)."""
    from .tiny_net import cut

    return cut(net, analysis.kept_indices(removed))


def _tensors() -> tuple[TensorInfo, ...]:
    tensors = [_tensor("conv1.weight", (WIDTH, 1, 3, 3), (0, -1, -1, -1)), *_norm("bn1", WIDTH, 0)]
    for block, hidden in ((0, 1), (1, 2)):
        path = f"layer1.{block}"
        tensors += [_tensor(f"{path}.conv1.weight", (HIDDEN, WIDTH, 3, 3), (hidden, 0, -1, -1))]
        tensors += _norm(f"{path}.bn1", HIDDEN, hidden)
        tensors += [_tensor(f"{path}.conv2.weight", (WIDTH, HIDDEN, 3, 3), (0, hidden, -1, -1))]
        tensors += _norm(f"{path}.bn2", WIDTH, 0)
    tensors += [_tensor("attn.qkv.weight", (3 * INNER, WIDTH), (3, 0)), _tensor("attn.qkv.bias", (3 * INNER,), (3,))]
    tensors += [_tensor("attn.proj.weight", (WIDTH, INNER), (0, 4)), _tensor("attn.proj.bias", (WIDTH,), (0,))]
    tensors += [_tensor("fc.weight", (CLASSES, WIDTH), (-1, 0)), _tensor("fc.bias", (CLASSES,), (-1,))]
    return tuple(tensors)


def _tensor(name: str, shape: tuple[int, ...], axes: tuple[int, ...], parameter: bool = True) -> TensorInfo:
    return TensorInfo(name, shape, parameter, axes, (), name.rpartition(".")[0])


def _norm(path: str, length: int, axis: int) -> list[TensorInfo]:
    learned = [_tensor(f"{path}.{leaf}", (length,), (axis,)) for leaf in ("weight", "bias")]
    measured = [_tensor(f"{path}.{leaf}", (length,), (axis,), False) for leaf in ("running_mean", "running_var")]
    return [*learned, *measured, _tensor(f"{path}.num_batches_tracked", (), (), False)]


def _modules() -> tuple[ModuleInfo, ...]:
    rows = [("", "TinyNet", ""), ("conv1", "Conv2d", "3x3"), ("bn1", "BatchNorm2d", ""), ("layer1", "Sequential", "")]
    for block in ("layer1.0", "layer1.1"):
        rows += [(block, "TinyBlock", ""), (f"{block}.conv1", "Conv2d", "3x3"), (f"{block}.bn1", "BatchNorm2d", "")]
        rows += [(f"{block}.conv2", "Conv2d", "3x3"), (f"{block}.bn2", "BatchNorm2d", "")]
    rows += [("attn", "TinyAttention", f"{HEADS} heads"), ("attn.qkv", "Linear", ""), ("attn.proj", "Linear", "")]
    return tuple(ModuleInfo(*row) for row in [*rows, ("fc", "Linear", "")])


def _sets(
    number: dict[str, int],
) -> tuple[tuple[CoupledSet, ...], list[NDArray[np.int64]], NDArray[np.int32]]:
    sets: list[CoupledSet] = []
    members: list[NDArray[np.int64]] = []

    def add(kind: Kind, name: str, module: str, touches: list[tuple[int, int]], held: list[NDArray[np.int64]]) -> None:
        along = tuple(dict.fromkeys(_tensors()[t].module for t, _ in touches if _tensors()[t].module != module))
        dim = -1 if kind is Kind.BLOCK else 0
        sets.append(CoupledSet(kind, name, dim, module, len(members), len(held), tuple(touches), along))
        members.extend(held)

    add(Kind.WIDTH, "conv1.weight", "conv1", _touches(0), _singles(0))
    for block, axis in ((0, 1), (1, 2)):
        path = f"layer1.{block}"
        add(Kind.BLOCK, path, path, [], [np.zeros(0, np.int64)])
        add(Kind.FILTER, f"{path}.conv1.weight", f"{path}.conv1", _touches(axis), _singles(axis))
    add(Kind.BLOCK, "attn", "attn", [], [np.zeros(0, np.int64)])
    touches = [(number[n], d) for n, d in (("attn.qkv.weight", 0), ("attn.qkv.bias", 0), ("attn.proj.weight", 1))]
    add(Kind.HEAD, "attn.qkv.weight", "attn.qkv", touches, [_head(h) for h in range(HEADS)])
    add(Kind.HEAD_DIM, "attn.qkv.weight", "attn.qkv", touches, [_head_dim(d) for d in range(HEAD_DIM)])
    index = np.concatenate([np.arange(s.count) for s in sets]).astype(np.int32)
    return tuple(sets), members, index


def _touches(axis: int) -> list[tuple[int, int]]:
    """(tensor, dimension) pairs on an axis; it is written by its first and by every later producer."""
    return [(n, d) for n, tensor in enumerate(_tensors()) for d, a in enumerate(tensor.axes) if a == axis]


def _singles(axis: int) -> list[NDArray[np.int64]]:
    return [np.array([p], np.int64) for p in range(int(AXIS_START[axis]), int(AXIS_START[axis + 1]))]


def _head(head: int) -> NDArray[np.int64]:
    """Positions of a head: its rows of q, k and v, its columns of the projection, itself on the axis of heads."""
    grid = np.arange(INNER).reshape(HEADS, HEAD_DIM)[head]
    return _attention_positions(grid, int(AXIS_START[5]) + head)


def _head_dim(dim: int) -> NDArray[np.int64]:
    grid = np.arange(INNER).reshape(HEADS, HEAD_DIM)[:, dim]
    return _attention_positions(grid, int(AXIS_START[6]) + dim)


def _attention_positions(inner: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    qkv = AXIS_START[3] + np.concatenate([inner + part * INNER for part in range(3)])
    return np.concatenate([qkv, AXIS_START[4] + inner, [factor]]).astype(np.int64)


def _fixed(number: dict[str, int]) -> tuple[FixedAxis, ...]:
    into = Message("fixed.input", "This is the model's input.")
    out = Message("fixed.output", "This is the model's output: removing a class changes what the model says.")
    return (
        FixedAxis(number["conv1.weight"], 1, 1, into, ""),
        FixedAxis(number["fc.weight"], 0, CLASSES, out, "fc"),
        FixedAxis(number["fc.bias"], 0, CLASSES, out, "fc"),
    )


def _operators() -> CostingOperators:
    rows: list[tuple[str, str, int, tuple[int, ...]]] = [("conv1", "aten.convolution", 9 * PIXELS, (0,))]
    for block, hidden in (("layer1.0", 1), ("layer1.1", 2)):
        rows.append((f"{block}.conv1", "aten.convolution", 9 * PIXELS, (0, hidden)))
        rows.append((f"{block}.conv2", "aten.convolution", 9 * PIXELS, (hidden, 0)))
    rows.append(("attn.qkv", "aten.addmm", PIXELS, (0, 3)))
    rows.append(("attn", "aten.bmm", PIXELS * PIXELS, (5, 6)))
    rows.append(("attn", "aten.bmm", PIXELS * PIXELS, (5, 6)))
    rows.append(("attn.proj", "aten.addmm", PIXELS, (4, 0)))
    rows.append(("fc", "aten.addmm", CLASSES, (0,)))
    axes = np.array([(*a, -1, -1, -1, -1)[:4] for _, _, _, a in rows], np.int32)
    return CostingOperators(
        np.array([r[2] for r in rows], np.int64), axes, tuple(r[0] for r in rows), tuple(r[1] for r in rows)
    )


def _held(sets: tuple[CoupledSet, ...], modules: tuple[str, ...] | list[str]) -> NDArray[np.int32]:
    """[*, 2] (structure, number) of everything that lies under a block's module."""
    blocks = [(s.first, s.module) for s in sets if s.kind is Kind.BLOCK]
    pairs = [(s, n) for s, path in blocks for n, m in enumerate(modules) if m == path or m.startswith(f"{path}.")]
    return np.array(pairs, np.int32).reshape(-1, 2)
