"""`prune` in one call: its model computes what the masked original computes, and its files compute what it computes."""

import copy
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.engine import (
    Cancelled,
    ExportError,
    Goal,
    ModelSpec,
    PlanError,
    Pruned,
    RecoverySettings,
    SecateurError,
    TaskError,
    from_identities,
    load_pruned,
    prune,
)
from secateur.engine.planning.protocol import Cost, Limit
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from tests.engine.session.small import write_project

pytestmark = pytest.mark.usefixtures("few_images")


class Plain(nn.Module):
    """Three layers; an attribute that no pickle holds makes it one that no other process can have."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 24, 3, padding=1)
        self.head = nn.Linear(24, 5)
        self.scale = lambda x: 2 * x

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x)).relu()
        return self.head(self.scale(self.second(y).relu().mean((2, 3))))


def plain() -> Plain:
    torch.manual_seed(3)
    return Plain()


IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def pruned() -> tuple[Plain, Pruned]:
    """An original and what came of it."""
    model = plain()
    return model, prune(model, IMAGES, keep_macs=0.5, multiple=1)


def masked(model: nn.Module, inputs: Any, result: Pruned) -> nn.Module:
    """The original with zeros wherever one of its tensors has something that was removed."""
    analysis = analyse(model, inputs)
    gone, unknown = from_identities(analysis, result.report.removed)
    assert not unknown
    again, tensors = copy.deepcopy(model).eval(), {t.name: t for t in analysis.tensors}
    for name, kept in analysis.kept_indices(gone).items():
        value = again.state_dict()[name]
        for dim, indices in enumerate(kept or ()):
            if indices is not None:
                lost = np.setdiff1d(np.arange(tensors[name].shape[dim]), indices)
                value.index_fill_(dim, torch.as_tensor(lost), 0.0)
    return again


def by_runtime(file: Path, images: Tensor) -> Any:
    """What onnxruntime makes of images."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    return session.run(None, {session.get_inputs()[0].name: images.numpy()})


def test_the_result_computes_what_the_masked_original_computes(pruned: tuple[Plain, Pruned]) -> None:
    model, result = pruned
    with torch.no_grad():
        expected = masked(model, (IMAGES,), result)(IMAGES)
        torch.testing.assert_close(copy.deepcopy(result.model).eval()(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert result.report.verification.passed


def test_the_report_counts_what_the_model_has(pruned: tuple[Plain, Pruned]) -> None:
    model, result = pruned
    report = result.report
    assert report.before.parameters == sum(p.numel() for p in model.parameters())
    assert report.after.parameters == sum(p.numel() for p in result.model.parameters())
    assert report.after.macs <= 0.5 * report.before.macs
    assert report.reached[0].got == report.after.macs and report.criterion == "l1"
    text = str(report)
    assert "parameters" in text and "verified" in text and "Conv2d" in text


def test_a_live_model_is_left_as_it_was_and_its_class_and_modes_are_kept() -> None:
    model = plain().train()
    model.norm.eval()
    model.first.weight.requires_grad_(False)
    state, names = copy.deepcopy(model.state_dict()), set(vars(model))
    result = prune(model, IMAGES, keep_macs=0.6, multiple=1)
    assert model.training and not model.norm.training and set(vars(model)) == names
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert all(p.grad is None for p in model.parameters())
    smaller: Any = result.model
    assert type(smaller) is Plain and smaller.training and not smaller.norm.training
    assert not smaller.first.weight.requires_grad
    smaller(IMAGES).square().mean().backward()
    assert smaller.head.weight.grad.shape == smaller.head.weight.shape


def test_one_sample_and_inputs_by_name_do(pruned: tuple[Plain, Pruned]) -> None:
    _, result = pruned
    assert prune(plain(), IMAGES[:1], keep_macs=0.5, multiple=1).report.removed == result.report.removed
    assert prune(plain(), {"x": IMAGES}, keep_macs=0.5, multiple=1).report.removed == result.report.removed


def test_files_of_a_model_that_only_this_process_has_compute_what_it_computes(
    pruned: tuple[Plain, Pruned], tmp_path: Path
) -> None:
    _, result = pruned
    exported = result.export_onnx(tmp_path / "net.onnx")
    assert exported.difference is not None and exported.difference < 1e-4
    more = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        expected = copy.deepcopy(result.model).eval()(more)
    (found,) = by_runtime(tmp_path / "net.onnx", more)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    result.export_program(tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(program(more), expected, rtol=1e-4, atol=1e-5)
    result.export_pytorch(tmp_path / "net")
    again = load_pruned(Plain, str(tmp_path / "net/shapes.json"), str(tmp_path / "net/weights.safetensors"))
    torch.testing.assert_close(again(more), expected)
    assert json.loads((tmp_path / "net/shapes.json").read_text())["source"] is None
    assert "Plain" in (tmp_path / "net/README.txt").read_text()


def test_an_export_writes_the_weights_that_the_model_has_now(tmp_path: Path) -> None:
    result = prune(plain(), IMAGES, keep_macs=0.5, multiple=1)
    with torch.no_grad():
        for parameter in result.model.parameters():
            parameter.mul_(0.5)
        expected = copy.deepcopy(result.model).eval()(IMAGES)
    result.export_onnx(tmp_path / "net.onnx")
    assert result.model.training
    (found,) = by_runtime(tmp_path / "net.onnx", IMAGES)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_an_export_replaces_nothing_unless_told(pruned: tuple[Plain, Pruned], tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    with pytest.raises(ExportError) as caught:
        pruned[1].export_onnx(path)
    assert caught.value.message.code == "export.exists" and path.read_text() == "mine"
    pruned[1].export_onnx(path, overwrite=True)
    assert path.read_bytes()[:4] != b"mine"


@pytest.mark.parametrize("value", [0, -0.5, 1.5, float("nan"), float("inf"), True])
def test_what_is_no_limit_is_refused(value: float) -> None:
    with pytest.raises(PlanError, match="keep_parameters was") as caught:
        prune(plain(), IMAGES, keep_parameters=value)
    assert caught.value.message.code == "prune.limit"


def test_no_limit_at_all_and_a_goal_that_is_met_are_refused() -> None:
    with pytest.raises(PlanError, match="keep_macs, keep_parameters, max_size, max_memory, keep"):
        prune(plain(), IMAGES, keep_macs=None)
    with pytest.raises(PlanError, match="meets this goal already"):
        prune(plain(), IMAGES, keep_macs=1.0)
    with pytest.raises(PlanError, match="latency"):
        prune(plain(), IMAGES, goal=Goal((Limit(Cost.LATENCY, 0.5),)))


def test_a_budget_is_not_missed_by_a_multiple_in_silence() -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.Flatten())
    net = nn.Sequential(*layers, nn.Linear(32 * 64, 5))
    usual, asked = (prune(net, IMAGES, keep_macs=0.5, multiple=multiple).report for multiple in (None, 16))
    assert asked.after.macs < 0.3 * asked.before.macs and 0.45 * usual.before.macs <= usual.after.macs
    (told,), (coarse,) = ([n for n in one.notes if n.code.startswith("plan.")] for one in (usual, asked))
    assert str(told).startswith("Widths are multiples of ") and told.arguments["finer"] < 16
    assert f"Multiples of {told.arguments['finer']} would keep" in str(coarse)
    kept = usual.after.macs / usual.before.macs
    assert coarse.arguments["got"] == told.arguments["got"] == pytest.approx(kept)


def test_all_limits_hold_at_once_as_shares_and_amounts() -> None:
    model = plain()
    result = prune(model, IMAGES, keep_macs=0.9, keep_parameters=2000, multiple=1)
    assert sum(p.numel() for p in result.model.parameters()) <= 2000
    assert [one.cost for one in result.report.reached] == [Cost.MACS, Cost.PARAMETERS]


def test_a_share_of_one_kind_is_kept() -> None:
    result = prune(plain(), IMAGES, keep={"filters": 0.75}, multiple=1)
    kept = {one.cost: (one.original, one.asked, one.got) for one in result.report.reached}
    filters = kept[Kind.FILTER]
    assert filters[1] == filters[2] == round(0.75 * filters[0]) and list(kept) == [Kind.FILTER]
    assert sum(map(len, result.report.removed.values())) == filters[0] - filters[2]
    for wrong in (True, 0, 1.5):
        with pytest.raises(PlanError, match="filters was"):
            prune(plain(), IMAGES, keep={"filters": wrong})
    with pytest.raises(SecateurError, match="'noses' does not name a kind"):
        prune(plain(), IMAGES, keep={"noses": 0.5})


def test_what_is_locked_stays_and_a_goal_says_more() -> None:
    model = plain()
    result = prune(model, IMAGES, keep_macs=0.5, multiple=1, lock=[model.first])
    assert tuple(result.model.get_parameter("first.weight").shape) == (16, 3, 3, 3)
    named = prune(model, IMAGES, keep_macs=0.5, multiple=1, lock=["first"])
    assert named.report.removed == result.report.removed
    with pytest.raises(PlanError, match="not a module of the model"):
        prune(model, IMAGES, keep_macs=0.5, lock=[nn.Linear(1, 1)])
    scoped = prune(model, IMAGES, keep_macs=0.6, multiple=1, goal=Goal((), scope=("second",)))
    assert tuple(scoped.model.get_parameter("first.weight").shape) == (16, 3, 3, 3)


def test_rounds_compose_and_are_verified_each() -> None:
    model = plain()
    result = prune(model, IMAGES, keep_macs=0.4, multiple=1, rounds=3)
    assert result.report.after.macs <= 0.4 * result.report.before.macs
    with torch.no_grad():
        expected = masked(model, (IMAGES,), result)(IMAGES)
        torch.testing.assert_close(copy.deepcopy(result.model).eval()(IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_masks_choose_as_many_as_the_scores_would(tmp_path: Path) -> None:
    spec = write_project(tmp_path)
    steps = list[float]()
    asked: dict[str, Any] = {"keep_macs": 0.6, "multiple": 4, "criterion": "l1", "task": spec.task, "recovery": None}
    result = prune(
        spec,
        choose="masks",
        mask_steps=6,
        on_progress=lambda told: steps.extend([told.values["step"]] if "loss" in told.values else []),
        **asked,
    )
    one_shot = prune(spec, **asked)
    assert steps[-1] == 6 and result.report.after.macs == one_shot.report.after.macs
    assert {key: len(some) for key, some in result.report.removed.items()} == {
        key: len(some) for key, some in one_shot.report.removed.items()
    }
    assert not torch.equal(result.model.get_parameter("fc.bias"), one_shot.model.get_parameter("fc.bias"))
    assert prune(spec, choose="rounds", **asked).report.after.macs <= 0.6 * result.report.before.macs


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"choose": "masks"}, TaskError, "needs data"),
        ({"choose": "masks", "rounds": 2}, PlanError, "one round"),
        ({"choose": "luck"}, PlanError, "scores, rounds, masks"),
    ],
)
def test_ways_to_choose_that_cannot_be_are_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        prune(plain(), IMAGES, keep_macs=0.5, **given)


@pytest.mark.end_to_end
def test_a_source_with_data_is_measured_recovered_and_exported(tmp_path: Path) -> None:
    seen = list[str]()
    result = prune(
        "bundled:resnet",
        keep_macs=0.5,
        task="bundled",
        recovery=RecoverySettings(epochs=1, seed=1),
        on_progress=lambda progress: seen.append(str(progress.message)),
    )
    report = result.report
    assert report.metric_before is not None and report.metric_after is not None
    assert report.metric_before.count == report.metric_after.count > 0
    assert report.criterion == "obs" and any("Fine-tuning" in text for text in seen)
    exported = result.export_pytorch(tmp_path / "net")
    assert exported.metric is not None and exported.metric.value == pytest.approx(report.metric_after.value, abs=1e-3)
    assert "bundled:resnet" in (tmp_path / "net/shapes.json").read_text()


@pytest.mark.end_to_end
def test_a_live_model_is_judged_by_a_task_without_inputs() -> None:
    from secateur.engine import open_model

    live = open_model(ModelSpec("bundled:resnet")).model
    named = prune("bundled:resnet", keep_macs=0.6, task="bundled", criterion="l1")
    result = prune(live, keep_macs=0.6, task="bundled", criterion="l1")
    assert result.report.removed == named.report.removed
    assert result.report.metric_after == named.report.metric_after


def test_recovery_without_data_is_refused_before_the_work() -> None:
    with pytest.raises(TaskError, match="Recovery needs data"):
        prune(plain(), IMAGES, keep_macs=0.5, recovery=RecoverySettings(epochs=1))


def test_a_token_cancels() -> None:
    token = threading.Event()
    token.set()
    with pytest.raises(Cancelled):
        prune(plain(), IMAGES, keep_macs=0.5, token=token)


def test_of_several_processes_the_first_alone_prunes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SecateurError, match=r"process 1 of 2.*process 0 alone.*secateur prune"):
        prune(plain(), IMAGES, keep_macs=0.5)
