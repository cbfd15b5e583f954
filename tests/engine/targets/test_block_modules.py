"""Which fused blocks a whole block takes with it: told by the exported file, and by the modules of eager PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from secateur.engine.export.name_fused_blocks import name_blocks, node_modules
from secateur.engine.export.write_onnx import export_onnx_here
from secateur.engine.planning.cost_meter import predicted
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.targets.latency_table import (
    LatencyTable,
    TableErrors,
    block_modules,
    module_times,
    vanishing_blocks,
)
from secateur.engine.targets.protocol import TargetSpec

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
    assert predicted(analysis, made, analysis.empty()) == 11_300
    assert predicted(analysis, made, gone) == 11_300 - 5_000
    assert predicted(analysis, table(()), gone) is None
    profiled = replace(made, overhead=-600.0)  # what profiling costs six blocks, four of which are left
    assert predicted(analysis, profiled, analysis.empty()) == 11_200 - 600
    assert predicted(analysis, profiled, gone) == 11_200 - 5_000 - 400
    shares = module_times(analysis, made, gone)
    assert shares["1.1.inner"] == pytest.approx(4000 / 6300) and "1.0.inner" not in {k for k, v in shares.items() if v}


def test_a_plan_for_a_latency_takes_the_block_that_lasts(analysis) -> None:
    """No width saves any time here: only whole blocks do, and which of them is as the target says."""
    scores = np.ones(analysis.count)
    goal = Goal((Limit(Cost.LATENCY, 0.62),), kinds=(Kind.FILTER, Kind.BLOCK))
    planned = solve(analysis, scores, goal, analysis.empty(), analysis.empty(), table())
    taken = [one.module for one in analysis.sets if one.kind is Kind.BLOCK and planned.removed[one.first]]
    assert taken == ["1.0"] and planned.reached[0].got == 6_300  # 6,800 without the other would not hold
