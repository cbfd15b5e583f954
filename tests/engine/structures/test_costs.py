"""Costs of a plan, compared with FlopCounterMode and the parameters of the model that was really cut."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.session.states import PlanIntent
from secateur.engine.sharing.session_files import save_bundle, save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.weight_store import WeightStore
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.structures.costs import StructureMacs, costs, layers_of, marginal
from secateur.engine.structures.rules import RULES
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.cut.trial_cuts import settle
from secateur.engine.tracing.isolated_forward import quiet_forward
from secateur.engine.workflows.read_layers import read_layers
from tests.engine.nets import (
    Concat,
    Ghost,
    Residual,
    Rotary,
    Tied,
    TorchAttention,
    Transformer,
    Unruly,
    WithOwnAttention,
    image,
    rows,
    tokens,
)
from tests.engine.plans import random_plan
from tests.engine.session.small import write_project

SAMPLES: list[tuple[Callable[[], nn.Module], tuple[torch.Tensor]]] = [
    *((net, image()) for net in (Residual, Concat, Transformer, Unruly, Ghost)),
    *((net, tokens()) for net in (TorchAttention, WithOwnAttention, Tied)),
    (Rotary, rows()),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("make", "inputs"), SAMPLES)
def test_costs_of_a_random_plan_are_those_of_the_cut_model(
    make: Callable[[], nn.Module], inputs: tuple[torch.Tensor], seed: int
) -> None:
    assert_exact(make().eval(), inputs, seed)


def test_costs_of_models_of_torchvision_are_those_of_the_cut_model() -> None:
    assert_exact(torchvision.models.resnet18(num_classes=7).eval(), image(64), 0)
    assert_exact(torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=7).eval(), image(), 0)


@pytest.mark.slow
def test_costs_of_a_swin_transformer_are_those_of_the_cut_model() -> None:
    assert_exact(torchvision.models.swin_t(num_classes=7).eval(), image(64), 0)


def assert_exact(model: nn.Module, inputs: tuple[torch.Tensor], seed: int) -> None:
    """A random part of every set and some of the blocks are cut; what is left costs what was foretold."""
    analysis = finish(settle(model, inputs, name="model"))
    mask = random_plan(analysis, seed)
    smaller = cut(model, analysis, mask, inputs).model
    for plan, one in ((analysis.empty(), model), (mask, smaller)):
        counted = costs(analysis, plan)
        with quiet_forward(one), FlopCounterMode(display=False) as counter:
            one(*(i[:1] for i in inputs))
        assert counted.macs * 2 == counter.get_total_flops()
        assert counted.parameters == sum(p.numel() for p in one.parameters())


class Outside(nn.Module):
    """Products that `FlopCounterMode` does not count: an LSTM, a deformable convolution, a bilinear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.offset = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 18, 1)
        self.deform = torchvision.ops.DeformConv2d(6, 8, 3, padding=1)
        self.lstm = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.bilinear = nn.Bilinear(10, 10, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.deform(self.conv(x), self.offset(x)).flatten(2).transpose(1, 2)
        x = self.lstm(x)[0].mean(1)
        return self.head(self.bilinear(x, x))


def test_what_flop_counter_mode_does_not_count_follows_closed_formulas() -> None:
    analysis = analyse(Outside(), image(4))
    mask = analysis.empty()
    gone = {"conv.weight": 2, "deform.weight": 3, "lstm.weight_ih_l0": 1, "bilinear.weight": 1}
    for one in analysis.sets:
        if one.name in gone:
            mask[one.first : one.first + gone[one.name]] = True
    assert {one.name for one in analysis.sets if mask[one.structures].any()} == set(gone)

    def closed(conv: int, deform: int, units: int, out: int) -> int:
        pixels, directions = 16, 2
        plain = pixels * (3 * conv + 3 * 18) + out * 3
        recurrent = directions * pixels * 4 * units * (deform + units)
        return plain + pixels * 9 * conv * deform + recurrent + out * (directions * units) ** 2

    assert costs(analysis).macs == closed(6, 8, 5, 4)
    assert costs(analysis, mask).macs == closed(4, 5, 4, 3)


def test_a_product_without_a_rule_costs_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = costs(analyse(Residual(), image())).macs
    monkeypatch.delitem(RULES, "aten.addmm")
    assert costs(analyse(Residual(), image())).macs == whole


def test_what_one_more_structure_costs_depends_on_what_is_gone() -> None:
    analysis = analyse(Residual(), image())
    one = next(s for s in analysis.sets if s.key == "filter|blocks.0.conv1.weight|0")
    width = next(s for s in analysis.sets if s.kind is Kind.WIDTH)
    gone = analysis.empty()
    gone[width.first : width.first + 6] = True  # half of the width that the filter reads and writes
    # 3x3 kernels over 12 channels read and 12 written, plus scale and shift; then over 6 and 6.
    assert marginal(analysis, analysis.empty(), [one.first])[0] == 12 * 9 + 12 * 9 + 2
    assert marginal(analysis, gone, [one.first])[0] == 6 * 9 + 6 * 9 + 2


@pytest.mark.parametrize(("make", "inputs"), [(Residual, image()), (Concat, image()), (Transformer, image())])
def test_macs_of_all_structures_of_a_set_are_those_of_single_ones(make: Callable[[], nn.Module], inputs: Any) -> None:
    analysis = analyse(make(), inputs)
    gone = analysis.empty()
    for one in analysis.sets:
        if one.count > 2:
            gone[one.first : one.first + one.count // 3] = True
    for before in (analysis.empty(), gone):
        found = StructureMacs(analysis, before)
        assert found.total == costs(analysis, before).macs
        for number, one in enumerate(analysis.sets):
            alone = [
                marginal(analysis, before, [structure])[1] for structure in range(one.first, one.first + one.count)
            ]
            assert found.of_set(number).tolist() == alone
    assert Kind.BLOCK in {one.kind for one in analysis.sets} or make is Concat


INPUTS = (torch.zeros(2, 3, 8, 8),)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 4),
    ).eval()  # fmt: skip


def test_shapes_parameters_and_macs_are_those_of_the_modules() -> None:
    found = layers_of(analyse(net(), INPUTS, "net"))
    rows = {row.path: row for row in found.rows}
    assert [*rows] == ["0", "1", "3", "6"]
    assert rows["0"].shapes == (("weight", (8, 3, 3, 3)), ("bias", (8,))) and rows["0"].type_name == "Conv2d"
    assert rows["3"].parameters == 6 * 8 + 6 and rows["3"].macs == 6 * 8 * 64
    assert found.parameters == sum(p.numel() for p in net().parameters()) == sum(row.parameters for row in found.rows)
    with FlopCounterMode(display=False) as counter:
        net()(INPUTS[0][:1])
    assert found.macs == sum(row.macs for row in found.rows) == counter.get_total_flops() // 2


def test_what_is_left_of_a_model_has_the_shapes_of_the_cut_one() -> None:
    model = net()
    analysis = analyse(model, INPUTS, "net")
    removed = analysis.empty()
    chosen = next(one for one in analysis.sets if one.name == "0.weight")
    removed[chosen.first : chosen.first + 3] = True
    smaller = cut(model, analysis, removed, INPUTS).model
    shapes = {f"{row.path}.{name}": shape for row in layers_of(analysis, removed).rows for name, shape in row.shapes}
    assert shapes == {name: tuple(one.shape) for name, one in smaller.named_parameters()}


def test_a_model_that_says_nothing_of_its_inputs_gets_those_of_the_open_one(tmp_path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1))\n"
    )
    spec = ModelSpec(f"{tmp_path}/net.py:make")
    session = Session(tmp_path / "session")
    try:
        with pytest.raises(Exception, match="Input shape needed"):
            finish(read_layers(session, spec))
        opened = finish(session.open(ModelSpec("bundled:resnet"), evaluate=False))
        found = finish(read_layers(session, spec))
        assert found.rows[0].shapes[0] == ("weight", (5, 1, 3, 3)) and found.rows[0].macs == 5 * 9 * 26 * 26
        assert session.loaded.analysis is not None and session.opened().name == opened.name
    finally:
        session.close()


def test_a_project_and_a_bundle_are_read_in_the_state_that_they_were_left_at(tmp_path) -> None:
    session = Session(tmp_path / "session")
    try:
        opened = finish(session.open(replace(write_project(tmp_path / "own"), task=None, input_shape=(1, 1, 8, 8))))
        removed = opened.analysis.empty()
        chosen = next(one for one in opened.analysis.sets if one.kind is Kind.FILTER)
        removed[chosen.first : chosen.first + 5] = True
        state = finish(session.cut("s0", removed, PlanIntent("l1")))
        project = finish(save_project(session, str(tmp_path / "project"), state.id))
        finish(save_bundle(session, state.id, str(tmp_path / "shared.zip")))
    finally:
        session.close()
    with closing(Session()) as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightStore, "take", lambda *_: pytest.fail("the weights were copied"))
        files = {path: path.stat().st_mtime_ns for path in Path(project).rglob("*")}
        for source in (project, str(tmp_path / "shared.zip")):
            found = finish(read_layers(other, ModelSpec(source, trust_code=True)))
            shapes = {row.path: row.shapes[0][1] for row in found.rows}
            assert shapes["block.conv1"] == (24 - 5, 16, 3, 3) and shapes["block.conv2"] == (16, 24 - 5, 3, 3)
            assert found.parameters == state.parameters and found.macs == state.macs
        assert not other.is_open
        assert files == {path: path.stat().st_mtime_ns for path in Path(project).rglob("*")}
