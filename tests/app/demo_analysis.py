"""Analyses for tests and pictures of the window: a small residual net written out by hand, and a very wide one."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secateur.engine.errors import Message
from secateur.engine.structures.analysis import (
    Analysis,
    CostingOperators,
    CoupledSet,
    FixedAxis,
    Kind,
    ModuleInfo,
    TensorInfo,
)

CLASSES = 10


class _Builder:
    """Collects tensors, modules, sets and operators, then lays them end to end."""

    def __init__(self) -> None:
        self.axes: list[int] = []
        self.tensors: list[TensorInfo] = []
        self.modules: list[ModuleInfo] = []
        self.operators: list[tuple[str, int, tuple[int, ...]]] = []
        self.fixed: list[FixedAxis] = []

    def axis(self, length: int) -> int:
        self.axes.append(length)
        return len(self.axes) - 1

    def module(self, path: str, type_name: str, detail: str = "") -> None:
        self.modules.append(ModuleInfo(path, type_name, detail))

    def conv(self, path: str, out: int, into: int, kernel: int, side: int) -> None:
        self.module(path, "Conv2d", f"{kernel}x{kernel}")
        shape = (self._length(out), 1 if into < 0 else self._length(into), kernel, kernel)
        self.tensors.append(TensorInfo(f"{path}.weight", shape, True, (out, into, -1, -1), (), path))
        axes = tuple(a for a in (out, into) if a >= 0)
        self.operators.append((path, kernel * kernel * side * side, axes))

    def linear(self, path: str, out: int, into: int, size: int = 0, name: str = "Linear", turned: bool = False) -> None:
        """Out of the axis `out`, or `size` fixed outputs (-1); `turned`: the weight has its inputs first."""
        self.module(path, name)
        axes = (out, into)
        shape = tuple(size if a < 0 else self._length(a) for a in axes)
        self.tensors.append(TensorInfo(f"{path}.weight", shape, True, axes, (), path))
        if not turned:
            self.operators.append((path, max(size, 1), tuple(a for a in axes if a >= 0)))

    def norm(self, path: str, axis: int) -> None:
        self.module(path, "BatchNorm2d")
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            parameter = not leaf.startswith("running")
            self.tensors.append(TensorInfo(f"{path}.{leaf}", (self._length(axis),), parameter, (axis,), (), path))

    def _length(self, axis: int) -> int:
        return self.axes[axis]

    def build(self, name: str, sets: list[tuple[Kind, str, int, str]]) -> Analysis:
        """Sets are (kind, first parameter or block path, axis or -1, module)."""
        start = np.concatenate([[0], np.cumsum(self.axes)]).astype(np.int64)
        made, members, index = list[CoupledSet](), list[NDArray[np.int64]](), list[int]()
        touched: dict[int, list[tuple[int, int]]] = {}
        for number, tensor in enumerate(self.tensors):
            for dim, of in enumerate(tensor.axes):
                touched.setdefault(of, []).append((number, dim))
        for kind, first, axis, module in sets:
            count = 1 if axis < 0 else self.axes[axis]
            touches = tuple(touched.get(axis, ())) if axis >= 0 else ()
            along = tuple(dict.fromkeys(self.tensors[t].module for t, _ in touches if self.tensors[t].module != module))
            made.append(CoupledSet(kind, first, -1 if axis < 0 else 0, module, len(members), count, touches, along))
            members += [np.zeros(0, np.int64)] if axis < 0 else [start[axis] + np.array([i]) for i in range(count)]
            index += range(count)
        operator_axes = np.array([(*a, -1, -1, -1, -1)[:4] for _, _, a in self.operators], np.int32)
        paths = tuple(p for p, _, _ in self.operators)
        return Analysis(
            model=name,
            input_shapes=((2, 1, 28, 28),),
            tensors=tuple(self.tensors),
            modules=tuple(self.modules),
            sets=tuple(made),
            fixed=tuple(self.fixed),
            index=np.array(index, np.int32),
            axis_start=start,
            member_start=np.concatenate([[0], np.cumsum([len(m) for m in members])]).astype(np.int64),
            member_position=np.concatenate(members).astype(np.int64),
            operators=CostingOperators(
                np.array([c for _, c, _ in self.operators], np.int64),
                operator_axes,
                paths,
                ("convolution",) * len(paths),
            ),
            block_tensor=_held(made, [t.module for t in self.tensors]),
            block_operator=_held(made, list(paths)),
        )


def _held(sets: list[CoupledSet], modules: list[str]) -> NDArray[np.int32]:
    blocks = [(s.first, s.module) for s in sets if s.kind is Kind.BLOCK]
    pairs = [(s, n) for s, path in blocks for n, m in enumerate(modules) if m == path or m.startswith(f"{path}.")]
    return np.array(pairs, np.int32).reshape(-1, 2)


def small_resnet(widths: tuple[int, ...] = (32, 64, 128), blocks: int = 2) -> Analysis:
    """A residual net as the bundled one: stem, stages of basic blocks, classifier."""
    b = _Builder()
    sets: list[tuple[Kind, str, int, str]] = []
    b.module("", "SmallResNet")
    width = b.axis(widths[0])
    b.conv("conv1", width, -1, 3, 28)
    b.norm("bn1", width)
    sets.append((Kind.WIDTH, "conv1.weight", width, "conv1"))
    side = 28
    for stage, channels in enumerate(widths, 1):
        b.module(f"layer{stage}", "Sequential")
        for block in range(blocks):
            width, side = _block(b, sets, f"layer{stage}.{block}", width, channels, side, stage > 1 and block == 0)
    b.module("fc", "Linear", "10 classes")
    b.tensors.append(TensorInfo("fc.weight", (CLASSES, widths[-1]), True, (-1, width), (), "fc"))
    b.tensors.append(TensorInfo("fc.bias", (CLASSES,), True, (-1,), (), "fc"))
    b.operators.append(("fc", CLASSES, (width,)))
    said = Message(
        "fixed.output",
        "Its 10 outputs are the classes of the model's answer: without one of them it would be another model.",
    )
    into = Message("fixed.input", "Its input is the image itself, with 1 channel.")
    b.fixed = [FixedAxis(len(b.tensors) - 2, 0, CLASSES, said, "fc"), FixedAxis(0, 1, 1, into, "")]
    return b.build("Small ResNet", sets)


def _block(b: _Builder, sets: list, path: str, into: int, channels: int, side: int, down: bool) -> tuple[int, int]:
    b.module(path, "BasicBlock")
    side = side // 2 if down else side
    width = b.axis(channels) if down else into
    hidden = b.axis(channels)
    if not down:
        sets.append((Kind.BLOCK, path, -1, path))
    b.conv(f"{path}.conv1", hidden, into, 3, side)
    b.norm(f"{path}.bn1", hidden)
    sets.append((Kind.FILTER, f"{path}.conv1.weight", hidden, f"{path}.conv1"))
    b.conv(f"{path}.conv2", width, hidden, 3, side)
    b.norm(f"{path}.bn2", width)
    if down:
        sets.append((Kind.WIDTH, f"{path}.conv2.weight", width, f"{path}.conv2"))
        b.module(f"{path}.shortcut", "Sequential")
        b.conv(f"{path}.shortcut.0", width, into, 1, side)
        b.norm(f"{path}.shortcut.1", width)
    return width, side


def wide(sets: int, count: int) -> Analysis:
    """A chain of `sets` layers with `count` neurons each: for scaling."""
    b = _Builder()
    b.module("", "Chain")
    listed: list[tuple[Kind, str, int, str]] = []
    into = -1
    for n in range(sets):
        out = b.axis(count)
        b.conv(f"layers.{n}", out, into, 1, 1)
        listed.append((Kind.NEURON, f"layers.{n}.weight", out, f"layers.{n}"))
        into = out
    b.modules.insert(1, ModuleInfo("layers", "ModuleList"))
    return b.build("Chain", listed)


def scores_of(analysis: Analysis, seed: int = 0) -> NDArray[np.float64]:
    """[S] two-humped scores as real ones are, NaN for blocks."""
    draw = np.random.default_rng(seed)
    weak = draw.random(analysis.count) < 0.4
    scores = np.where(weak, draw.normal(0.14, 0.05, analysis.count), draw.normal(0.6, 0.14, analysis.count))
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            scores[one.structures] = draw.uniform(0.3, 0.7, one.count)
    return np.clip(scores, 0.004, None)


def llama(layers: int = 4, width: int = 256, hidden: int = 928, heads: int = 16) -> Analysis:
    """The shape of a Llama: an embedding, decoder layers of heads, neurons and whole blocks, a head over the words.

    As given it has about 5,000 structures: layers * (heads + hidden + 2 blocks) and the residual width.
    """
    b = _Builder()
    sets: list[tuple[Kind, str, int, str]] = []
    b.module("", "LlamaForCausalLM")
    b.module("model", "LlamaModel")
    residual = b.axis(width)
    b.linear("model.embed_tokens", -1, residual, 1000, "Embedding", turned=True)
    sets.append((Kind.WIDTH, "model.embed_tokens.weight", residual, "model.embed_tokens"))
    b.module("model.layers", "ModuleList")
    for number in range(layers):
        path = f"model.layers.{number}"
        b.module(path, "LlamaDecoderLayer")
        for part, name in (("self_attn", "LlamaAttention"), ("mlp", "LlamaMLP")):
            sets.append((Kind.BLOCK, f"{path}.{part}", -1, f"{path}.{part}"))
            b.module(f"{path}.{part}", name)
        inner, neurons = b.axis(heads), b.axis(hidden)
        for leaf in ("q_proj", "k_proj", "v_proj"):
            b.linear(f"{path}.self_attn.{leaf}", inner, residual)
        b.linear(f"{path}.self_attn.o_proj", residual, inner)
        sets.append((Kind.HEAD, f"{path}.self_attn.q_proj.weight", inner, f"{path}.self_attn.q_proj"))
        for leaf in ("gate_proj", "up_proj"):
            b.linear(f"{path}.mlp.{leaf}", neurons, residual)
        b.linear(f"{path}.mlp.down_proj", residual, neurons)
        sets.append((Kind.NEURON, f"{path}.mlp.gate_proj.weight", neurons, f"{path}.mlp.gate_proj"))
    b.linear("lm_head", -1, residual, 1000)
    said = Message("fixed.output", "Its outputs are the words of the model's answer.")
    b.fixed = [FixedAxis(len(b.tensors) - 1, 0, 1000, said, "lm_head")]
    return b.build("Llama", sets)


def within(analysis: Analysis, prefix: str) -> Analysis:
    """The same model as a part of a larger one: every name begins with a prefix."""

    def named(path: str) -> str:
        return f"{prefix}.{path}" if path else prefix

    held = analysis.operators
    return replace(
        analysis,
        tensors=tuple(replace(t, name=named(t.name), module=named(t.module)) for t in analysis.tensors),
        modules=(ModuleInfo("", "Wrapped", ""), *(replace(m, path=named(m.path)) for m in analysis.modules)),
        sets=tuple(
            replace(s, name=named(s.name), module=named(s.module), along=tuple(map(named, s.along)))
            for s in analysis.sets
        ),
        fixed=tuple(replace(f, module=named(f.module)) for f in analysis.fixed),
        operators=replace(held, module=tuple(map(named, held.module))),
    )
