"""No adversarial network is pruned wrongly: a sample at every run, all of them where time does not matter."""

import pytest

from .toy_nets import TOYS
from .toys import Outcome, run

SAMPLE = ("FusedByHead", "TwoNames", "DynamicConvolution", "SoftmaxChannels", "Recursive", "Spread", "Assigned")


@pytest.mark.parametrize("name", SAMPLE)
def test_what_is_offered_can_be_cut(name: str) -> None:
    right(run(TOYS[name]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [n for n in TOYS if n not in SAMPLE],
)
def test_what_every_network_offers_can_be_cut(name: str) -> None:
    right(run(TOYS[name]))


def right(outcome: Outcome) -> None:
    assert not outcome.faults
    assert outcome.verified == outcome.cuts
    assert outcome.controls[0] == outcome.controls[1]
    assert outcome.cuts or outcome.reasons
