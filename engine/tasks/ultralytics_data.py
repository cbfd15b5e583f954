"""Data in Ultralytics' form (a .yaml with train, val, test and names), for their own models: loss and mAP are theirs.

Images are read, resized and, for training, changed at random by their code, without mosaics, as they end each training.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..adapters.ultralytics_yolo import (
    SIZE,
    VALIDATORS,
    is_yolo,
    library,
    loss_of,
    reading_only,
    settings_for,
    task_of,
    validator_of,
)
from ..errors import DataError, Message, SecateurError, TaskError
from ..inference.model_inputs import Inputs
from ..jobs import CancelToken, Job, Progress, check
from ..storage.temporary_folders import temporary_folder
from .image_samples import sample
from .model_outputs import evaluating, run_model
from .protocol import DistillationBatch, Metric, Sample, Split, TaskInfo, TaskSpec
from .splitting import divide, seed_of

METRIC = "mAP50-95"
SHOWN = 5
STRIDE = 32
"""What sides of images are multiples of."""
NOWHERE = Path(os.devnull, "none")
"""Is no file."""


def open_ultralytics(spec: TaskSpec) -> "UltralyticsTask":
    """Open a .yaml of images with what is in them; raises DataError for any other, and downloads nothing."""
    if not Path(spec.path).is_file():
        template = "{path} does not exist. Name a .yaml with train, val and names."
        raise DataError("yolo.no_data", template, path=spec.path)
    try:
        with temporary_folder() as folder:
            file = folder / Path(spec.path).name
            library("utils").YAML.save(file, _read_yaml(Path(spec.path)))
            data = library("data.utils").check_det_dataset(file, autodownload=False)
    except SecateurError:
        raise
    # The package raises many kinds, with many lines of advice.
    except Exception as error:
        template = (
            "{path} is not a data set of Ultralytics' form. Name a .yaml with train, val and names, whose images are "
            "there: nothing is downloaded."
        )
        raise DataError("yolo.data", template, str(error), path=spec.path) from error
    return UltralyticsTask(spec, data)


def _read_yaml(path: Path) -> dict[str, Any]:
    """What a .yaml says, with its folders absolute, all of them in its own or in the user's folder of data sets.

    Raises:
        DataError: It names another place; that is not even looked at, for it may be another machine's.
    """
    said = dict(library("utils").YAML.load(path))
    folders = Path(os.path.abspath(path.parent)), Path(library("utils").DATASETS_DIR)
    roots = [_below(folders, one / str(said.get("path") or ""), path) for one in folders]
    root = next((one for one in roots if one.exists()), roots[0])
    for name in {"train", "val", "validation", "test", "minival"} & said.keys():
        named = said[name] if isinstance(said[name], list) else [said[name]] if said[name] else []
        said[name] = [str(_images(folders, root, str(one), path)) for one in named]
    said.pop("download", None)
    return said | {"path": str(root)}


def _images(folders: Sequence[Path], root: Path, named: str, path: Path) -> Path:
    """A folder of images, or a file that lists some."""
    if not _is_below(folders, root / named):
        named = named.removeprefix("../")  # the package tries that too, for what labelling services export
    found = _below(folders, root / named, path)
    if found.is_file():
        for line in filter(None, map(str.strip, found.read_text(encoding="utf-8-sig").splitlines())):
            _below(folders, found.parent / line if line.startswith("./") else Path(os.path.abspath(line)), path)
    return found


def _below(folders: Sequence[Path], found: Path, path: Path) -> Path:
    if not _is_below(folders, found):
        template = "{path} names {found}, which lies outside {folder}. Put the .yaml into the folder with its images."
        raise DataError("yolo.outside", template, path=str(path), found=str(found), folder=str(folders[0]))
    return Path(os.path.normpath(found))


def _is_below(folders: Sequence[Path], found: Path) -> bool:
    return any(Path(os.path.normpath(found)).is_relative_to(os.path.normpath(one)) for one in folders)


class UltralyticsTask:
    """Images with labels, for a model of the package (a `Task`); a batch is the dict that its datasets make.

    Attributes:
        spec: Where it came from.
    """

    def __init__(self, spec: TaskSpec, data: Mapping[str, Any]) -> None:
        """Judge and train by `data`, as `check_det_dataset` gives it."""
        self.spec = spec
        self._data = data
        self._model: Any = None
        self._read: dict[tuple[Split, bool], Any] = {}
        self._rows: dict[Split, tuple[Split, NDArray[np.int64]]] = {}

    def info(self, model: Any | None) -> TaskInfo:
        """Title, sizes and samples; the first model given says what the labels mean."""
        if model is not None and self._model is None:
            if not is_yolo(model) or task_of(model) not in VALIDATORS:
                template = (
                    "Data of Ultralytics' form ({path}) evaluates Ultralytics models that find boxes, masks or key "
                    "points, and {kind} is not one. Describe the task in a task.py."
                )
                raise TaskError("yolo.model", template, path=self.spec.path, kind=type(model).__name__)
            classes, own = len(self._data["names"]), len(cast("Mapping[int, str]", model.names))
            if own != classes:
                template = (
                    "The data has {classes} classes, but the model finds {own}. Open the data that it was trained on, "
                    "or write nc: {classes} into its .yaml."
                )
                raise TaskError("yolo.classes", template, classes=classes, own=own)
            self._model = model
        known = self._model is not None
        return TaskInfo(
            title=Path(self.spec.path).name,
            sizes={split.value: len(self._of(split)[1]) if known else 0 for split in Split},
            classes=tuple(str(name) for name in self._data["names"].values()),
            metric=METRIC,
            samples=self._samples() if known else (),
        )

    def example_inputs(self) -> Inputs:
        """The first two training images; they need no labels, whose form the model says."""
        loader = library("data.loaders").LoadImagesAndVideos(self._data["train"], batch=2)
        _, images, _ = next(iter(loader))
        fit = library("data.augment").LetterBox(self._size(), auto=False, stride=STRIDE)
        pixels = np.stack([fit(image=images[number % len(images)]) for number in range(2)])
        return (torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2))).float() / 255,)

    def batches(self, split: Split, seed: int | None = None) -> Iterator[dict[str, Any]]:
        """Images and labels, in order and as they are, or shuffled by `seed` and, for training, changed at random."""
        source, rows = self._of(split)
        data = self._dataset(source, changed=seed is not None and split is Split.TRAIN)
        if seed is not None:
            rows = np.random.default_rng(seed).permutation(rows)
        for start in range(0, len(rows), self.spec.batch):
            batch = data.collate_fn([data[row] for row in map(int, rows[start : start + self.spec.batch])])
            yield batch | {"img": batch["img"].float() / 255}

    def batch_count(self, split: Split) -> int:
        """Batches of a pass, the last one may be smaller."""
        return -(-len(self._of(split)[1]) // self.spec.batch)

    def inputs(self, batch: Any) -> Inputs:
        """The images."""
        return (batch["img"],)

    def distillation_batch(self, batch: Any) -> DistillationBatch:
        """All outputs, as numbers: scores are of boxes that overlap."""
        return DistillationBatch(self.inputs(batch), logits=False)

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        """The model's own loss of an image, on average."""
        return loss_of(model, batch)

    def evaluate(self, predict: Any, split: Split, token: CancelToken) -> Job[Metric]:
        """Mean average precision of boxes (of masks, of key points, where the task has them), by their validator."""
        source, rows = self._of(split)
        shown = Message("progress.evaluating", "Evaluating on the {split} split", {"split": split.value})
        with temporary_folder() as folder, evaluating(predict):
            validator = validator_of(self._model, self._data, self._dataset(source), folder)
            done = 0
            for batch in self.batches(split):
                check(token)
                found = run_model(predict, self.inputs(batch))
                with torch.no_grad():
                    validator.update_metrics(validator.postprocess(found), batch)
                done += len(batch["img"])
                yield Progress(shown, done, len(rows))
            value = [float(value) for name, value in validator.get_stats().items() if METRIC in name][-1]
        return Metric(name=METRIC, value=value, count=len(rows), error=0.0, split=split)

    def _size(self) -> int:
        """The side of the square that images are fitted into."""
        return -(-max(self.spec.size or (SIZE,)) // STRIDE) * STRIDE

    def _of(self, split: Split) -> tuple[Split, NDArray[np.int64]]:
        """Which split of the data the images of a split lie in, and which they are."""
        if not self._rows:
            given = [one for one in Split if self._data.get(one.value)]
            self._rows = divide({one: len(self._dataset(one)) for one in given}, seed_of(self.spec))
        return self._rows[split]

    def _dataset(self, source: Split, changed: bool = False) -> Any:
        """Images and labels of a split that the data names."""
        if self._model is None:
            raise TaskError("yolo.no_model", "Data of Ultralytics' form needs a model. Open one with it.")
        if (source, changed) not in self._read:
            settings = settings_for(self._model, imgsz=self._size(), mosaic=0.0, workers=0)
            try:
                with reading_only():
                    found = library("data").build_yolo_dataset(
                        settings,
                        self._data[source.value],
                        self.spec.batch,
                        dict(self._data),
                        mode="train" if changed else "val",
                        rect=False,
                        stride=STRIDE,
                        fraction=1.0,
                    )
            # What the package raises where images or labels cannot be read.
            except (OSError, RuntimeError, ValueError) as error:
                template = "The {split} images of {path} or their labels cannot be read. Look at them."
                raise DataError("yolo.images", template, str(error), split=source.value, path=self.spec.path) from error
            # The package would rewrite or remove arrays beside the images.
            found.npy_files = [NOWHERE] * len(found.im_files)
            self._read[source, changed] = found
        return self._read[source, changed]

    def _samples(self) -> tuple[Sample, ...]:
        """The first validation images, with the names of what is in them."""
        source, rows = self._of(Split.VAL)
        data, names = self._dataset(source), self._data["names"]
        found: list[Sample] = []
        for row in map(int, rows[:SHOWN]):
            one = data[row]
            classes = [str(names[int(number)]) for number in one["cls"].reshape(-1)]
            words = ", ".join(f"{classes.count(name)} {name}" for name in dict.fromkeys(classes))
            found.append(sample(one["img"].float() / 255, words or "nothing", ""))
        return tuple(found)
