"""Cut models with one fault each, and cutters with one fault each, which a verification has to refuse.

    python -m tests.engine.surgery.verify.mutants    # the table: what finds each of them

`MUTANTS` break what a cut gave, `CUTTERS` what cuts. `HARMLESS` are changes that no run can tell from the right model,
each with its reason. A fault of code is one that the example does not reach: the cut model's code is the
original's, but a number in it stayed what it was (`Conditional`).
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.runtime import load_pruned
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.structures.transition import KeptIndices, Transition
from secateur.engine.surgery.cut import cut as cut_module
from secateur.engine.surgery.cut.cut import CutModel, cut
from secateur.engine.surgery.cut.edits import TENSORS, Check, Verification
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.verify.tensor_slices import compare_tensors
from secateur.engine.surgery.verify.verify import require_verified, verify
from tests.engine.nets import TorchAttention, tokens
from tests.engine.structures.test_training_branches import Autoencoder


def gradient(given: torch.Tensor) -> torch.Tensor:
    """A hook of a parameter."""
    return given * 0.5


def doubled(_module: nn.Module, _given: Any, result: torch.Tensor) -> torch.Tensor:
    """A forward hook that computes."""
    return result * 2


def watched(*_: Any) -> None:
    """A backward hook."""


class Convolutions(nn.Module):
    """Norms, groups, a depth-wise layer, dropout; a filter of the first layer is asleep."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 16, 3, bias=False, padding=1), nn.BatchNorm2d(16, momentum=0.2)
        self.grouped, self.second = nn.Conv2d(16, 16, 3, groups=4), nn.BatchNorm2d(16)
        self.depthwise, self.last = nn.Conv2d(16, 16, 3, groups=16), nn.Conv2d(16, 12, 1)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(12, 5)
        for norm in (self.norm, self.second):
            for one in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
                assert one is not None
                one.uniform_(0.5, 1.5)
        self.last.weight.data[-1], self.last.bias.data[-1] = 0.0, -5.0
        self.first.weight.requires_grad_(False)
        self.depthwise.weight.register_hook(gradient)
        self.second.register_forward_hook(doubled)
        self.last.register_full_backward_hook(watched)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.second(self.grouped(F.relu(self.norm(self.first(x))))))
        return self.head(self.drop(F.relu(self.last(F.relu(self.depthwise(x)))).mean((2, 3))))


class Block(nn.Module):
    """Attention with its scale as an attribute, and an MLP, behind layer scales of 1e-6 as in CaiT and ConvNeXt."""

    def __init__(self, fused: bool, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.fused, self.heads, self.scale = fused, heads, (width // heads) ** -0.5
        self.norm1, self.qkv, self.proj = (
            nn.LayerNorm(width, 1e-6),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width, 1e-6), nn.Linear(width, 24), nn.Linear(24, width)
        self.gamma1, self.gamma2 = nn.Parameter(1e-6 * torch.rand(width)), nn.Parameter(1e-6 * torch.rand(width))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.fused:  # which divides by the root of the width that it is given: weights are multiplied for it
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1) @ v
        x = x + self.gamma1 * self.drop(self.proj(mixed.transpose(1, 2).reshape(n, t, -1)))
        return x + self.gamma2 * self.fc2(F.gelu(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    """Patches, a class token, positions, two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        self.blocks, self.norm, self.head = (
            nn.Sequential(Block(fused=False), Block(fused=True)),
            nn.LayerNorm(16),
            nn.Linear(16, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Experts(nn.Module):
    """One of four experts a row, stacked weights and a list; what the router favours leaves two without rows."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.router = nn.Linear(8, 12), nn.Linear(12, 4)
        self.router.bias.data = torch.tensor([9.0, 8.9, -9.0, -9.0])
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12)) for _ in range(4))
        self.stacked, self.head = nn.Parameter(torch.randn(4, 12, 12) / 3), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.up(x))
        chosen = F.one_hot(self.router(x).argmax(-1), 4).to(x.dtype)
        mixed = torch.einsum("nd,edf,ne->nf", x, self.stacked, chosen)
        for number, expert in enumerate(self.experts):
            mixed = mixed + chosen[:, number : number + 1] * expert(x)
        return self.head(x + mixed)


class Language(nn.Module):
    """A few of sixty words, a few of thirty-two positions, a gated layer; the output's weight is the embedding's."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(60, 16, padding_idx=0), nn.Embedding(32, 16)
        self.norm, self.drop = nn.LayerNorm(16), nn.Dropout(0.1)
        self.gate, self.value, self.down = nn.Linear(16, 20), nn.Linear(16, 20), nn.Linear(20, 16)
        self.both = nn.Linear(16, 24)
        self.back, self.out = nn.Linear(12, 16), nn.Linear(16, 60, bias=False)
        if tied:
            self.out.weight = self.words.weight
        self.causal = nn.Buffer(torch.ones(32, 32).tril() + 0.0, persistent=False)
        self.unread = nn.Buffer(torch.randn(16))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        length = words.shape[1]
        x = self.words(words) + self.positions(torch.arange(length))
        x = x + self.causal[:length, :length] @ x / length
        x = x + self.down(F.silu(self.gate(x)) * self.value(x))
        x = x + self.back(F.glu(self.both(self.norm(x))))
        return self.out(self.drop(x))


class Recurrent(nn.Module):
    """Two layers of an LSTM and a GRU on [N, T, 6]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 12, 2, batch_first=True, dropout=0.1)
        self.gru, self.head = nn.GRU(12, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(self.lstm(x)[0])[0][:, -1])


class Dense(nn.Module):
    """Layers that read all that came before, as in DenseNet; sizes in a view are literals and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(11, 8, 1), nn.Conv2d(19, 10, 1)
        self.norm, self.width, self.head = nn.BatchNorm2d(19), 10, nn.Linear(10, 4)
        assert self.norm.running_mean is not None
        self.norm.running_mean.uniform_(-1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, F.relu(self.one(x))], 1)
        x = torch.cat([x, F.relu(self.two(x))], 1)
        x = F.relu(self.three(self.norm(x)))
        return self.head(x.view(len(x), self.width, -1).mean(-1).view(-1, 10))


class Conditional(nn.Module):
    """Multiplies by a width that it remembers over the width that there is, only where a condition holds."""

    def __init__(self, condition: Callable[..., bool]) -> None:
        super().__init__()
        self.inner, self.out, self.width, self.condition = nn.Linear(6, 24), nn.Linear(24, 3), 24, condition

    def forward(self, x: torch.Tensor, again: bool = False, shift: torch.Tensor | None = None) -> torch.Tensor:
        h = torch.relu(self.inner(x))
        if self.condition(self, x, again, shift):
            h = h * (self.width / h.shape[-1])
        return self.out(h)


class InTraining(Conditional):
    """Multiplies in training mode alone."""

    def forward(self, x: torch.Tensor, again: bool = False, shift: torch.Tensor | None = None) -> torch.Tensor:
        h = torch.relu(self.inner(x))
        if self.training:
            h = h * (self.width / h.shape[-1])
        return self.out(h)


class Constants(nn.Module):
    """Weighs what it computes by numbers that the code makes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(6, 24), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.inner(x)) * torch.linspace(0.5, 1.5, 24))


def llama() -> Any:
    """Grouped queries: four heads share two keys and values."""
    transformers = pytest.importorskip("transformers")
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4,
            num_key_value_heads=2, bos_token_id=1, eos_token_id=2, attention_dropout=0.1,
        )
    )  # fmt: skip


def pictures(size: int = 8) -> tuple[torch.Tensor]:
    """[2, 3, size, size]."""
    return (torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)),)


WORDS = (torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]]),)
ROWS = (torch.randn(5, 8, generator=torch.Generator().manual_seed(0)),)
SEQUENCES = (torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0)),)
TOKENS = tokens()
CONDITIONS: dict[str, Callable[..., bool]] = {
    "batch of one": lambda m, x, again, shift: len(x) == 1,
    "batch of eight": lambda m, x, again, shift: len(x) >= 8,
    "a longer sequence": lambda m, x, again, shift: x.shape[1] > 5,
    "beyond a power of two": lambda m, x, again, shift: x.shape[1] > 8,
    "bfloat16": lambda m, x, again, shift: x.dtype is torch.bfloat16,
    "no gradient": lambda m, x, again, shift: torch.is_grad_enabled(),
    "strides": lambda m, x, again, shift: not x.is_contiguous(),
    "a flag": lambda m, x, again, shift: again,
    "an optional tensor": lambda m, x, again, shift: shift is not None,
    "padding at the end": lambda m, x, again, shift: bool((x[:, -1] == 0).all()),
}
MODELS: dict[str, tuple[Callable[[], Any], Any]] = {
    "cnn": (Convolutions, pictures()), "vit": (VisionTransformer, pictures()), "llama": (llama, WORDS),
    "experts": (Experts, ROWS), "language": (Language, WORDS), "untied": (lambda: Language(tied=False), WORDS),
    "recurrent": (Recurrent, SEQUENCES), "dense": (Dense, pictures()), "attention": (TorchAttention, TOKENS),
    "codebook": (lambda: Autoencoder(False), pictures(4)),
    **{name: (lambda c=c: Conditional(c), SEQUENCES) for name, c in CONDITIONS.items()},
    "training": (lambda: InTraining(lambda *_: False), SEQUENCES), "constants": (Constants, SEQUENCES),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model and its cut, made once."""

    model: nn.Module
    inputs: Any
    analysis: Analysis
    mask: Mask
    made: CutModel

    def copied(self) -> Any:
        """A cut model to be broken; with its hooks, which `copy.deepcopy` loses."""
        return cut_module._slice_model(self.made.model, {})  # pyright: ignore[reportPrivateUsage]

    def tensors(self, model: nn.Module) -> Check:
        """The comparison of tensors, attributes and hooks alone."""
        transition = Transition(self.analysis, self.analysis.empty(), self.mask)
        return compare_tensors(self.model, model, transition, self.made.factors, self.made.edits, NeverCancelled())

    def verified(self, model: nn.Module) -> Verification:
        """What a verification says of a model in place of the cut one."""
        return finish(
            verify(
                self.model, model, self.analysis, self.mask, self.inputs, factors=self.made.factors,
                edits=self.made.edits,
            )
        )  # fmt: skip


def plan(analysis: Analysis) -> Mask:
    """Every second structure, so that no index stays where it was, and no block."""
    mask = trial_mask(analysis, tuple(one for one in analysis.sets if one.kind is not Kind.BLOCK))
    return mask


@cache
def analysed(name: str) -> tuple[nn.Module, Any, Analysis]:
    """One of `MODELS`."""
    torch.manual_seed(0)
    build, inputs = MODELS[name]
    model = build().eval()
    return model, inputs, analyse(model, inputs)


@cache
def prepared(name: str) -> Prepared:
    """One of `MODELS` with its cut."""
    model, inputs, analysis = analysed(name)
    mask = plan(analysis)
    return Prepared(model, inputs, analysis, mask, cut(model, analysis, mask, inputs))


def finding(verification: Verification, tensors: bool = True) -> str:
    """The first comparison that refuses a cut, "" if none does; without that of the tensors on wish."""
    kept = tuple(one for one in verification.checks if tensors or one.name != TENSORS)
    try:
        require_verified(Verification(kept, verification.skipped))
    except SecateurError:
        return next((str(one.name) for one in kept if not one.passed), "inconclusive")
    return ""


def value(path: str) -> Callable[[Any], torch.Tensor]:
    """A parameter or buffer by its path."""

    def find(model: Any) -> torch.Tensor:
        *_, last = path.split(".")
        return getattr(model.get_submodule(path.rpartition(".")[0]), last).data

    return find


def swap(path: str, first: int, second: int, dim: int = 0) -> Callable[[Any], None]:
    """Exchange two indices of a tensor."""

    def run(model: Any) -> None:
        tensor = value(path)(model)
        order = list(range(tensor.shape[dim]))
        order[first], order[second] = order[second], order[first]
        tensor.copy_(tensor.index_select(dim, torch.tensor(order)).clone())

    return run


def roll(path: str, by: int = 1, dim: int = 0) -> Callable[[Any], None]:
    """Shift the indices of a tensor."""

    def run(model: Any) -> None:
        tensor = value(path)(model)
        tensor.copy_(tensor.roll(by, dim).clone())

    return run


def scale(path: str, by: float = 1.5) -> Callable[[Any], None]:
    """Multiply a tensor."""

    def run(model: Any) -> None:
        value(path)(model).mul_(by)

    return run


def give(path: str, made: Any) -> Callable[[Any], None]:
    """Set an attribute."""

    def run(model: Any) -> None:
        setattr(model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], made)

    return run


def call(run: Callable[[Any], object]) -> Callable[[Any], None]:
    """Whatever else is done to a model."""
    return lambda model: (run(model), None)[1]


def roll_rows(path: str, start: int, end: int, by: int = 1) -> Callable[[Any], None]:
    """Shift some rows."""

    def run(model: Any) -> None:
        rows = value(path)(model)[start:end]
        rows.copy_(rows.roll(by, 0).clone())

    return run


def whole(path: str, name: str) -> Callable[[Any], None]:
    """The original's tensor, uncut."""

    def run(model: Any) -> None:
        uncut = value(path)(prepared(name).model).clone()
        module, last = model.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2]
        setattr(module, last, nn.Parameter(uncut) if last in module._parameters else uncut)

    return run


class OtherNorm(nn.BatchNorm2d):
    """Differs for a batch of five alone."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """A norm."""
        return super().forward(input) * (2 if len(input) == 5 else 1)


def untie(model: Any) -> None:
    """A weight of its own for the output."""
    model.out.weight = nn.Parameter(model.out.weight.detach().clone())


def tie(model: Any) -> None:
    """One weight where there were two."""
    model.gate.weight = model.value.weight


def exchange_experts(model: Any) -> None:
    """Two that get no rows."""
    model.experts[2], model.experts[3] = model.experts[3], model.experts[2]


def move_heads(model: Any) -> None:
    """Heads in another order, in all that belongs to them: computes the same."""
    block, order = model.blocks[0], torch.tensor([1, 0])
    for one in (block.qkv.weight.data, block.qkv.bias.data):
        parts = one.view(3, 2, -1, *one.shape[1:])
        parts.copy_(parts[:, order].clone())
    columns = block.proj.weight.data.view(len(block.proj.weight), 2, -1)
    columns.copy_(columns[:, order].clone())


MUTANTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    # Indices.
    "two filters exchanged": ("cnn", swap("first.weight", 0, 3)),
    "running mean of two channels exchanged": ("cnn", swap("norm.running_mean", 1, 2)),
    "running variance scaled": ("cnn", scale("second.running_var")),
    "norm's scale shifted": ("cnn", roll("norm.weight")),
    "norm's count lost": ("cnn", give("norm.num_batches_tracked", torch.tensor(7))),
    "groups in another order": ("cnn", roll("grouped.weight", 2)),
    "depth-wise filters shifted": ("cnn", roll("depthwise.weight")),
    "input channels shifted": ("cnn", roll("last.weight", 1, 1)),
    "row of the head shifted": ("cnn", roll("head.weight", 1, 1)),
    "columns behind a unit that sleeps": ("cnn", swap("last.weight", 0, 1, 1)),
    "neurons behind a layer scale": ("vit", roll("blocks.1.fc1.weight")),
    "projection behind a layer scale": ("vit", swap("blocks.0.proj.bias", 0, 1)),
    "layer scale twice as large": ("vit", scale("blocks.0.gamma1", 2.0)),
    "queries of two heads exchanged": ("vit", roll_rows("blocks.0.qkv.weight", 0, 4, 2)),
    "values of a head shifted": ("vit", roll_rows("blocks.1.qkv.bias", 8, 10)),
    "heads exchanged throughout": ("vit", move_heads),
    "positions shifted": ("vit", roll("positions", 1, 1)),
    "class token's width shifted": ("vit", roll("token", 1, 2)),
    "query heads in the wrong group": ("llama", roll("model.layers.0.self_attn.q_proj.weight")),
    "keys of another group": ("llama", roll("model.layers.0.self_attn.k_proj.weight")),
    "gate and up shifted": ("llama", roll("model.layers.0.mlp.gate_proj.weight")),
    "rotary frequency of the last pair": ("llama", scale("model.rotary_emb.inv_freq", 1.001)),
    "rows of words that are not read": ("llama", swap("model.embed_tokens.weight", 40, 41)),
    "an expert without rows": ("experts", roll("experts.3.0.weight")),
    "two experts without rows exchanged": ("experts", exchange_experts),
    "a stacked expert without rows": ("experts", swap("stacked", 2, 3)),
    "scores that are never the highest": ("experts", scale("router.weight", 0.999)),
    "word that is not read": ("untied", swap("words.weight", 50, 51)),
    "positions that are not reached": ("untied", roll_rows("positions.weight", 10, 32)),
    "mask beyond the example": ("untied", call(lambda m: m.causal[20:].fill_(1))),
    "buffer that nothing reads": ("untied", roll("unread")),
    "value against gate shifted": ("language", roll("value.weight")),
    "halves of a gated layer shifted": ("language", roll("both.weight")),
    "halves of a gated layer exchanged": ("language", roll("both.bias", 6)),
    "gates of an LSTM exchanged": ("recurrent", roll("lstm.weight_hh_l0", 6)),
    "recurrent bias of two units": ("recurrent", swap("lstm.bias_hh_l1", 0, 1)),
    "columns of a second layer": ("recurrent", roll("lstm.weight_ih_l1", 1, 1)),
    "columns of a GRU": ("recurrent", roll("gru.weight_hh_l0", 1, 1)),
    "joined parts shifted": ("dense", roll("three.weight", 1, 1)),
    "norm over joined parts": ("dense", roll("norm.running_mean")),
    "heads of packed attention": ("attention", roll_rows("attention.in_proj_weight", 0, 8)),
    "codes that nobody chose": ("codebook", swap("quantizer.embed", 0, 1)),
    "averages that training reads": ("codebook", roll("quantizer.embed_avg")),
    "averages that were not cut": ("codebook", whole("quantizer.embed_avg", "codebook")),
    "counts that training reads": ("codebook", scale("quantizer.cluster_size")),
    "a bias rounded to bfloat16": (
        "vit", call(lambda m: m.head.bias.data.copy_(m.head.bias.data.bfloat16().float()))
    ),
    "a bias in double precision": ("vit", call(lambda m: m.head.double())),
    "a variance that was not cut": ("cnn", whole("norm.running_var", "cnn")),
    "a multiplied weight off by a millionth": ("vit", scale("blocks.1.qkv.weight", 1 + 1e-6)),
    # Attributes, hooks, ties.
    "momentum": ("cnn", give("norm.momentum", 0.1)),
    "epsilon": ("cnn", give("norm.eps", 1e-3)),
    "epsilon of a norm behind a layer scale": ("vit", give("blocks.1.norm2.eps", 1e-5)),
    "statistics of the batch": ("cnn", give("norm.track_running_stats", False)),
    "dropout": ("cnn", give("drop.p", 0.5)),
    "dropout between the layers of an LSTM": ("recurrent", give("lstm.dropout", 0.5)),
    "dropout of attention": ("llama", give("model.layers.0.self_attn.attention_dropout", 0.0)),
    "number of heads": ("vit", give("blocks.0.heads", 4)),
    "scale of attention": ("vit", give("blocks.0.scale", 0.25)),
    "heads of packed attention miscounted": ("attention", give("attention.pruned_heads", 1)),
    "padding row": ("language", give("words.padding_idx", 3)),
    "longest row of an embedding": ("language", give("words.max_norm", 100.0)),
    "gradient by frequency": ("language", give("words.scale_grad_by_freq", True)),
    "a remembered width": ("dense", give("width", 10)),
    "a frozen weight that trains": ("cnn", call(lambda m: m.first.weight.requires_grad_(True))),
    "a norm in training mode": ("cnn", call(lambda m: m.norm.train())),
    "forward hook lost": ("cnn", call(lambda m: m.second._forward_hooks.clear())),
    "backward hook lost": ("cnn", call(lambda m: m.last._backward_hooks.clear())),
    "hook of a weight lost": ("cnn", call(lambda m: m.depthwise.weight._backward_hooks.clear())),
    "another class": ("cnn", call(lambda m: setattr(m.norm, "__class__", OtherNorm))),
    "weight untied": ("language", untie),
    "weights tied": ("language", tie),
    "a bias lost": ("cnn", give("last.bias", None)),
    "an LSTM that reads other weights": (
        "recurrent", call(lambda m: m.lstm._flat_weights.__setitem__(2, m.lstm._flat_weights[3].clone()))
    ),
    "configuration": ("llama", call(lambda m: setattr(m.config, "rms_norm_eps", 1e-3))),
    # Code that the example does not reach.
    **{f"code: {name}": (name, lambda _: None) for name in (*CONDITIONS, "training")},
}  # fmt: skip


def strided(model: Any) -> None:
    """A weight in another layout in memory."""
    model.first.weight.data = model.first.weight.data.to(memory_format=torch.channels_last)


def roomy(model: Any) -> None:
    """A weight as a part of a larger piece of memory."""
    weight = model.head.weight
    weight.data = torch.cat([weight.data, weight.data])[: len(weight)]


HARMLESS: dict[str, tuple[str, Callable[[Any], None], str]] = {
    "another layout in memory": ("cnn", strided, "the same entries; operators take any strides"),
    "part of a larger storage": ("cnn", roomy, "the same entries; it costs memory until the model is saved"),
    "compiled call": (
        "cnn", give("_compiled_call_impl", None), "what `torch.compile` made belongs to the original; it is made anew"
    ),
}  # fmt: skip


Patch = pytest.MonkeyPatch


def wrong_slices(change: Callable[[torch.Tensor, int, Any], Any]) -> Callable[[Patch], None]:
    """`slice_tensor` keeps other indices than it is told: `change` of the tensor, a dimension and its kept indices."""
    right = cut_module.slice_tensor

    def run(tensor: torch.Tensor, keeps: Any, blank: bool = False) -> torch.Tensor:
        other = [kept if kept is None else change(tensor, dim, kept) for dim, kept in enumerate(keeps)]
        return right(tensor, other, blank)

    return lambda patch: patch.setattr(cut_module, "slice_tensor", run)


def wrong_attributes(**more: Any) -> Callable[[Patch], None]:
    """What a norm remembers of its sizes is more than its sizes."""
    right = cut_module.module_attributes

    def run(module: nn.Module, groups: int | None) -> dict[str, Any]:
        return right(module, groups) | (more if isinstance(module, nn.BatchNorm2d) else {})

    return lambda patch: patch.setattr(cut_module, "module_attributes", run)


def wrong_copies(change: Callable[[Any], object]) -> Callable[[Patch], None]:
    """A copy of the model is changed as soon as it is made."""
    right = cut_module.shadow_copy

    def run(model: nn.Module, make: Any) -> nn.Module:
        copy = right(model, make)
        change(copy)
        return copy

    return lambda patch: patch.setattr(cut_module, "shadow_copy", run)


def wrong_keeps(change: Callable[[dict[str, Any]], object]) -> Callable[[Patch], None]:
    """What stays of tensors is noted wrongly."""
    right = Analysis.kept_indices

    def run(self: Analysis, removed: Mask) -> dict[str, Any]:
        kept = right(self, removed)
        change(kept)
        return kept

    return lambda patch: patch.setattr(Analysis, "kept_indices", run)


def wrong_constants(patch: Patch) -> None:
    """Of constants that the code makes, the entries after the kept ones."""
    right = cut_module.sliced_constants

    def run(analysis: Analysis, indices: Any) -> Any:
        for *place, dims in right(analysis, indices):
            yield (*place, tuple((dim, size, tuple((one + 1) % size for one in kept)) for dim, size, kept in dims))

    patch.setattr(cut_module, "sliced_constants", run)


def wrong_factors(patch: Patch) -> None:
    """Weights are multiplied twice."""
    right = cut_module.scale_weights

    def run(*given: Any) -> None:
        right(*given)
        right(*given)

    patch.setattr(cut_module, "scale_weights", run)


def wrong_kinds(patch: Patch) -> None:
    """Parameters forget what they were."""
    patch.setattr(cut_module, "of_same_kind", lambda own, made: nn.Parameter(made) if _is_parameter(own) else made)


def _is_parameter(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.Parameter)


def wrong_values(change: Callable[[torch.Tensor], object]) -> Callable[[Patch], None]:
    """What is cut is changed afterwards."""
    right = cut_module.slice_tensor

    def run(tensor: torch.Tensor, keeps: Any, blank: bool = False) -> torch.Tensor:
        cut_one = right(tensor, keeps, blank)
        if not cut_one.is_meta:
            change(cut_one)
        return cut_one

    return lambda patch: patch.setattr(cut_module, "slice_tensor", run)


def shift_tail(tensor: torch.Tensor) -> None:
    """A table's later rows are read from the wrong place."""
    if tensor.shape == (32, 8):
        tensor[10:] = tensor[10:].roll(1, 0)


def clear(tensor: torch.Tensor) -> None:
    """A buffer that training alone reads is made anew."""
    if tensor.shape == (16,):
        tensor.zero_()


def drop_buffer(kept: dict[str, Any]) -> None:
    """What training alone reads stays whole."""
    kept.pop("quantizer.embed_avg", None)


def drop_hooks(model: Any) -> None:
    """Hooks are not copied."""
    for module in model.modules():
        module._forward_hooks.clear()


def shift_second(kept: dict[str, Any]) -> None:
    """A dimension that no other check compares with the analysis."""
    if kept.get("positions.weight"):
        kept["positions.weight"] = (None, (kept["positions.weight"][1] + 1) % 16)


def zeros(patch: Patch) -> None:
    """A removed block gives zeros in place of what it is given."""
    patch.setitem(load_pruned.HANDED, "input", torch.zeros_like)
    patch.setitem(load_pruned.HANDED, "copy", torch.zeros_like)


def places(patch: Patch) -> None:
    """A second cut counts from the original's indices."""

    def run(step: Transition) -> KeptIndices:
        return {name: _within(step.kept_before.get(name), dims) for name, dims in step.kept_after.items()}

    patch.setattr(Transition, "kept_of_before", property(run))


def _within(before: Any, after: Any) -> Any:
    pairs = zip(before, after, strict=False) if before and after else ()
    return tuple(new if old is None or new is None else new % len(old) for old, new in pairs) or after


CUTTERS: dict[str, tuple[str, Callable[[Patch], None]]] = {
    "rows one further": ("dense", wrong_slices(lambda t, dim, kept: (kept + (dim == 0)) % t.shape[dim])),
    "columns one further": ("dense", wrong_slices(lambda t, dim, kept: (kept + (dim == 1)) % t.shape[dim])),
    "rows in descending order": ("vit", wrong_slices(lambda t, dim, kept: kept[::-1].copy() if dim == 0 else kept)),
    "everything in descending order": ("recurrent", wrong_slices(lambda t, dim, kept: kept[::-1].copy())),
    "a row twice": ("recurrent", wrong_slices(lambda t, dim, kept: np.r_[kept[:1], kept[:-1]] if dim == 0 else kept)),
    "positions one back": ("language", wrong_slices(lambda t, dim, kept: kept if len(t) != 32 else kept - 1)),
    "an epsilon as a repair": ("cnn", wrong_attributes(eps=1e-3)),
    "a momentum as a repair": ("cnn", wrong_attributes(momentum=0.9)),
    "hooks left behind": ("cnn", wrong_copies(drop_hooks)),
    "ties cut through": ("language", wrong_copies(untie)),
    "requires_grad forgotten": ("cnn", wrong_kinds),
    "memory shared with the original": ("cnn", lambda patch: patch.setattr(cut_module, "slice_tensor", shared)),
    "a buffer left whole": ("codebook", wrong_keeps(drop_buffer)),
    "one table noted wrongly": ("untied", wrong_keeps(shift_second)),
    "constants one further": ("constants", wrong_constants),
    "later rows of a table shifted": ("untied", wrong_values(shift_tail)),
    "a buffer made anew": ("codebook", wrong_values(clear)),
    "weights multiplied twice": ("vit", wrong_factors),
    "zeros for a block": ("vit", zeros),
    "a second cut in the original's numbers": ("recurrent", places),
}  # fmt: skip


def shared(tensor: torch.Tensor, keeps: Any, blank: bool = False) -> torch.Tensor:
    """What is not cut is not copied."""
    from secateur.engine.surgery.cut.slice_tensors import slice_tensor

    cut_one = slice_tensor(tensor, keeps, blank)
    return cut_one if blank or any(one is not None for one in keeps) else tensor.detach()


def broken_model(name: str) -> tuple[Prepared, Any]:
    """A right cut and a model in place of its own, of `MUTANTS` or `HARMLESS`."""
    case, break_it, *_ = MUTANTS.get(name) or HARMLESS[name]
    model = prepared(case).copied()
    break_it(model)
    return prepared(case), model


def refused_cut(name: str, broken: bool = True) -> str:
    """What refuses the cut of a broken cutter, or of the right one in its place; "" for nothing."""
    case, break_it = CUTTERS[name]
    model, inputs, analysis = analysed(case)
    mask, first, edits = plan(analysis), None, None
    if break_it is zeros:
        mask = trial_mask(analysis, tuple(one for one in analysis.sets if one.kind is Kind.BLOCK))
    if break_it is places:  # its fault shows in a second cut
        one = analysis.sets[0]
        first = analysis.empty()
        first[one.first : one.first + 3] = True
        step = cut(model, analysis, first, inputs)
        model, edits = step.model, step.edits
        mask = first.copy()
        mask[one.first + 5 : one.first + 7] = True
    with pytest.MonkeyPatch.context() as patch:
        if broken:
            break_it(patch)
        try:
            made = cut(model, analysis, mask, inputs, before=first, edits=edits)
        except SecateurError as error:
            return f"cut: {error.message.code}"
        found = verify(model, made.model, analysis, mask, inputs, before=first, factors=made.factors, edits=made.edits)
        return finding(finish(found))


def main() -> None:
    """Print what refuses each of them: the first comparison, and the first but for that of tensors."""
    begin = time.monotonic()
    for name in MUTANTS:
        right, model = broken_model(name)
        verification = right.verified(model)
        found = finding(verification), finding(verification, tensors=False)
        sys.stdout.write(f"{name:45} {found[0]:35} {found[1]}\n")
    for name in CUTTERS:
        sys.stdout.write(f"cutter: {name:37} {refused_cut(name)}\n")
    counts = f"{len(MUTANTS)} mutants, {len(CUTTERS)} cutters, {len(HARMLESS)} harmless"
    sys.stdout.write(f"{counts}; {time.monotonic() - begin:.0f} s\n")


if __name__ == "__main__":
    main()
