"""Block influence is one minus the cosine of the stream before and after a block, in lists of blocks and branches."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.engine.jobs import finish
from secateur.engine.scoring.block_similarity import BlockSimilarity
from secateur.engine.scoring.criteria import score
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, StandInSpec
from tests.engine.block_nets import Branches, Decoder
from tests.engine.nets import Residual, Transformer
from tests.engine.scoring.given_task import GivenTask

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _influences(net: nn.Module, task: GivenTask) -> tuple[dict[str, float], Analysis]:
    analysis = analyse(net, task.example_inputs())
    scores = finish(score(net, analysis, analysis.empty(), "block-influence", task))
    blocks = {one.name: float(scores[one.first]) for one in analysis.sets if one.kind is Kind.BLOCK}
    assert np.isnan(scores).sum() == analysis.count - len(blocks)
    return blocks, analysis


def _turned(before: Tensor, after: Tensor, dim: int) -> float:
    return float((1 - F.cosine_similarity(before, after, dim)).mean())


def test_a_transformers_layers_and_branches() -> None:
    torch.manual_seed(0)
    net, ends = Transformer().eval(), dict[str, tuple[Tensor, Tensor]]()
    layer: Any = net.layers[1]

    def keep(_: nn.Module, given: Any, result: Tensor) -> None:
        middle = given[0] + layer.attention(layer.norm1(given[0]))
        ends.update(layer=(given[0], result), attention=(given[0], middle), mlp=(middle, result))

    found, _ = _influences(net, GivenTask(IMAGES, 6))
    handle = layer.register_forward_hook(keep)
    with torch.no_grad():
        net(IMAGES)
    handle.remove()
    for name, path in (("layer", "layers.1"), ("attention", "layers.1.attention"), ("mlp", "layers.1.mlp")):
        assert np.isclose(found[path], _turned(*ends[name], dim=-1), rtol=1e-4), path


def test_a_residual_block_of_an_image_network_that_works_in_place() -> None:
    torch.manual_seed(0)
    net = Residual().eval()
    ends: list[Tensor] = []
    found, _ = _influences(net, GivenTask(IMAGES, 7))

    def keep(_: nn.Module, given: Any, result: Tensor) -> None:
        ends.extend((given[0], result))

    handle = net.blocks[0].register_forward_hook(keep)
    with torch.no_grad():
        net(IMAGES)
    handle.remove()
    assert np.isclose(found["blocks.0"], _turned(ends[0], ends[1], dim=1), rtol=1e-4)


def test_a_branch_with_a_layer_scale_behind_it_is_followed_to_its_addition() -> None:
    torch.manual_seed(0)
    net = Branches().eval()
    ends: list[Tensor] = []
    found, _ = _influences(net, GivenTask(IMAGES, 4))
    handle = net.point.register_forward_hook(
        lambda _, given, result: ends.extend((given[0], given[0] + net.gamma * result))
    )
    with torch.no_grad():
        net(IMAGES)
    handle.remove()
    assert np.isclose(found["point"], _turned(ends[0], ends[1], dim=1), rtol=1e-4)
    assert np.isfinite(list(found.values())).all()  # also those with dataclasses, and the one added in place


def test_layers_that_return_several_things_are_rated_by_what_they_hand_on() -> None:
    torch.manual_seed(0)
    net, x = Decoder().eval(), torch.randn(4, 7, 5)
    ends: list[Tensor] = []

    def keep(_: nn.Module, given: Any, kwargs: dict[str, Tensor], result: Any) -> None:
        ends.extend((kwargs["hidden"], result[0]))

    found, _ = _influences(net, GivenTask(x, 6))
    handle = net.steps[1].register_forward_hook(keep, with_kwargs=True)
    with torch.no_grad():
        net(x)
    handle.remove()
    assert np.isclose(found["steps.1"], _turned(ends[0], ends[1], dim=-1), rtol=1e-4)


class PreActivated(nn.Module):
    """A block that changes in place what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(x, inplace=True)) + x


def test_a_block_that_changes_its_input_in_place_is_compared_with_what_it_was_given() -> None:
    torch.manual_seed(0)
    net, x, turning = nn.Sequential(PreActivated()), torch.randn(2, 8, 6, 6), BlockSimilarity({0: (8, True)})
    handles = turning.watch(net, StandInSpec(0, "0", {"copy": "0"}))
    given = x.clone()
    with torch.no_grad(), turning:
        result = net(given)
    for handle in handles:
        handle.remove()
    total, count = turning.sums[0]
    assert np.isclose(total / count, _turned(x, result, dim=1), rtol=1e-4)
