"""Ultralytics' YOLO models: their package, what their heads give, their loss and their validation. Loads torch.

The package is the user's own: its licence keeps it out of our extras. It is imported offline, without its habit to
install what it misses, and silent, unless the user's environment says otherwise.
"""

import contextlib
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import SecateurError

PACKAGE = "ultralytics"
SURROUNDINGS = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
"""Variables of the environment that the package reads while it is imported."""
SIZE = 640
"""Side of the images that models take where nothing else is said."""
LEAST = 64
"""Side of the smallest images that all models take."""
GAINS = ("box", "cls", "dfl", "pose", "kobj", "rle", "angle", "overlap_mask", "mask_ratio")
"""Settings of a model's training that its loss reads."""
COLOURS = ("hsv_h", "hsv_s", "hsv_v", "bgr")
PLACES = ("degrees", "translate", "scale", "shear", "perspective", "flipud", "fliplr")
MIXTURES = ("mixup", "cutmix", "copy_paste", "copy_paste_mode")
TAKEN_OVER = frozenset((*GAINS, *COLOURS, *PLACES, *MIXTURES))
"""Settings of a training that are the model's: its loss, and how its images change. Others concern that run alone."""
VALIDATORS = {
    "detect": "yolo.detect:DetectionValidator",
    "segment": "yolo.segment:SegmentationValidator",
    "pose": "yolo.pose:PoseValidator",
    "obb": "yolo.obb:OBBValidator",
}
"""Tasks whose data is a .yaml file, and what validates them, below `ultralytics.models`."""


def library(module: str = "") -> Any:
    """A module of the package ("nn.tasks"), by default itself; raises SecateurError where it is not installed."""
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    try:
        return import_module(f"{PACKAGE}.{module}" if module else PACKAGE)
    except ImportError as error:
        template = (
            "Ultralytics YOLO needs the package ultralytics, which is not installed. Mind its licence (AGPL-3.0), and "
            "install it: pip install ultralytics"
        )
        raise SecateurError("yolo.library", template, str(error)) from error


def is_yolo(model: Any) -> bool:
    """Whether a model is one of the package's."""
    found = getattr(sys.modules.get(f"{PACKAGE}.nn.tasks"), "BaseModel", None)
    return found is not None and isinstance(model, found)


def task_of(model: Any) -> str:
    """What a model of the package is for: "detect", "segment", "pose", "obb", "classify" ..."""
    return str(library("nn.tasks").guess_model_task(dict(model.yaml)))


def trained_with(model: Any) -> dict[str, Any]:
    """The package's settings that a model carries from its training, {} for none."""
    found: Any = getattr(model, "args", None)
    if found is None:
        return {}
    return dict(cast("Mapping[str, Any]", found if isinstance(found, Mapping) else vars(found)))


def image_size(settings: Mapping[str, Any]) -> int:
    """The side of the images in settings that a model was trained with."""
    found = settings.get("imgsz") or SIZE
    return max(cast("Sequence[int]", found)) if isinstance(found, list | tuple) else int(found)


def settings_for(model: Any, **changes: Any) -> Any:
    """The package's settings (a namespace) with a model's own gains and augmentations, and changes."""
    configuration = library("cfg")
    known = TAKEN_OVER & set(configuration.DEFAULT_CFG_DICT)
    own = {name: value for name, value in trained_with(model).items() if name in known}
    return configuration.get_cfg(overrides={**own, "task": task_of(model), **changes})


def loss_of(model: Any, batch: Mapping[str, Any]) -> Tensor:
    """A model's own loss of an image, on average over a batch: boxes, classes and what else its task has."""
    outputs, own = model(batch["img"]), getattr(model, "args", None)
    # The loss reads its settings as attributes, while checkpoints hold them as a dict.
    with contextlib.ExitStack() as stack:
        if own is None or not hasattr(own, "box"):
            model.args = settings_for(model)
            if own is None:
                stack.callback(delattr, model, "args")
            else:
                stack.callback(setattr, model, "args", own)
        parts, _ = model.init_criterion()(outputs, dict(batch))
    return parts.sum() / len(batch["img"])


@contextlib.contextmanager
def reading_only() -> Generator[None]:
    """While a data set is made: its images are looked through, and nothing is written into their folder.

    The package would unpickle a cache of labels, write one, and rewrite JPEGs that lack their end; these are left out.
    """

    def absent(*_: Any) -> Any:
        raise FileNotFoundError

    def kept(_prefix: str, _path: Path, labels: dict[str, Any], version: str) -> None:
        labels["version"] = version  # as the replaced function does, which also writes the file

    def damaged(_image: Any) -> Any:
        raise OSError("the JPEG lacks its end")

    caches = {"load_dataset_cache_file": absent, "save_dataset_cache_file": kept}
    repair = {"ImageOps": SimpleNamespace(exif_transpose=damaged)}
    with _replace_names(library("data.dataset"), caches), _replace_names(library("data.utils"), repair):
        yield


@contextlib.contextmanager
def _replace_names(module: Any, others: Mapping[str, Any]) -> Generator[None]:
    """A module with other values of names that it has."""
    own = {name: getattr(module, name) for name in others}
    vars(module).update(others)
    try:
        yield
    finally:
        vars(module).update(own)


def validator_of(model: Any, data: Mapping[str, Any], dataset: Any, folder: Path) -> Any:
    """What the package validates a model's task with, ready to be given batches.

    Args:
        model: Tells the task and the names of the classes; it is not run.
        data: As `check_det_dataset` gives it.
        dataset: The images that are validated on.
        folder: Where it may write.
    """
    module, _, name = VALIDATORS[task_of(model)].partition(":")
    settings = settings_for(model, plots=False, save_json=False, save_txt=False, mode="val")
    validator = getattr(library(f"models.{module}"), name)(save_dir=folder, args=settings)
    validator.device, validator.data, validator.training = torch.device("cpu"), dict(data), False
    validator.dataloader = SimpleNamespace(dataset=dataset, sampler=())
    validator.init_metrics(SimpleNamespace(names=model.names, end2end=getattr(model, "end2end", False)))
    return validator
