"""Random networks: what is offered can be removed in any amount, is counted exactly, and nothing is left behind."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.errors import PlanError
from secateur.engine.jobs import finish
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analysis import Analysis, Kind, Mask, from_identities, identities
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing.isolated_forward import quiet_forward
from tests.engine.random_nets import SIDE, Plan, RandomNet, plans

FEW = settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
MANY = settings(FEW, max_examples=300, phases=[Phase.generate])


def random_mask(analysis: Analysis, seed: int) -> Mask:
    """Up to all but one of a random choice of sets, and of the blocks, as far as constraints allow."""
    mask, rng = analysis.empty(), np.random.default_rng(seed)
    for one in analysis.sets:
        if one.kind is Kind.BLOCK:
            mask[one.first] = rng.random() < 0.3
        elif rng.random() < 0.8:
            mask[one.first + rng.permutation(one.count)[: rng.integers(0, one.count)]] = True
    return balanced(analysis, mask)


def holds(plan: Plan, seed: int) -> None:
    torch.manual_seed(plan.seed)
    model = RandomNet(plan).eval()
    inputs = (torch.randn(3, 3, SIDE, SIDE),)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    randomness = torch.get_rng_state()
    analysis = finish(settle(model, inputs, name="random"))
    mask = random_mask(analysis, seed)
    assert np.array_equal(from_identities(analysis, identities(analysis, mask))[0], mask)
    if mask.any():
        try:
            made = cut(model, analysis, mask, inputs)
        except PlanError as error:  # two sets share an axis, and together they leave nothing of it
            assume(error.message.code != "plan.empties")
            raise
        smaller = made.model
        result = finish(verify(model, smaller, analysis, mask, inputs, factors=made.factors, edits=made.edits))
        assert all(c.passed for c in result.checks), result
        with quiet_forward(smaller), FlopCounterMode(display=False) as counter:
            smaller(inputs[0][:1])
        counted = costs(analysis, mask)
        assert counted.macs * 2 == counter.get_total_flops()
        assert counted.parameters == sum(p.numel() for p in smaller.parameters())
    assert torch.equal(randomness, torch.get_rng_state())
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@FEW
@given(plans(), st.integers(0, 9))
def test_what_is_offered_can_be_removed(plan: Plan, seed: int) -> None:
    holds(plan, seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@MANY
@given(plans(14), st.integers(0, 99))
def test_what_many_networks_offer_can_be_removed(plan: Plan, seed: int) -> None:
    holds(plan, seed)
