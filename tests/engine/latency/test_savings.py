"""What removal buys, set by set, and from which multiple on."""

from secateur.engine.latency.fitting import fit
from secateur.engine.latency.sampling import steps
from secateur.engine.latency.savings import paying_step, savings
from secateur.engine.structures.costs import costs
from secateur.engine.targets.protocol import TargetSpec
from tests.engine.latency.invented import Invented
from tests.engine.planning.stacks import stack

CHAIN = stack(5, 64)


def test_a_set_between_layers_that_take_no_time_is_flat():
    """Structures of set 1 lie on layers 1 and 2; the other sets on at least one that costs."""
    runtime = Invented(CHAIN, free=frozenset({1, 2}))
    found = savings(CHAIN, fit(runtime.samples(), TargetSpec(), "", 8, 0.0))
    assert [one.flat for one in found] == [False, True, False, False, False]
    assert found[1].macs > 0.1 and found[1].nanoseconds == 0
    half_of_two_layers = 2 * 2e-9 * 64 * 32 * 1e9
    assert abs(found[4].nanoseconds / half_of_two_layers - 1) < 0.05


def measured(runtime: Invented) -> list[tuple[int, float, float]]:
    full, whole = costs(CHAIN).macs, runtime.seconds(CHAIN.empty())
    rows = [(size, costs(CHAIN, plan).macs, runtime.seconds(plan)) for size, plan in steps(CHAIN)]
    return [(size, 1 - macs / full, 1 - seconds / whole) for size, macs, seconds in rows]


def test_the_multiple_that_pays_is_what_the_runtime_pads_to():
    for padding in (1, 4, 8, 16):
        assert paying_step(measured(Invented(CHAIN, padding)), 0.005) == padding


def test_what_drowns_in_noise_does_not_pay():
    rows = measured(Invented(CHAIN, 1))
    assert paying_step(rows, 0.1) > 1
    assert paying_step(rows, 2.0) == 0
