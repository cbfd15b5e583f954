"""Opens a task from its specification: a table from kind to opener. Opening loads torch."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

from ..errors import DataError, Message
from ..foreign_code.consent import Consent, consent_to
from ..storage.file_limits import foreign_reader
from .protocol import BATCHES, Task, TaskSpec

FORMS = Message(
    "task.forms",
    "a folder of images with one sub-folder for each class or COCO-style annotations, an .npz, .parquet, .csv, .tsv "
    "or .txt file, a .yaml of Ultralytics' form, or a task.py",
)
BUNDLED = "bundled"
"""The sample: the word for its path, and its kind."""
KINDS = {
    ".npz": "arrays",
    ".parquet": "parquet",
    ".arrow": "parquet",
    ".tsv": "csv",
    ".csv": "csv",
    ".txt": "text",
    ".json": "coco",
    ".yaml": "ultralytics",
    ".yml": "ultralytics",
    ".py": "file",
}
"""Ending of a file to the kind that it is opened as."""
RESIZED = ("folder", "masks", "parquet", "coco", "ultralytics")
"""Kinds whose images are decoded, and resized where a size is given."""

TABLES = ("csv", "parquet")
"""Kinds that are tables: their classes may be words."""
NAMED = (*TABLES, "folder")
"""Kinds whose classes the model may number in an order of its own."""


def open_task(spec: TaskSpec, consent: Consent | None = None) -> Task:
    """Open what evaluates a model.

    Args:
        spec: What to open.
        consent: What code may run; None where the caller names the task by hand: that very file.

    Raises:
        TaskError: The data cannot be used, with the reason.
    """
    if spec.kind not in OPENERS:
        raise DataError(
            "task.kind", "Unknown kind of task {kind}. Choose one of {kinds}.", kind=spec.kind, kinds=", ".join(OPENERS)
        )
    module, name = OPENERS[spec.kind]
    with foreign_reader(spec.path or spec.kind, DataError):
        opener = getattr(import_module(f".{module}", __package__), name)
        if spec.kind == "file":
            return opener(spec, consent_to(spec.code) if consent is None else consent)
        return opener(spec)


def kind_of(path: str) -> str:
    """The kind that a path is opened as, by its ending or by what a folder holds; "" is the bundled task."""
    if not path:
        return BUNDLED
    _require_path(path)
    where = Path(path)
    kind = _kind_of_folder(where) if where.is_dir() else KINDS.get(where.suffix.lower(), "")
    if not kind:
        raise DataError(
            "task.unknown_file", "{path} is not a kind of data that can be read. Name {forms}.", path=path, forms=FORMS
        )
    return kind


def require_place(spec: TaskSpec) -> None:
    """Raise DataError where the path cannot hold data of its kind, by names of files alone: before a model is read.

    A folder that holds nothing else counts as one of images, so images are looked for.
    """
    if spec.path:
        _require_path(spec.path)
    if spec.kind == "folder":
        from .folder import require_images

        require_images(spec.path)


def _require_path(path: str) -> None:
    if not Path(path).exists():
        raise DataError("task.missing", "{path} does not exist. Name {forms}.", path=path, forms=FORMS)


def task_at(path: str, size: tuple[int, int] | None = None) -> TaskSpec:
    """The specification of the data at a path, where nothing else is said of it; "bundled" is the sample.

    Args:
        path: File or folder.
        size: (height, width) that images are resized to, where they are decoded at all; None for as they are.
    """
    path = "" if path == BUNDLED else path
    kind = kind_of(path)
    return TaskSpec(kind, path, size=size if kind in RESIZED else None, batch=BATCHES.get(kind, TaskSpec("").batch))


def with_kind(spec: TaskSpec) -> TaskSpec:
    """A specification, its kind found where it was left open; raises DataError where nothing usable is there."""
    if spec.kind:
        return spec
    found = task_at(spec.path, spec.size)
    return replace(spec, kind=found.kind, size=found.size, batch=spec.batch or found.batch)


def _kind_of_folder(folder: Path) -> str:
    """By the files of the splits (train.csv), MNIST's and CIFAR's files, masks, annotations; otherwise images.

    Names that end in splits (reviews_train.csv) count where there is no folder: beside those of images they are others.
    """
    from .coco_files import annotation_files
    from .splitting import ending_splits, folders_in, named_splits

    tables = [(kind, suffix) for suffix, kind in KINDS.items() if kind in ("parquet", "csv", "text", "arrays")]
    found = next((kind for kind, suffix in tables if named_splits(folder, (suffix,))), "")
    if found:
        return found
    places = (folder, folder / "raw")
    if any(any(place.glob("*-images-idx3-ubyte*")) for place in places):
        return "idx"
    if any((place / "masks").is_dir() and (place / "images").is_dir() for place in (folder, *folder.glob("*"))):
        return "masks"
    if annotation_files(folder):
        return "coco"
    cifar = any(folder.glob("data_batch_1*")) or (folder / "train.bin").is_file()
    if cifar or folders_in(folder):
        return "cifar" if cifar else "folder"
    return next((kind for kind, suffix in tables if ending_splits(folder, (suffix,))), "folder")


OPENERS = {
    "bundled": ("arrays", "open_bundled"),
    "arrays": ("arrays", "open_arrays"),
    "folder": ("folder", "open_folder"),
    "file": ("user_task", "open_file"),
    "parquet": ("tables.open", "open_parquet"),
    "csv": ("tables.open", "open_csv"),
    "text": ("texts", "open_text"),
    "idx": ("binary_images", "open_idx"),
    "cifar": ("binary_images", "open_cifar"),
    "masks": ("masks", "open_masks"),
    "coco": ("coco", "open_coco"),
    "ultralytics": ("ultralytics_data", "open_ultralytics"),
}
"""Kind to the module and the function that open it. They are imported then, because most of them load torch."""
