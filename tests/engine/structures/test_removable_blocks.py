"""Which blocks a model has, what stands in for them, what goes with them, what stays and why."""

import numpy as np
import torch
from torch import nn

from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.structures.costs import costs
from tests.engine.block_nets import Branches, Decoder, sequence
from tests.engine.nets import Residual, Transformer, image


def blocks(analysis: Analysis) -> dict[str, list[tuple[str, object]]]:
    return {
        s.name: [(one.path, one.result) for one in analysis.stand_ins if one.structure == s.first]
        for s in analysis.sets
        if s.kind is Kind.BLOCK
    }


def test_a_step_with_masks_hands_on_its_hidden_states_and_what_it_passes_through() -> None:
    found = blocks(analyse(Decoder().eval(), sequence()))
    passed = {"tuple": [{"input": "hidden"}, {"input": "bias"}, {"dict": {"weights": None}}]}
    assert found["steps.1"] == [("steps.1", passed)] and found["steps.2"] == [("steps.2", passed)]


def test_who_makes_what_others_use_stays_with_a_reason() -> None:
    analysis = analyse(Decoder().eval(), sequence())
    assert "steps.0" not in blocks(analysis) and "steps.0.mixer" not in blocks(analysis)
    assert [n.arguments["module"] for n in analysis.notes if n.code == "block.also_makes"] == ["steps.0"]


def test_a_branch_takes_what_feeds_only_it_and_becomes_zeros() -> None:
    found = blocks(analyse(Decoder().eval(), sequence()))
    zeros = {"tuple": [{"zeros": "0"}, {"input": "2"}, None]}
    assert found["steps.1.mixer"] == [("steps.1.mixer", zeros), ("steps.1.norm1", {"input": "0"})]
    # The gated layers stand in the forward itself; products and gates between them run on the stream's shape.
    assert [path for path, _ in found["steps.0.down"]] == [f"steps.0.{n}" for n in ("down", "norm2", "gate", "up")]


def test_branches_of_layers_in_a_forward_and_dataclasses_in_a_module_dict() -> None:
    analysis = analyse(Branches().eval(), image(8))
    found = blocks(analysis)
    assert set(found) == {"conv1", "wrapped.one", "wrapped.two", "point"}
    assert [path for path, _ in found["conv1"]] == ["bn2", "conv1", "bn1", "conv2"]
    assert found["point"] == [("point", {"zeros": "0"})]  # the layer scale outside it stays
    ((_, made),) = found["wrapped.one"]
    assert made == {
        "class": "tests.engine.block_nets:Answer",
        "fields": {"hidden": {"input": "1"}, "norm": None, "name": {"constant": "answer"}},
    }
    gone = set(analysis.block_tensors(next(s.first for s in analysis.sets if s.name == "conv1")))
    assert {n.split(".")[0] for n in gone} == {"conv1", "bn1", "conv2", "bn2"}


def test_a_shortcut_and_a_sum_of_parallel_branches_are_no_blocks() -> None:
    assert not {"side", "shortcut", "stem"} & set(blocks(analyse(Branches().eval(), image(8))))
    assert set(blocks(analyse(Residual().eval(), image()))) == {"blocks.0", "blocks.2"}


def test_a_block_that_changes_its_input_in_place_stays() -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.mul_(2.0)
            return torch.tanh(self.second(self.first(x)))

    model = nn.Sequential(nn.Conv2d(3, 3, 1), Changing(), nn.Conv2d(3, 2, 1))
    assert not blocks(analyse(model.eval(), image(8)))


def test_a_block_whose_parameter_is_used_elsewhere_stays() -> None:
    class Borrowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.Sequential(
                nn.Sequential(nn.Linear(5, 5), nn.Tanh()), nn.Sequential(nn.Linear(5, 5), nn.Tanh())
            )
            self.borrowed = [self.steps.get_submodule("0.0")]  # no module of its own

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.steps(x) @ self.borrowed[0].get_parameter("weight")

    assert set(blocks(analyse(Borrowing().eval(), sequence()))) == {"steps.1"}


def test_an_outer_block_contains_its_inner_ones() -> None:
    analysis = analyse(Transformer().eval(), image())
    number = {s.name: s.first for s in analysis.sets}
    outer, both = analysis.empty(), analysis.empty()
    outer[number["layers.1"]] = True
    both[[number["layers.1"], number["layers.1.attention"], number["layers.1.mlp"]]] = True
    one, other = costs(analysis, outer), costs(analysis, both)
    assert (one.parameters, one.macs) == (other.parameters, other.macs)
    inner = analysis.empty()
    inner[[number["layers.1.attention"], number["layers.1.mlp"]]] = True
    assert costs(analysis, inner).macs == one.macs  # the layer is its two branches
    assert np.array_equal(costs(analysis, inner).tensor_sizes, one.tensor_sizes)
