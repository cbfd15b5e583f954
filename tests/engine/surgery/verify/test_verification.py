"""Every kind of structure is cut and verified; and a cut with one wrong index fails, per kind."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.errors import VerificationError
from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.surgery.cut.cut import copy_model, cut
from secateur.engine.surgery.cut.edits import Verification
from secateur.engine.surgery.verify import verify as verify_module
from secateur.engine.surgery.verify.masked_model import Permutation
from secateur.engine.surgery.verify.verify import require_verified, verify
from tests.engine.nets import Concat, Residual, TorchAttention, Transformer, image, tokens
from tests.engine.structures.rules.proof import verify_removal

IMAGE, TOKENS = image(), tokens()
CASES = [
    (Residual, IMAGE, Kind.FILTER), (Residual, IMAGE, Kind.NEURON), (Residual, IMAGE, Kind.WIDTH),
    (Residual, IMAGE, Kind.BLOCK), (Concat, IMAGE, Kind.FILTER), (Concat, IMAGE, Kind.GROUP),
    (Transformer, IMAGE, Kind.HEAD), (Transformer, IMAGE, Kind.HEAD_DIM), (Transformer, IMAGE, Kind.NEURON),
    (Transformer, IMAGE, Kind.WIDTH), (Transformer, IMAGE, Kind.BLOCK), (TorchAttention, TOKENS, Kind.HEAD),
    (TorchAttention, TOKENS, Kind.HEAD_DIM), (TorchAttention, TOKENS, Kind.WIDTH),
]  # fmt: skip


@cache
def analysed(net: type[nn.Module], inputs: tuple[torch.Tensor]) -> tuple[nn.Module, Analysis]:
    """A network, which no cut changes, and its analysis."""
    torch.manual_seed(0)
    model = net().eval()
    return model, analyse(model, inputs)


def half_of(analysis: Analysis, kind: Kind) -> Mask:
    mask, rng = analysis.empty(), np.random.default_rng(0)
    for one in analysis.sets:
        if one.kind is kind:
            gone = max(1, one.count // 2)
            mask[one.first + rng.permutation(one.count)[:gone]] = True
    blocks = [s.first for s in analysis.sets if s.kind is Kind.BLOCK]
    mask[blocks[1:]] = False  # one block is enough
    return mask


def verified(model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask, inputs: object) -> Verification:
    return finish(verify(model, smaller, analysis, mask, inputs))  # type: ignore[arg-type]


@pytest.mark.parametrize(("net", "inputs", "kind"), CASES, ids=lambda v: getattr(v, "__name__", None) or str(v)[:16])
def test_a_cut_equals_the_masked_original(net: type[nn.Module], inputs: tuple[torch.Tensor], kind: Kind) -> None:
    model, analysis = analysed(net, inputs)
    mask = half_of(analysis, kind)
    assert mask.any()
    smaller = cut(model, analysis, mask, inputs).model
    result = verified(model, smaller, analysis, mask, inputs)
    assert result.passed
    assert all(c.difference < (1e-9 if c.dtype == "float64" else 1e-4) for c in result.checks)
    assert all(c.conclusive for c in result.checks if c.dtype == "float64")
    assert {c.dtype for c in result.checks} == {"float64", "float32", "exact"}


@pytest.mark.parametrize(("net", "inputs", "kind"), CASES, ids=lambda v: getattr(v, "__name__", None) or str(v)[:16])
def test_a_cut_with_one_wrong_index_fails(net: type[nn.Module], inputs: tuple[torch.Tensor], kind: Kind) -> None:
    model, analysis = analysed(net, inputs)
    mask = half_of(analysis, kind)
    if kind is Kind.BLOCK:  # the wrong block
        blocks = [s.first for s in analysis.sets if s.kind is Kind.BLOCK]
        other = analysis.empty()
        other[blocks[-1]] = True
        smaller = cut(model, analysis, other, inputs).model
    else:
        smaller = cut(model, analysis, mask, inputs).model
        one = next(s for s in analysis.sets if s.kind is kind)
        exchange_one(model, smaller, analysis, mask, one.touches[0])
    result = verify_removal(model, smaller, analysis, mask, inputs)
    assert not result.checks[0].passed  # the removal on the weights as they are
    with pytest.raises(VerificationError, match="failed verification"):
        require_verified(result)


def exchange_one(model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask, touch: tuple[int, int]) -> None:
    """Put the values of a removed index where a kept one stands, in one dimension of one tensor."""
    info, dim = analysis.tensors[touch[0]], touch[1]
    kept = analysis.kept_indices(mask)[info.name]
    assert kept is not None
    stays = kept[dim]
    assert stays is not None
    gone = np.setdiff1d(np.arange(info.shape[dim]), stays)
    whole = dict(model.named_parameters())[info.name].data
    for other, index in enumerate(kept):
        if other != dim and index is not None:
            whole = whole.index_select(other, torch.from_numpy(index))
    target = dict(smaller.named_parameters())[info.name]
    target.data.select(dim, 0).copy_(whole.select(dim, int(gone[0])))


def test_a_wrong_analysis_fails_the_permutation() -> None:
    model = Concat().eval()
    analysis = analyse(model, image())
    mask = half_of(analysis, Kind.FILTER)
    smaller = cut(model, analysis, mask, image()).model
    # The analysis takes the joined channels of two filters for each other.
    one = next(s for s in analysis.sets if s.key == "filter|right.weight|0")
    low, high = analysis.member_start[one.first : one.first + 2]
    wrong = analysis.member_position.copy()
    wrong[[low, high]] = wrong[[high, low]]
    result = verified(model, smaller, replace(analysis, member_position=wrong), mask, image())
    assert not next(c for c in result.checks if c.name.startswith("permutation")).passed


class Iterated(nn.Module):
    """Repeats a layer, [N, 6] to [N, 3]; rounding grows on large weights, more so in the whole width than in a part."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.step, self.out = nn.Linear(6, 48), nn.Linear(48, 48, bias=False), nn.Linear(48, 3)
        self.step.weight.data.mul_(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = h = self.start(x)
        for _ in range(120):
            h = torch.tanh(2.2 * self.step(h) + 0.1 * start)
        return self.out(h)


@pytest.mark.parametrize("wrong", [False, True])
def test_where_rounding_grows_the_permutation_is_compared_on_milder_weights(
    wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, inputs = Iterated().eval(), (torch.randn(2, 6),)
    analysis = analyse(model, inputs)
    mask = analysis.empty()
    mask[analysis.sets[0].first : analysis.sets[0].first + 40] = True
    smaller = cut(model, analysis, mask, inputs).model
    chaotic: list[bool] = []
    real, right = verify_module.is_chaotic, verify_module.permute_sets

    def noted(*given: Any) -> bool:
        chaotic.append(real(*given))
        return chaotic[-1]

    def permuted(*given: Any) -> Permutation:
        made = right(*given)
        return made._replace(orders={name: made.orders[name] for name in list(made.orders)[: 1 if wrong else None]})

    monkeypatch.setattr(verify_module, "is_chaotic", noted)
    monkeypatch.setattr(verify_module, "permute_sets", permuted)
    result = verified(model, smaller, analysis, mask, inputs)
    assert chaotic[0]
    assert next(c for c in result.checks if c.name.startswith("permutation")).passed is not wrong
    assert result.passed is not wrong


def test_removing_what_has_no_effect_is_inconclusive() -> None:
    model = Residual().eval()
    with torch.no_grad():
        model.hidden.weight.zero_()
        model.hidden.bias.zero_()
    analysis = analyse(model, image())
    mask = half_of(analysis, Kind.FILTER)
    smaller = cut(model, analysis, mask, image()).model
    result = verified(model, smaller, analysis, mask, image())
    assert not result.checks[0].conclusive and result.checks[1].conclusive and result.passed


class HalfUsed(nn.Module):
    """Computes sixteen channels and uses eight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(8, 5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))[:, :8])


@pytest.mark.parametrize("count", [4, 8])
def test_removing_what_nothing_depends_on_is_verified_as_that(count: int) -> None:
    torch.manual_seed(0)
    model = HalfUsed().eval()
    analysis = analyse(model, image())
    unused = next(s for s in analysis.sets if not s.along)
    mask = analysis.empty()
    mask[unused.first : unused.first + count] = True
    smaller = cut(model, analysis, mask, image()).model
    assert smaller.get_parameter("first.weight").shape[0] == 16 - count
    result = verified(model, smaller, analysis, mask, image())
    assert result.passed and [c.name for c in result.checks if c.dead]
    require_verified(result)
    with torch.no_grad():
        smaller.get_parameter("first.weight")[0] = model.first.weight[9]
    assert not verified(model, smaller, analysis, mask, image()).passed


def test_verification_touches_neither_model() -> None:
    model = Transformer().train()
    analysis = analyse(model, image())
    mask = half_of(analysis, Kind.HEAD)
    smaller = cut(model, analysis, mask, image()).model
    states = [copy_model(m).state_dict() for m in (model, smaller)]
    verified(model, smaller, analysis, mask, image())
    for module, state in zip((model, smaller), states, strict=True):
        assert all(torch.equal(state[n], t) for n, t in module.state_dict().items())
        assert not any(m._forward_hooks for m in module.modules())
    assert model.training and next(model.parameters()).dtype is torch.float32
