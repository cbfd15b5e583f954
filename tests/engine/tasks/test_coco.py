"""COCO-style folders as they are published: where files lie, ids with gaps, crowds, images of several sizes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.engine.adapters.torchvision_detection import resized, with_maps
from secateur.engine.errors import TaskError
from secateur.engine.tasks.model_outputs import run_model
from secateur.engine.tasks.open import kind_of, open_task
from secateur.engine.tasks.protocol import Split, TaskSpec

from ..detector_nets import box, faster_rcnn, fcos, rectangles, ssd, write


def test_a_folder_with_an_annotated_folder_for_each_split(tmp_path: Path) -> None:
    rectangles(tmp_path / "set", {"train": 4, "valid": 2, "test": 3})
    task = _open(tmp_path / "set")
    info = task.info(fcos().eval())
    assert info.sizes == {"train": 4, "val": 2, "test": 3} and info.classes == ("bright", "dark")
    assert info.metric == "mAP" and info.samples[0].label == "1 bright, 1 dark"
    assert task.example_inputs()[0].shape == (2, 3, 64, 64)


def test_files_as_coco_itself_names_them(tmp_path: Path) -> None:
    names = {"train2017": 3, "val2017": 2}
    for name in names:
        rectangles(tmp_path / "x", {name: names[name]})
        (tmp_path / "x" / name).rename(tmp_path / name)
        (tmp_path / "x").rmdir()
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / name / "_annotations.coco.json").rename(tmp_path / "annotations" / f"instances_{name}.json")
    (tmp_path / "annotations" / "captions_train2017.json").write_text('{"info": {}}')
    sizes = _open(tmp_path).info(None).sizes
    assert (sizes["train"], sizes["val"], sizes["test"]) == (3, 1, 1)  # val is halved where there is no test


def test_one_file_is_divided_and_no_image_is_in_two_splits(tmp_path: Path) -> None:
    folder = rectangles(tmp_path / "x", {"all": 20}) / "all"
    task = _open(folder / "_annotations.coco.json")
    seen = [image.sum().item() for split in Split for images, _ in task.batches(split) for image in images]
    assert len(seen) == 20 and len(set(seen)) == 20
    assert task.info(None).sizes == {"train": 16, "val": 2, "test": 2}


def test_other_json_beside_images_makes_no_detection_of_a_classification(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    (tmp_path / "classes.json").write_text(json.dumps({"cat": 0, "dog": 1}))
    (tmp_path / "about.json").write_text(json.dumps({"info": "photographs", "images": 2}))
    assert kind_of(str(tmp_path)) == "folder"


def test_boxes_are_corners_in_pixels_and_follow_a_resize(tmp_path: Path) -> None:
    _one(tmp_path, [box(1, 1, 7, (10, 4, 20, 8))], (40, 20))
    (target,) = _open(tmp_path)._data.targets(Split.TRAIN, np.arange(1))
    assert target.boxes.tolist() == [[10, 4, 30, 12]] and target.area.tolist() == [160]
    task = _open(tmp_path, size=(40, 20))  # twice as high, half as wide
    (target,) = task._data.targets(Split.TRAIN, np.arange(1))
    assert target.boxes.tolist() == [[5, 8, 15, 24]] and target.area.tolist() == [160]
    assert task._data.read(Split.TRAIN, np.arange(2)).shape == (2, 3, 40, 20)


def test_images_of_several_sizes_stay_as_they_are(tmp_path: Path) -> None:
    _one(tmp_path, [box(1, 1, 7, (10, 4, 20, 8))], (40, 20), (30, 50))
    images = _open(tmp_path)._data.read(Split.TRAIN, np.arange(2))
    assert [tuple(one.shape) for one in images] == [(3, 20, 40), (3, 50, 30)]
    task = _open(tmp_path)
    assert torch.isfinite(task.loss(fcos(), next(iter(task.batches(Split.TRAIN)))))
    assert task.example_inputs()[0].shape == (2, 3, 20, 40)


@pytest.mark.parametrize("make", (fcos, ssd))
def test_ids_with_gaps_are_the_models_classes_in_their_order(tmp_path: Path, make: Any) -> None:
    rectangles(tmp_path / "set", {"train": 1, "valid": 1, "test": 1})
    task = _open(tmp_path / "set")
    assert task._numbers(make()) == {3: 1, 7: 2}


def test_ids_are_kept_where_the_model_has_a_class_for_each(tmp_path: Path) -> None:
    rectangles(tmp_path / "set", {"train": 1, "valid": 1, "test": 1})
    model = faster_rcnn()
    model.roi_heads.box_predictor.cls_score = torch.nn.Linear(48, 8)
    assert _open(tmp_path / "set")._numbers(model) == {3: 3, 7: 7}


def test_a_model_with_other_classes_is_refused(tmp_path: Path) -> None:
    rectangles(tmp_path / "set", {"train": 1, "valid": 1, "test": 1})
    model = faster_rcnn()
    model.roi_heads.box_predictor.cls_score = torch.nn.Linear(48, 5)
    with pytest.raises(TaskError, match="2 categories with ids up to 7, but the model distinguishes 5 classes"):
        _open(tmp_path / "set").info(model)
    with pytest.raises(TaskError, match="torchvision's detectors"):
        _open(tmp_path / "set").info(torch.nn.Linear(2, 2))


def test_crowds_and_boxes_without_an_area_teach_nothing(tmp_path: Path) -> None:
    real = box(1, 1, 7, (10, 4, 20, 8))
    _one(tmp_path / "a", [real], (40, 20))
    _one(tmp_path / "b", [real, box(2, 1, 3, (0, 0, 30, 15), crowd=1), box(3, 1, 3, (5, 5, 0, 4))], (40, 20))
    model = fcos().eval()
    losses = [task.loss(model, next(iter(task.batches(Split.TRAIN)))) for task in map(_open, _both(tmp_path))]
    assert torch.equal(*losses)


def test_boxes_in_a_crowd_count_neither_for_nor_against(tmp_path: Path) -> None:
    right, crowd = box(1, 1, 7, (2, 2, 12, 12)), box(2, 1, 7, (16, 2, 20, 16), crowd=1)
    _one(tmp_path / "a", [right], (40, 20))
    _one(tmp_path / "b", [right, crowd], (40, 20))
    found = {"boxes": torch.tensor([[18.0, 4, 26, 12], [2, 2, 14, 14]]), "labels": torch.tensor([2, 2])}
    said = [{**found, "scores": torch.tensor([0.9, 0.8])}]
    without, within = (_judged(_open(folder), said) for folder in _both(tmp_path))
    assert without == pytest.approx(0.5) and within == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not readable JSON"),
        ('{"info": {}, "images": []}', "lacks annotations, categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "KeyError at 'file_name'"),
        ('{"images": [{"id": 1, "file_name": "no.png"}], "annotations": [], "categories": []}', "no.png"),
    ],
)
def test_damaged_annotations_are_refused_with_a_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(TaskError, match=said):
        open_task(TaskSpec("coco", str(tmp_path / "a.json")))


def test_other_data_is_no_detection(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((30, 3, 8, 8), np.uint8), y=np.arange(30) % 3)
    with pytest.raises(TaskError, match="classification and regression and segmentation only"):
        open_task(TaskSpec("arrays", str(tmp_path / "a.npz"), options=(("purpose", "detection"),)))


def test_a_split_without_a_box_is_refused(tmp_path: Path) -> None:
    _one(tmp_path, [], (40, 20))
    with pytest.raises(TaskError, match="No image of the train split has a box"):
        _open(tmp_path)


def test_a_file_is_judged_by_the_boxes_that_follow_from_its_maps(tmp_path: Path) -> None:
    rectangles(tmp_path / "set", {"train": 4, "valid": 1, "test": 1})
    task, model = _open(tmp_path / "set"), fcos().eval()
    model.score_thresh = 1e-6
    task.info(with_maps(model))

    def file(images: torch.Tensor, maps: bool) -> dict[str, torch.Tensor]:
        assert images.shape[2:] == (64, 64)
        return model(images, maps=maps)

    images = torch.rand(2, 3, 64, 64)
    for image, one in zip(images, task._boxes_of_maps(file, images), strict=True):
        (expected,) = run_model(model, ([image],))
        assert len(expected["boxes"]) > 5 and torch.allclose(one["boxes"], expected["boxes"], atol=1e-4)
    wide = resized(images[:1], (64, 128))  # the file takes one size: boxes go back to the image's own
    (one,), (narrow,) = task._boxes_of_maps(file, wide), task._boxes_of_maps(file, resized(wide, (64, 64)))
    assert torch.allclose(one["boxes"], narrow["boxes"] * torch.tensor([2.0, 1, 2, 1]))


def _open(path: Path, **fields: Any) -> Any:
    return open_task(TaskSpec(kind_of(str(path)), str(path), batch=4, **fields))


def _both(folder: Path) -> tuple[Path, Path]:
    return folder / "a", folder / "b"


def _one(folder: Path, boxes: list[dict[str, Any]], *sizes: tuple[int, int]) -> None:
    """Splits of the same boxes in the first of two images (width, height)."""
    for split in ("train", "val", "test"):
        (folder / split).mkdir(parents=True)
        images = [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)]
        for number, size in enumerate((sizes[0], sizes[-1]), 1):
            Image.new("RGB", size, (number * 50, 0, 0)).save(folder / split / f"{number}.png")
        write(folder / split / "a.json", images, boxes)


def _judged(task: Any, said: list[dict[str, torch.Tensor]]) -> float:
    """mAP of what is said of the first image, where nothing is said of the second."""
    numbers = task._numbers(fcos())
    assert numbers == {3: 1, 7: 2}
    nothing = {name: one[:0] for name, one in said[0].items()}
    targets = [
        replace(one, labels=torch.full_like(one.labels, 2)) for one in task._data.targets(Split.TEST, np.arange(2))
    ]
    return task.purpose.statistic(task.purpose.rows([*said, nothing], (), targets))


def test_sizes_that_the_file_says_need_no_image_to_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _one(tmp_path, [box(1, 1, 7, (10, 4, 20, 8))], (40, 20))
    for file in tmp_path.rglob("*.json"):
        content = json.loads(file.read_text())
        for one in content["images"]:
            one |= {"width": 40, "height": 20}
        file.write_text(json.dumps(content))
    monkeypatch.setattr("secateur.engine.tasks.coco.image_size", lambda file: pytest.fail(f"{file} was opened"))
    (target,) = _open(tmp_path, size=(40, 20))._data.targets(Split.TRAIN, np.arange(1))
    assert target.boxes.tolist() == [[5, 8, 15, 24]]
