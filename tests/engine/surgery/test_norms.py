"""Removals through normalisations and statistics: freed, cut, repaired, verified; one wrong index fails."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.jobs import finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind, Mask
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.edits import Verification
from secateur.engine.surgery.cut.trial_cuts import settle, trial_mask
from secateur.engine.surgery.verify.verify import verify
from tests.engine.nets import image, tokens
from tests.engine.norm_nets import BETWEEN, BareLayerNorm, Between, Gated, Standardised, TorchRMS
from tests.engine.structures.rules.proof import verify_removal
from tests.engine.surgery.verify.test_verification import exchange_one

TOKENS = {"rms norm": Gated, "torch's rms norm": TorchRMS, "layer norm without weight": BareLayerNorm}
GROUPED = ("group norm", "group norm by function", "group norm without weight")
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    **{name: (lambda made=made: Between(made()), image(16)) for name, made in BETWEEN.items()},
    **{name: (net, tokens()) for name, net in TOKENS.items()},
}


def settled(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...], Analysis]:
    torch.manual_seed(0)
    model, inputs = NETS[name][0]().eval(), NETS[name][1]
    return model, inputs, finish(settle(model, inputs, name=name))


def width_of(name: str, analysis: Analysis) -> dict[Kind, int]:
    """What can go from the first layer's own dimension."""
    first = "embed.weight" if name in TOKENS else "first.weight"
    return {s.kind: s.count for s in analysis.sets if s.name == first and s.dim == (1 if name in TOKENS else 0)}


def verified(
    model: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask, inputs: tuple[torch.Tensor, ...]
) -> Verification:
    return finish(verify(model, smaller, analysis, mask, inputs))


@pytest.mark.parametrize("name", NETS)
def test_the_width_under_a_statistic_is_free_cut_and_verified(name: str) -> None:
    model, inputs, analysis = settled(name)
    expected = {Kind.GROUP: 4, Kind.WIDTH: 4} if name in GROUPED else {Kind.WIDTH: 24 if name in TOKENS else 16}
    assert width_of(name, analysis) == expected
    for kind in expected:
        sets = tuple(s for s in analysis.sets if s.kind is kind)
        mask = trial_mask(analysis, sets)
        smaller = cut(model, analysis, mask, inputs).model
        result = verified(model, smaller, analysis, mask, inputs)
        assert result.passed and all(c.conclusive for c in result.checks), (kind, result)


@pytest.mark.parametrize("name", NETS)
def test_one_wrong_index_under_a_statistic_fails(name: str) -> None:
    model, inputs, analysis = settled(name)
    for kind in width_of(name, analysis):
        one = next(s for s in analysis.sets if s.kind is kind)
        mask = trial_mask(analysis, (one,))
        smaller = cut(model, analysis, mask, inputs).model
        exchange_one(model, smaller, analysis, mask, one.touches[0])
        assert not verify_removal(model, smaller, analysis, mask, inputs).checks[0].passed


@pytest.mark.parametrize("name", ["rms norm", "group norm", "channel norm"])
def test_a_second_removal_on_top_of_the_first_is_verified(name: str) -> None:
    model, inputs, analysis = settled(name)
    both, first = trial_mask(analysis), analysis.empty()
    first[np.flatnonzero(both)[::2]] = True
    step = cut(model, analysis, first, inputs)
    twice = cut(step.model, analysis, both, inputs, before=first, edits=step.edits)
    result = finish(verify(step.model, twice.model, analysis, both, inputs, before=first))
    assert result.passed and result.checks[0].conclusive


def test_a_statistic_that_keeps_counting_what_is_gone_fails() -> None:
    model, inputs, analysis = settled("rms norm")
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if s.kind is Kind.WIDTH))
    smaller = cut(model, analysis, mask, inputs).model
    with torch.no_grad():  # as if the mean were taken over 24 where 12 remain
        smaller.get_parameter("norms.0.weight").mul_(2**0.5)
    assert not verify_removal(model, smaller, analysis, mask, inputs).checks[0].passed


def test_a_group_norm_with_the_wrong_number_of_groups_is_seen_before_any_comparison() -> None:
    model, inputs, analysis = settled("group norm")
    groups = next(s for s in analysis.sets if s.kind is Kind.GROUP)
    made = cut(model, analysis, trial_mask(analysis, (groups,)), inputs)
    assert ("between", "num_groups", 2) in made.edits.attributes
    assert made.model.get_submodule("between").num_channels == 8


def test_the_count_in_a_mean_by_hand_stays_what_it_was() -> None:
    model, inputs, analysis = settled("divided sum")
    mask = trial_mask(analysis, tuple(s for s in analysis.sets if s.kind is Kind.WIDTH))
    made = cut(model, analysis, mask, inputs)
    replaced = [(path, site.split()[-1], where, value) for path, site, _, where, value in made.edits.literals]
    assert replaced == [("between", "div", "1", 16)]


def test_places_that_somebody_uses_fix_the_axis() -> None:
    class Places(Between):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            largest, place = self.first(x).max(1, keepdim=True)
            return self.head(F_relu(self.third(self.second(self.first(x) * largest * place))).mean((2, 3)))

    F_relu = nn.functional.relu
    analysis = analyse(Places(nn.Identity()), image(16))
    reasons = {(analysis.tensors[f.tensor].name, f.dim): f.reason.code for f in analysis.fixed}
    assert reasons["first.weight", 0] == "fixed.reduced"
    assert {s.name for s in analysis.sets} == {"second.weight", "third.weight"}


def test_standardised_weights_have_filters_and_no_loose_kernel_dimensions() -> None:
    analysis = analyse(Between(Standardised(16, 16, 3)), image(16))
    own = {(s.kind, s.count) for s in analysis.sets for t, _ in s.touches if analysis.tensors[t].module == "between"}
    assert own == {(Kind.FILTER, 16), (Kind.WIDTH, 16)}
    kept = {(f.dim, f.reason.code) for f in analysis.fixed if analysis.tensors[f.tensor].name == "between.weight"}
    assert kept == {(2, "fixed.kernel"), (3, "fixed.kernel")}


class Padded(nn.Module):
    """Rows of an image that got a border of zeros are divided by their root mean square over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 12, 3), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.pad(self.first(x), (1, 0, 0, 1))
        return self.head((x / x.square().mean((1, 3), keepdim=True).sqrt().clamp(0.1)).amax((2, 3)))


def test_the_border_of_an_absent_channel_is_absent_too() -> None:
    torch.manual_seed(0)
    model, inputs = Padded().eval(), image(8)
    analysis = finish(settle(model, inputs, name="padded"))
    mask = trial_mask(analysis)
    smaller = cut(model, analysis, mask, inputs).model
    assert verified(model, smaller, analysis, mask, inputs).passed
