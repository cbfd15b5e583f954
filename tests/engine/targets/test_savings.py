"""What removal buys, set by set, and from which multiple on."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from secateur.engine.jobs import finish
from secateur.engine.planning.cost_meter import predicted
from secateur.engine.planning.sample_plans import steps
from secateur.engine.session.session import Session
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from secateur.engine.targets.latency_fit import fit
from secateur.engine.targets.latency_table import LatencyTable, TableErrors, paying_step, savings
from secateur.engine.targets.protocol import TargetSpec
from tests.engine.planning.stacks import stack
from tests.engine.session.small import write_project
from tests.engine.targets.invented import Invented

CHAIN = stack(5, 64)


def test_a_set_between_layers_that_take_no_time_is_flat():
    """Structures of set 1 lie on layers 1 and 2; the other sets on at least one that costs."""
    runtime = Invented(CHAIN, free=frozenset({1, 2}))
    found = savings(CHAIN, fit(runtime.samples(), TargetSpec(), "", 8, 0.0))
    assert [one.flat for one in found] == [False, True, False, False, False]
    assert found[1].macs > 0.1 and found[1].nanoseconds == 0
    half_of_two_layers = 2 * 2e-9 * 64 * 32 * 1e9
    assert abs(found[4].nanoseconds / half_of_two_layers - 1) < 0.05


def test_a_block_that_is_gone_saves_no_more_and_takes_its_sets_along(tmp_path: Path):
    with closing(Session(tmp_path / "session")) as session:
        finish(session.open(write_project(tmp_path / "mine"), evaluate=False))
        analysis = session.analysis
    operators, ones = analysis.operators, np.ones_like(analysis.operators.axes)
    told = (operators.constant.astype(float), operators.axes, ones, np.arange(len(ones), dtype=np.int32))
    blocks = tuple((f"{module} 1", "Conv") for module in operators.module)
    table = LatencyTable(TargetSpec(), "", 1, 0, 0.0, *told, blocks, TableErrors((), 0, 0), homes=operators.module)
    gone = analysis.empty()
    for one in analysis.sets:
        gone[one.structures] = one.kind is Kind.BLOCK
    (width,) = savings(analysis, table, gone)
    assert width.key.startswith("residual width") and not width.flat
    assert 2 * width.nanoseconds == pytest.approx(predicted(analysis, table, gone), rel=0.03)
    assert {one.key.partition("|")[0] for one in savings(analysis, table)} == {"residual width", "filter"}


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
