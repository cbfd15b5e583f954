"""Layers with shapes and costs: counted by hand, by PyTorch itself, and after a cut as the cut model has them."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
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
from secateur.engine.structures.costs import layers_of
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.workflows.read_layers import read_layers
from tests.engine.session.small import write_project

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
