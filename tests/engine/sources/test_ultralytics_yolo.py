"""Ultralytics' models: opened with consent, trained by their own loss, evaluated by their own validation, exported."""
# pyright: reportMissingImports=false

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from secateur.engine.adapters.ultralytics_yolo import SURROUNDINGS, settings_for
from secateur.engine.cli.main import main
from secateur.engine.errors import DataError, OpenError, SecateurError
from secateur.engine.export.protocol import ExportRequest
from secateur.engine.export.table import exporter_named, format_of
from secateur.engine.export.usage import command_line, place_of
from secateur.engine.foreign_code.consent import NO_CONSENT
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.runtime.load_pruned import StandIn
from secateur.engine.sources.open import factory_code, open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Kind
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.tasks.open import open_task, task_at
from secateur.engine.tasks.protocol import Split, Task

pytest.importorskip("ultralytics")
onnxruntime = pytest.importorskip("onnxruntime")
SIDE = 64
NETWORK = """
nc: 1
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, C2f, [32, True]]
  - [-1, 1, Conv, [48, 3, 2]]
head:
  - [[2, 3], 1, Detect, [nc]]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's description, and squares on noise with their boxes."""
    root, random = tmp_path_factory.mktemp("yolo"), np.random.default_rng(0)
    (root / "net.yaml").write_text(NETWORK)
    for split, count in (("train", 6), ("val", 6)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(random.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8))
            x, y, side = (int(one) for one in random.integers((2, 2, 20), (20, 20, 40)))
            ImageDraw.Draw(image).rectangle((x, y, x + side - 1, y + side - 1), fill="red")
            image.save(root / "images" / split / f"{number}.png")
            box = " ".join(str(one / SIDE) for one in (x + side / 2, y + side / 2, side, side))
            (root / "labels" / split / f"{number}.txt").write_text(f"0 {box}\n")
    (root / "data.yaml").write_text(f"path: {root}\ntrain: images/train\nval: images/val\nnames: [square]\n")
    return root


@pytest.fixture
def opened(folder: Path) -> Iterator[Any]:
    """The network, untrained."""
    yield open_model(ModelSpec(str(folder / "net.yaml")))


def data(folder: Path, model: Any) -> Task:
    """The squares, for a model."""
    task = open_task(task_at(str(folder / "data.yaml"), (SIDE, SIDE)))
    task.info(model)
    return task


def copied(folder: Path, to: Path) -> Path:
    """The data, where a test may change it."""
    root = to / "data"
    for kind in ("images", "labels"):
        shutil.copytree(folder / kind, root / kind, ignore=shutil.ignore_patterns("*.cache"))
    (root / "data.yaml").write_text(f"path: {root}\ntrain: images/train\nval: images/val\nnames: [square]\n")
    return root


def contents(root: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_description_opens_and_the_heads_own_inputs_may_become_narrower(folder: Path, opened: Any) -> None:
    assert opened.input_shape == (2, 3, 640, 640) and opened.untrained
    assert opened.spec.outputs == ("0", "1.boxes", "1.scores")
    assert open_model(ModelSpec(str(folder / "net.yaml"), outputs=("0",))).spec.outputs == ("0",)  # type: ignore[union-attr]
    with pytest.raises(OpenError, match=r"runs .*net\.yaml"):
        open_model(ModelSpec(str(folder / "net.yaml")), consent=NO_CONSENT)


EVIL = f"activation: open('ran', 'w') and torch.nn.SiLU()\n{NETWORK}"
"""Ultralytics evaluates what it names as the activation."""


def test_a_name_opens_the_packages_own_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("net", "yolov8n", "yolov8"):
        (tmp_path / f"{name}.yaml").write_text(EVIL)
    found = open_model(ModelSpec("ultralytics:yolov8n", input_shape=(1, 3, SIDE, SIDE)), consent=NO_CONSENT)
    assert sum(one.numel() for one in found.model.parameters()) == 3_157_200  # as published, not that of another size
    for name in (tmp_path / "net", "net", "./net", "../8/net", "../../nn/tasks"):
        with pytest.raises(OpenError, match="describes no network called"):
            open_model(ModelSpec(f"ultralytics:{name}"), consent=NO_CONSENT)
    assert not (tmp_path / "ran").exists()


def test_the_file_that_was_consented_to_is_the_one_that_is_read(tmp_path: Path) -> None:
    for named, other in (("own8n", "own8"), ("yolov8n6", "yolov8n-p6")):
        (tmp_path / f"{named}.yaml").write_text(NETWORK)
        (tmp_path / f"{other}.yaml").write_text(NETWORK.replace("nc: 1", "nc: 7"))
        assert len(open_model(ModelSpec(str(tmp_path / f"{named}.yaml"))).model.names) == 1  # type: ignore[arg-type]


def test_a_checkpoint_opens_as_it_computed_and_can_be_trained(tmp_path: Path, opened: Any) -> None:
    model = opened.factory()
    with torch.no_grad():
        model.model[0].conv.weight.mul_(2)  # no other model of this seed
    for one in model.parameters():
        one.requires_grad_(False)  # as their trainer saves it
    model.names = {0: "it's a square"}
    torch.save({"model": None, "ema": model.half(), "train_args": {"imgsz": 96, "box": 5.0}}, tmp_path / "best.pt")
    with pytest.raises(OpenError) as refused:
        open_model(ModelSpec(str(tmp_path / "best.pt")))
    assert refused.value.message.code == "checkpoint.pickle"
    spec = ModelSpec(str(tmp_path / "best.pt"), trust_pickle=True)
    found = open_model(spec)
    images = torch.rand(2, 3, SIDE, SIDE)
    expected = model.float().eval()(images)[0]
    assert found.input_shape == (2, 3, 96, 96) and not found.untrained
    assert torch.allclose(found.model(images)[0], expected, rtol=1e-4)
    assert found.model.model[0].conv.weight.requires_grad
    assert found.preprocessing is not None and found.preprocessing.crop == (96, 96)
    scope: dict[str, Any] = {}
    exec(factory_code(spec, tmp_path).lines, scope)
    again = scope["make_model"]()
    again.load_state_dict(found.model.state_dict())
    assert again.names == model.names and torch.equal(again.eval()(images)[0], found.model(images)[0])


def test_files_that_describe_no_network_or_hold_none_are_refused(folder: Path, tmp_path: Path, opened: Any) -> None:
    with pytest.raises(OpenError, match="describes no network"):
        open_model(ModelSpec(str(folder / "data.yaml")))
    with pytest.raises(OpenError, match="does not exist"):
        open_model(ModelSpec(str(tmp_path / "absent.yaml")))
    torch.save({"model": opened.model.model[0]}, tmp_path / "part.pt")
    with pytest.raises(OpenError, match="holds no model"):
        open_model(ModelSpec(str(tmp_path / "part.pt"), trust_pickle=True))
    other = opened.factory()
    other.yaml["backbone"][0][3][0] = 24  # as a version would build it that reads descriptions otherwise
    torch.save({"model": other}, tmp_path / "other.pt")
    with pytest.raises(OpenError, match="another version"):
        open_model(ModelSpec(str(tmp_path / "other.pt"), trust_pickle=True))


def test_the_loss_is_the_models_own_of_an_image(folder: Path, opened: Any) -> None:
    from ultralytics.cfg import get_cfg

    task, model = data(folder, opened.model), opened.factory().eval()
    batch = next(iter(task.batches(Split.VAL)))
    found = task.loss(model, batch)
    model.args = get_cfg()
    assert found is not None and torch.isclose(found, model.loss(batch)[0].sum() / len(batch["img"]))


def test_the_metric_is_that_of_boxes_that_overlap_as_much(folder: Path, opened: Any) -> None:
    task = data(folder, opened.model)
    assert task.info(None).sizes == {"train": 6, "val": 3, "test": 3}
    assert {one.label for one in task.info(None).samples} == {"1 square"}
    batches = list(task.batches(Split.VAL))
    for share, reached in ((1.0, 10), (0.72, 5), (0.4, 0)):  # thresholds of 0.5, 0.55 ... 0.95 that the overlap reaches
        right = iter(batches)

        def predict(images: torch.Tensor, share: float = share, right: Iterator[Any] = right) -> Any:
            boxes = next(right)["bboxes"] * SIDE * torch.tensor([1, 1, 1, share])  # as high as that
            return (torch.cat([boxes, torch.ones(len(boxes), 1)], 1)[:, :, None],)

        metric = finish(task.evaluate(predict, Split.VAL, NeverCancelled()))
        assert metric.value == pytest.approx(reached / 10 * 0.995, abs=1e-3) and metric.count == 3


def test_data_of_other_models_and_classes_is_refused(folder: Path, opened: Any) -> None:
    task = open_task(task_at(str(folder / "data.yaml"), (SIDE, SIDE)))
    with pytest.raises(SecateurError, match="Conv2d is not one"):
        task.info(torch.nn.Conv2d(3, 3, 3))
    other = opened.factory()
    other.names = {0: "circle", 1: "square"}
    with pytest.raises(SecateurError, match="nc: 1"):
        task.info(other)
    with pytest.raises(SecateurError, match="not a data set"):
        open_task(task_at(str(folder / "net.yaml")))


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.file), "w")


def test_the_cache_of_labels_is_neither_unpickled_nor_written(folder: Path, tmp_path: Path, opened: Any) -> None:
    root = copied(folder, tmp_path)
    with (root / "labels" / "train.cache").open("wb") as file:
        np.save(file, np.array({"version": Evil(tmp_path / "ran")}, dtype=object), allow_pickle=True)
    before = contents(root)
    task = data(root, opened.model)
    for split in (Split.TRAIN, Split.VAL):
        assert len(next(iter(task.batches(split, seed=0)))["cls"])
    assert not (tmp_path / "ran").exists() and contents(root) == before


def test_data_is_only_read_whatever_the_model_was_trained_with(folder: Path, tmp_path: Path, opened: Any) -> None:
    root, model = copied(folder, tmp_path), opened.factory()
    images = root / "images" / "train"
    Image.open(images / "0.png").save(images / "0.jpg")
    (images / "0.png").unlink()
    whole = (images / "0.jpg").read_bytes()
    (images / "0.jpg").write_bytes(whole[:-2])  # without its end
    (images / "1.npy").write_bytes(b"no array")
    before = contents(root)
    run = {"cache": "disk", "fraction": 0.5, "single_cls": True, "classes": [5], "rect": True}
    model.args = {**run, "box": 5.0, "degrees": 7.0}
    task = data(root, model)
    assert task.info(None).sizes["train"] == 5 and contents(root) == before
    batch = next(iter(task.batches(Split.TRAIN, seed=0)))
    assert len(batch["img"]) == 5 and len(batch["cls"]) > 0 and contents(root) == before
    settings = settings_for(model)
    assert (settings.box, settings.degrees, settings.cache, settings.classes) == (5.0, 7.0, False, None)


def test_data_lies_with_its_description(folder: Path, tmp_path: Path, opened: Any) -> None:
    root = copied(folder, tmp_path)
    file, rest = root / "data.yaml", "names: [square]\n"
    file.write_text("train: ../images/train\nval: images/val\n" + rest)  # as labelling services write it
    assert data(root, opened.model).info(None).sizes["train"] == 6
    (root / "list.txt").write_text("./images/val/0.png\n")
    file.write_text("train: images/train\nval: list.txt\n" + rest)
    assert open_task(task_at(str(file)))
    (root / "other.txt").write_text(f"{folder}/images/val/0.png\n")
    val, up = f"{folder}/images/val", "../../x"
    for said in (f"train: {val}\nval: {val}", f"path: {folder}\ntrain: .\nval: .", f"train: {up}\nval: {up}"):
        file.write_text(f"{said}\n{rest}")
        with pytest.raises(DataError, match="lies outside"):
            open_task(task_at(str(file)))
    file.write_text("train: images/train\nval: other.txt\n" + rest)
    with pytest.raises(DataError, match="lies outside"):
        open_task(task_at(str(file)))


@pytest.mark.slow
def test_a_model_is_cut_recovered_evaluated_and_exported(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.onnx"
    asked = ["--task", str(folder / "data.yaml"), "--crop", str(SIDE), "--batch", "3", "--keep-macs", "60%"]
    code = main(["prune", str(folder / "net.yaml"), *asked, "--multiple", "8", "--epochs", "1", "--export", str(file)])
    assert code == 0
    session = onnxruntime.InferenceSession(file)
    found = session.run(None, {"input": np.zeros((3, 3, SIDE, SIDE), np.float32)})
    assert found[0].shape == (3, 5, 16 * 16 + 8 * 8)


def test_a_cut_model_leaves_as_a_checkpoint_that_their_own_class_runs_validates_and_exports(
    folder: Path, tmp_path: Path, opened: Any
) -> None:
    model, inputs = opened.model, (torch.rand(2, 3, SIDE, SIDE),)
    model.names = {0: "square"}
    analysis = analyse(model, inputs)
    plan = analysis.empty()
    for one in analysis.sets:
        if one.kind in (Kind.FILTER, Kind.WIDTH):
            plan[one.first : one.first + one.count // 4] = True
    smaller: Any = cut(model, analysis, plan, inputs).model
    path = tmp_path / "cut.pt"
    request = ExportRequest(smaller, inputs, str(path), opened.spec)
    exporter = exporter_named(format_of(str(path)))
    exported = finish(exporter.export(request, NeverCancelled()))
    assert exported.difference == 0.0 and [one.name for one in tmp_path.iterdir()] == ["cut.pt"]
    assert exporter.predictor(str(path)) is None
    assert place_of(exported) == path and "from ultralytics import YOLO" in command_line(exported)
    code = (
        "import numpy, torch; from ultralytics import YOLO; y = YOLO('cut.pt'); "
        "print(y.task, y.names, sum(p.numel() for p in y.model.parameters())); "
        "y.predict(numpy.zeros((64, 64, 3), 'uint8'), imgsz=64, verbose=False); "
        "y.val(data='data/data.yaml', imgsz=64, plots=False, verbose=False, workers=0); "
        "YOLO('cut.pt').export(format='onnx', imgsz=64, simplify=False, verbose=False)"
    )
    copied(folder, tmp_path)
    around = os.environ | SURROUNDINGS
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, env=around)
    assert done.returncode == 0, done.stderr[-2000:]
    count = sum(one.numel() for one in smaller.parameters())
    assert count < sum(one.numel() for one in model.parameters())
    assert f"detect {{0: 'square'}} {count}" in done.stdout.splitlines()
    images = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = smaller(images)[0].numpy()
    (found,) = onnxruntime.InferenceSession(tmp_path / "cut.onnx").run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_what_their_checkpoints_cannot_hold_is_refused_as_one(tmp_path: Path, opened: Any) -> None:
    exporter = exporter_named("ultralytics")
    other = exporter.refusal(ExportRequest(torch.nn.Linear(3, 3), (torch.zeros(2, 3),), "x.pt", name="a net"))
    assert other is not None and str(other).startswith("a net is not an Ultralytics YOLO model")
    opened.model.model[2].m[0] = StandIn(opened.model.model[2].m[0], None)
    changed = exporter.refusal(ExportRequest(opened.model, (torch.zeros(2, 3, SIDE, SIDE),), "x.pt", opened.spec))
    assert changed is not None and "in model.2.m.0" in str(changed)
