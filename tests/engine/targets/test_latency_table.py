"""Which fused blocks go with a removed block, what removal saves set by set, and from which multiple on."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.export.name_fused_blocks import name_blocks, node_modules
from secateur.engine.export.write_onnx import export_onnx_here
from secateur.engine.jobs import finish
from secateur.engine.planning.cost_meter import predict_latency
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.planning.sample_plans import steps
from secateur.engine.session.session import Session
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import costs
from secateur.engine.targets.latency_table import (
    LatencyTable,
    TableErrors,
    block_modules,
    fit,
    module_times,
    paying_step,
    savings,
    vanishing_blocks,
)
from secateur.engine.targets.protocol import TargetSpec
from tests.engine.planning.stacks import stack
from tests.engine.session.small import write_project
from tests.engine.targets.invented import Invented

EACH = {"0": 1000.0, "1.0.inner": 3000.0, "1.0.outer": 2000.0, "1.1.inner": 4000.0, "1.1.outer": 500.0, "3": 700.0}
"""Nanoseconds of each layer, whatever its width."""


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.outer = nn.Conv2d(12, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.outer(self.norm(self.inner(x)).relu())).relu()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.Sequential(Block(), Block()), nn.Flatten(), nn.Linear(8 * 36, 3))
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def analysis(model: nn.Module):
    return analyse(model, (torch.randn(2, 1, 8, 8),))


def table(names: tuple[str, ...] = tuple(EACH)) -> LatencyTable:
    count = len(EACH)
    nothing = np.full((count, 1), -1, np.int32)
    terms = (np.array([*EACH.values()]), nothing, np.ones_like(nothing), np.arange(count, dtype=np.int32))
    blocks, whole = tuple((name, "Conv") for name in EACH), round(sum(EACH.values())) + 100
    return LatencyTable(TargetSpec(), "", 1, whole, 100.0, *terms, blocks, TableErrors((), 0.0, 0.0), names)


def test_a_file_says_which_module_each_fused_block_belongs_to(model: nn.Module, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    export_onnx_here(model, (torch.randn(2, 1, 8, 8),), path, homes=True)
    name_blocks(path)
    found = {home for home in node_modules(path).values() if home}
    assert found == {"0", "1.0.inner", "1.0.outer", "1.1.inner", "1.1.outer", "2", "3"} | {"1.0", "1.1"} & found
    blocks = tuple((f"{block}.0_fused", "Conv") for block in node_modules(path))
    assert block_modules(blocks, node_modules(path)) == tuple(node_modules(path).values())
    export_onnx_here(model, (torch.randn(2, 1, 8, 8),), path)  # a file that is handed out says nothing of the code
    assert node_modules(path) == {}


def test_modules_of_eager_pytorch_name_themselves() -> None:
    told = (("before 1.0.inner 1", "between"), ("1.0.inner 1", "Conv2d"), ("1.0.norm 2", "BatchNorm2d"))
    assert block_modules(told, None) == ("1.0.inner", "1.0.inner", "1.0.norm")


def test_without_a_block_its_fused_blocks_cost_nothing(analysis) -> None:
    first = next(one for one in analysis.sets if one.kind is Kind.BLOCK and one.module == "1.0")
    gone = analysis.empty()
    gone[first.first] = True
    made = table()
    assert {made.homes[n] for s, n in vanishing_blocks(analysis, made) if s == first.first} == {
        "1.0.inner",
        "1.0.outer",
    }
    assert predict_latency(analysis, made, analysis.empty()) == 11_300
    assert predict_latency(analysis, made, gone) == 11_300 - 5_000
    assert predict_latency(analysis, table(()), gone) is None
    profiled = replace(made, overhead=-600.0)  # what profiling costs six blocks, four of which are left
    assert predict_latency(analysis, profiled, analysis.empty()) == 11_200 - 600
    assert predict_latency(analysis, profiled, gone) == 11_200 - 5_000 - 400
    shares = module_times(analysis, made, gone)
    assert shares["1.1.inner"] == pytest.approx(4000 / 6300) and "1.0.inner" not in {k for k, v in shares.items() if v}


def test_a_plan_for_a_latency_takes_the_block_that_lasts(analysis) -> None:
    """No width saves any time here: only whole blocks do, and which of them is as the target says."""
    scores = np.ones(analysis.count)
    goal = Goal((Limit(Cost.LATENCY, 0.62),), kinds=(Kind.FILTER, Kind.BLOCK))
    planned = solve(analysis, scores, goal, analysis.empty(), analysis.empty(), table())
    taken = [one.module for one in analysis.sets if one.kind is Kind.BLOCK and planned.removed[one.first]]
    assert taken == ["1.0"] and planned.reached[0].got == 6_300  # 6,800 without the other would not hold


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
    assert 2 * width.nanoseconds == pytest.approx(predict_latency(analysis, table, gone), rel=0.03)
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
