"""Images are resized and cropped as said, and as torchvision's, timm's and Hugging Face's own descriptions mean it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from secateur.engine.errors import DataError
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.preprocessing import (
    of_hugging_face,
    of_timm,
    of_torchvision,
    preprocessed_as,
    remark_on_found,
    without_found,
)
from secateur.engine.tasks.protocol import Interpolation, Split, TaskSpec

from .makers import spec, write_folder

WEIGHTS = models.ResNet50_Weights.IMAGENET1K_V2
VIT = {
    "do_resize": True,
    "size": {"height": 16, "width": 16},
    "resample": 3,
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Smooth images of one size, so that rounding on the way is what differs."""
    write_folder(tmp_path, {"a": 6, "b": 6}, (4, 5))
    for file in tmp_path.rglob("*.png"):
        Image.open(file).resize((70, 50), Image.Resampling.BICUBIC).save(file)
    return tmp_path


def first_of(task: TaskSpec) -> tuple[torch.Tensor, Path]:
    """The first image of the train split as the model gets it, and as pixels [C, H, W] of its file."""
    opened = open_task(task)
    x = next(iter(opened.batches(Split.TRAIN)))[0][0]
    whole = open_task(replace(task, size=None, mean=(), std=(), options=()))
    return x, next(iter(whole.batches(Split.TRAIN)))[0][0]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_resize_crop_and_interpolation_are_those_of_torchvision(pictures: Path, mode: str) -> None:
    options = (("resize", "30"), ("interpolation", mode))
    x, pixels = first_of(spec("folder", pictures, size=(24, 28), options=options))
    sides = functional.resize(functional.to_pil_image(pixels), [30], InterpolationMode(mode))
    expected = functional.pil_to_tensor(functional.center_crop(sides, [24, 28])).float() / 255
    assert x.shape == (3, 24, 28)
    torch.testing.assert_close(x, expected, rtol=0, atol=2.5 / 255)


def test_both_sides_may_be_resized_and_nothing_cropped(pictures: Path) -> None:
    x, _ = first_of(spec("folder", pictures, options=(("resize", "20x24"),)))
    assert x.shape == (3, 20, 24)


@pytest.mark.parametrize("wrong", [("resize", "0"), ("resize", "big"), ("interpolation", "cubic")])
def test_what_is_no_way_to_resize_is_refused(pictures: Path, wrong: tuple[str, str]) -> None:
    options = (("resize", "20"), wrong) if wrong[0] == "interpolation" else (wrong,)
    with pytest.raises(DataError, match=r"Enter the shorter side|Choose one of"):
        first_of(spec("folder", pictures, options=options))


def test_a_crop_beyond_the_image_is_no_crash(pictures: Path) -> None:
    x, _ = first_of(spec("folder", pictures, size=(64, 64), options=(("resize", "32"),)))
    assert x.shape == (3, 64, 64)  # with a margin of zeros, as torchvision's CenterCrop gives


def test_the_transforms_of_torchvisions_weights_are_taken_over(pictures: Path) -> None:
    found = of_torchvision(WEIGHTS)
    assert found is not None
    made = preprocessed_as(spec("folder", pictures), found)
    x, pixels = first_of(made)
    expected = WEIGHTS.transforms()(functional.to_pil_image(pixels))
    torch.testing.assert_close(x, expected, rtol=0, atol=2.5 / 255 / 0.224)
    assert of_torchvision(models.segmentation.FCN_ResNet50_Weights.DEFAULT) is None


def test_timms_share_of_the_crop_gives_the_resize() -> None:
    told = {"input_size": (3, 224, 224), "mean": (0.5,) * 3, "std": (0.2,) * 3, "crop_pct": 0.875}
    found = of_timm("resnet", {**told, "interpolation": "bicubic"})
    assert (found.resize, found.crop, found.interpolation) == ((256,), (224, 224), Interpolation.BICUBIC)
    assert of_timm("resnet", {**told, "crop_mode": "squash"}).resize == (256, 256)


def test_hugging_faces_processor_is_understood() -> None:
    found = of_hugging_face("preprocessor_config.json", VIT)
    assert found is not None
    assert (found.resize, found.crop, found.interpolation) == ((16, 16), (16, 16), Interpolation.BICUBIC)
    convnext = {**VIT, "size": {"shortest_edge": 32}, "crop_size": 28, "do_center_crop": True, "resample": 2}
    found = of_hugging_face("preprocessor_config.json", convnext)
    assert found is not None
    assert (found.resize, found.crop, found.interpolation) == ((32,), (28, 28), Interpolation.BILINEAR)
    assert of_hugging_face("preprocessor_config.json", {"feature_extractor_type": "Whisper"}) is None
    assert of_hugging_face("preprocessor_config.json", {**VIT, "rescale_factor": 1 / 127.5}) is None
    assert of_hugging_face("preprocessor_config.json", {**VIT, "size": "large"}) is None


def test_what_is_said_of_the_data_goes_before_what_was_found() -> None:
    found, asked = of_torchvision(WEIGHTS), TaskSpec("folder", "p", mean=(0.1,), std=(0.2,))
    made = preprocessed_as(asked, found)
    assert made.mean == (0.1,) and made.size == (224, 224)
    assert "resize 232 (bilinear); crop 224x224. Enter" in str(remark_on_found(made))
    sized = preprocessed_as(TaskSpec("folder", "p", size=(32, 32)), found)
    assert sized.size == (32, 32) and sized.mean == (0.485, 0.456, 0.406) and "resize" not in dict(sized.options)
    assert without_found(made) == asked and without_found(preprocessed_as(made, found)) == asked
    changed = replace(preprocessed_as(TaskSpec("folder", "p"), found), mean=(0.5,), std=(0.5,))  # in the window
    assert preprocessed_as(changed, found).mean == (0.5,) and without_found(changed).size is None
    assert "mean" not in str(remark_on_found(changed))
    said = TaskSpec("folder", "p", (0.1,), (0.2,), (32, 32))
    assert preprocessed_as(said, found) == said and remark_on_found(said) is None


def test_numbers_in_arrays_and_tables_are_left_alone() -> None:
    for kind in ("arrays", "csv", "text", "file", "bundled"):
        assert preprocessed_as(TaskSpec(kind, "p"), of_torchvision(WEIGHTS)) == TaskSpec(kind, "p")


def test_class_folders_with_one_image_each_are_divided_and_opened(tmp_path: Path) -> None:
    write_folder(tmp_path / "plain", dict.fromkeys("abcdefghij", 1))
    plain = open_task(spec("folder", tmp_path / "plain"))
    sizes = plain.info(None).sizes
    assert sizes == {"train": 8, "val": 1, "test": 1} and len(plain.info(None).classes) == 10
    for part in ("train", "val"):
        write_folder(tmp_path / "split" / part, dict.fromkeys("abc", 1))
    assert open_task(spec("folder", tmp_path / "split")).info(None).sizes == {"train": 3, "val": 2, "test": 1}
    assert np.isin(next(iter(plain.batches(Split.TRAIN)))[1].numpy(), np.arange(10)).all()
