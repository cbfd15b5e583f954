"""A detector goes the whole road on images with boxes: measured, cut, verified, recovered, exported, judged again."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import torch

from secateur.engine.adapters.torchvision_detection import with_maps
from secateur.engine.cli.arguments import parser
from secateur.engine.cli.model_args import task_spec
from secateur.engine.errors import ExportError, SecateurError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.recovery.training import Training
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.workflows.baselines import standing_of
from secateur.engine.workflows.export import export_state
from secateur.engine.workflows.latency_table import latency_table
from secateur.engine.workflows.measure import measure_states

from ..detector_nets import faster_rcnn, fcos, rectangles, taught

NETS = Path(__file__).parents[1] / "detector_nets.py"


def users(folder: Path) -> Path:
    """A user's file with the detectors, in a folder of its own: what lies beside a user's file is imported anew."""
    return Path(shutil.copyfile(NETS, folder / "nets.py"))


@pytest.mark.parametrize("make", (fcos, faster_rcnn))
def test_a_student_learns_the_maps_of_its_teacher(tmp_path: Path, make: Any) -> None:
    rectangles(tmp_path / "set", {"train": 2, "valid": 1, "test": 1})
    task = open_task(TaskSpec("coco", str(tmp_path / "set"), batch=2))
    torch.manual_seed(0)
    teacher, student = with_maps(make()).eval(), with_maps(make()).eval()
    batch = next(iter(task.batches(Split.TRAIN)))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.0)
    settings = RecoverySettings(distillation=1.0)
    training = Training(student, teacher, task, settings, optimizer, NeverCancelled(), steps=4)
    apart = training.train_on([batch])
    student.load_state_dict(teacher.state_dict())
    for module in (*student.modules(), *teacher.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):  # a batch's own statistics would differ from those in evaluation
            module.momentum, module.track_running_stats = 0.0, False
            module.running_mean = module.running_var = None
    assert apart > 0.1 and training.train_on([batch]) < 1e-6


def test_a_folder_of_boxes_is_opened_by_small_batches(tmp_path: Path) -> None:
    rectangles(tmp_path / "set", {"train": 1, "valid": 1, "test": 1})
    words = ["prune", "x", "--task", str(tmp_path / "set"), "--purpose", "detection", "--input", "1x3x64x96"]
    spec = task_spec(parser().parse_args(words))
    assert spec.kind == "coco" and spec.batch == 4 and spec.size == (64, 96)


TASK = """
import torch


def example_inputs():
    return ([torch.rand(3, 64, 64), torch.rand(3, 48, 64)],)


def batches(split):
    torch.manual_seed(0)
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0]])
    for _ in range(6):
        yield [torch.rand(3, 64, 64), torch.rand(3, 48, 64)], [{"boxes": boxes, "labels": torch.tensor([1])}] * 2


def inputs(batch):
    return (batch[0],)


def loss(model, batch):
    return sum(model(*batch).values())


def evaluate(model):
    return {"boxes": sum(len(one["boxes"]) for one in model(next(iter(batches("test")))[0]))}
"""


def test_a_file_of_the_users_judges_a_detector_and_the_maps_teach_it_too(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text(TASK)
    session = Session()
    task = TaskSpec("file", str(tmp_path / "task.py"))
    opened = finish(session.open(ModelSpec(f"{users(tmp_path)}:fcos", task=task)))
    removed = opened.analysis.empty()
    removed[:8] = True
    cut = finish(session.cut("s0", removed))
    losses: list[float] = []
    settings = RecoverySettings(epochs=2, distillation=1.0, threads=1)
    finish(session.recover(cut.id, settings), lambda progress: losses.append(progress.values.get("loss", 0.0)))
    assert any(0 < loss < 50 for loss in losses)
    session.close()


def sure_of_itself(folder: Path) -> Path:
    """A user's file whose `detector` calls many boxes found, untrained as it is."""
    text = "import torch\nfrom nets import mask_rcnn\n\n\ndef detector():\n    torch.manual_seed(0)\n"
    (folder / "sure.py").write_text(
        text + "    model = mask_rcnn()\n    model.roi_heads.score_thresh = 0.3\n    return model\n"
    )
    users(folder)
    return folder / "sure.py"


def test_a_cut_detector_in_two_stages_is_a_file_that_finds_the_same_in_images_of_any_size(tmp_path: Path) -> None:
    rectangles(tmp_path / "set", {"train": 2, "valid": 1, "test": 2})
    task = TaskSpec("coco", str(tmp_path / "set"), batch=2)
    with closing(Session()) as session:
        opened = finish(session.open(ModelSpec(f"{sure_of_itself(tmp_path)}:detector", task=task)))
        removed = opened.analysis.empty()
        for one in opened.analysis.sets:
            removed[one.first : one.first + one.count // 2] = True
        cut = finish(session.cut("s0", removed))
        exported = finish(export_state(session, cut.id, "onnx", str(tmp_path / "small.onnx")))
        with pytest.raises(ExportError, match="its two stages"):
            finish(export_state(session, cut.id, "program", str(tmp_path / "small.pt2")))
        model: Any = standing_of(session, cut.id).model
        (timed,) = finish(measure_states(session, (cut.id,), TargetSpec(seconds=0.05)))
        with pytest.raises(SecateurError, match="one image"):
            finish(measure_states(session, (cut.id,), TargetSpec(seconds=0.05, batch=4)))
        with pytest.raises(SecateurError, match="cannot be predicted"):
            finish(latency_table(session, TargetSpec(seconds=0.05)))
    assert exported.difference is not None and exported.difference < 1e-4
    assert exported.metric is not None and exported.metric.count == 2
    assert timed.median > 0
    file = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    assert [one.name for one in file.get_outputs()] == ["boxes", "labels", "scores", "masks"]
    image = torch.rand(1, 3, 121, 50)  # whose longer side is 64 only in double precision
    with torch.no_grad():
        said = model([image[0]])[0]
    found = dict(zip(said, cast("list[Any]", file.run(None, {"images": image.numpy()})), strict=True))
    assert len(said["boxes"]) == len(found["boxes"]) > 10
    for box, mask in zip(said["boxes"].numpy(), said["masks"].numpy(), strict=True):  # equal scores have no order
        nearest = np.abs(found["boxes"] - box).max(1)
        assert nearest.min() < 1e-3 and np.abs(found["masks"] - mask)[nearest < 1e-3].max() < 1e-4


@pytest.mark.slow  # it has to be trained before anything can be lost
def test_what_a_cut_costs_a_detector_is_measured_and_comes_back(tmp_path: Path) -> None:
    spec = TaskSpec("coco", str(rectangles(tmp_path / "set", {"train": 48, "valid": 12, "test": 16})), batch=8)
    torch.save(taught(fcos, open_task(spec), 20).state_dict(), tmp_path / "fcos.pt")
    session = Session(tmp_path / "session")
    opened = finish(session.open(ModelSpec(f"{users(tmp_path)}:fcos", str(tmp_path / "fcos.pt"), task=spec)))
    (before,) = opened.state.metrics
    assert before.name == "mAP" and before.value > 0.3 and before.count == 16 and 0 < before.error < 0.2
    removed = opened.analysis.empty()
    for one in opened.analysis.sets:
        removed[one.first : one.first + one.count // 2] = True
    cut = finish(session.cut("s0", removed))
    after = finish(session.evaluate(cut.id, Split.TEST))
    recovered = finish(session.recover(cut.id, RecoverySettings(epochs=8, threads=1)))
    back = finish(session.evaluate(recovered.id, Split.TEST))
    assert after.value < before.value / 2 < back.value
    for form, name in (("onnx", "small.onnx"), ("pytorch", "small")):
        exported = finish(export_state(session, recovered.id, form, str(tmp_path / name)))
        assert exported.metric.value == pytest.approx(back.value, abs=0.02) and exported.metric.name == "mAP"
    session.close()
