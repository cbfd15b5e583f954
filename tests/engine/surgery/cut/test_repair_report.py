"""Repairs in words: what was changed, from what to what, in which modules, once for all that are alike."""

import torch
from torch import nn

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Edits
from secateur.engine.surgery.cut.repair_report import explain
from secateur.engine.surgery.cut.trial_cuts import trial_mask
from tests.engine.nets import Residual, TorchAttention, image, tokens

from ..test_literals import INPUTS, Branching


class Attention(nn.Module):
    """Heads by an attribute of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = 4, nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, 3)).permute(2, 0, 3, 1, 4)
        mixed = torch.softmax(q @ k.transpose(-1, -2), -1) @ v
        return x + self.out(mixed.transpose(1, 2).flatten(2))


def repairs(model: nn.Module, inputs: tuple[torch.Tensor, ...], *kinds: Kind) -> tuple[list[str], Edits]:
    torch.manual_seed(0)
    analysis = analyse(model.eval(), inputs)
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if s.kind in kinds))
    assert mask.any()
    edits = cut(model, analysis, mask, inputs).edits
    told = explain(edits, model)
    assert all(one.code.startswith("repair.") for one in told)
    return [str(one) for one in told], edits


def test_attributes_tell_their_values_before_and_after_once_for_all_modules_of_a_class() -> None:
    told, _ = repairs(nn.Sequential(Attention(), Attention(), nn.Linear(12, 5)), INPUTS, Kind.HEAD)
    assert "Attention: heads 4 -> 2 in 0, 1, because its code computes with it." in told
    assert any(one.startswith("Linear: ") and "out_features" in one for one in told)


def test_replaced_numbers_are_counted_and_say_whose_code_holds_them() -> None:
    told, edits = repairs(Branching(), INPUTS, Kind.HEAD_DIM)
    (line,) = [one for one in told if "forward of Branching" in one]
    count = len({(site, where) for _, site, _, where, _ in edits.literals})
    assert count > 0 and f"Branching: {count} (" in line and "no attribute expresses" in line and "the model" in line


def test_a_block_says_what_stands_in_its_place_and_nothing_of_what_was_in_it() -> None:
    told, edits = repairs(Residual(), image(), Kind.BLOCK)
    lines = [one for one in told if "computes nothing" in one]
    assert lines and all("its input" in one or "zeros" in one for one in lines)
    assert any(edits.blocks[0][0] in one for one in lines)


def test_attention_of_torch_tells_its_heads() -> None:
    model = TorchAttention()
    told, edits = repairs(model, tokens(), Kind.HEAD)
    path, heads, _ = edits.attention[0]
    (line,) = [one for one in told if "takes its sizes from the weights" in one]
    assert path in line and f"heads {model.get_submodule(path).num_heads} -> {heads}" in line


def test_nothing_repaired_is_nothing_to_explain() -> None:
    assert explain(Edits(), nn.Linear(2, 2)) == ()


def test_many_alike_are_counted() -> None:
    edits = Edits(attributes=tuple((str(n), "in_features", 2) for n in range(6)))
    (line,) = explain(edits, nn.Sequential(*(nn.Linear(4, 4) for _ in range(6))))
    assert str(line) == "Linear: in_features follow the smaller weights in 0, 1, 2 and 3 more."
