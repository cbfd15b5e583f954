"""Attributes of which no one alone makes the code run further are found together, and nothing else is kept."""

from types import SimpleNamespace

import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from secateur.engine.surgery.repair.search import joint_groups
from secateur.engine.surgery.verify.verify import verify

INPUTS = (torch.randn(2, 5, 20, generator=torch.Generator().manual_seed(0)),)


class Heads(nn.Module):
    """Takes both sizes of one view from a configuration, in which other sizes are read too."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(width=20, heads=4, dims=6)
        self.embed, self.qkv, self.out = nn.Linear(20, 20), nn.Linear(20, 72), nn.Linear(24, 20)
        self.head = nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        x = x + torch.tanh(x * (self.config.width / 20))
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.config.heads, self.config.dims).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.mT).softmax(-1) @ v
        return self.head(x + self.out(mixed.transpose(1, 2).flatten(2)).tanh())


class Fused(nn.Module):
    """A layer that shapes its result by its own size, and parts of it by the size of the module around it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.part, self.out = Shaped(20, 36), 18, nn.Linear(18, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = self.inner(x).split(self.part, -1)
        return self.out(gate.sigmoid() * value)


class Shaped(nn.Module):
    """A linear layer in another spelling."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.size, self.weight = out, nn.Parameter(torch.randn(into, out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.mm(x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], self.size)


def halved(model: nn.Module) -> Edits:
    torch.manual_seed(0)
    analysis = analyse(model.eval(), INPUTS)
    mask = trial_mask(analysis)
    made = cut(model, analysis, mask, INPUTS)
    assert finish(verify(model, made.model, analysis, mask, INPUTS, factors=made.factors)).passed
    assert not made.edits.literals
    return made.edits


def test_two_sizes_of_one_call_change_and_others_in_the_configuration_stay() -> None:
    changed = {name: value for _, name, value in halved(Heads()).attributes if name.startswith("config.")}
    assert changed == {"config.heads": 2, "config.dims": 3}


def test_a_layer_and_the_module_around_it_change_together() -> None:
    changed = {(path, name): value for path, name, value in halved(Fused()).attributes if path in ("", "inner")}
    assert changed == {("inner", "size"): 18, ("", "part"): 9}


def test_those_that_can_have_several_values_are_tried_with_those_that_can_have_one() -> None:
    suspects = [("a", {"heads": [2], "width": [8, 10]}), ("", {"depth": [3]})]
    held = {("a", "heads"): 4, ("a", "width"): 20, ("", "depth"): 6}
    assert list(joint_groups(suspects, held, {4})) == [
        {("a", "heads"): 2, ("a", "width"): 8},
        {("a", "heads"): 2, ("a", "width"): 10},
        {("a", "heads"): 2, ("", "depth"): 3},
    ]


def test_lists_of_sizes_are_held_where_one_of_them_is_wrong() -> None:
    held = {("", "sizes"): [8, 3], ("", "width"): 8, ("", "other"): 5}
    found = {"sizes": [[4, 3]], "width": [4], "other": [2]}
    assert next(joint_groups([("", found)], held, {8})) == {("", "sizes"): [4, 3], ("", "width"): 4}
