"""Opens a task from its specification: a table from kind to opener. Opening loads torch."""

from collections.abc import Callable
from dataclasses import replace
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
    with foreign_reader(spec.path or spec.kind, DataError):
        return OPENERS[spec.kind](spec, consent_to(spec.code) if consent is None else consent)


def kind_of(path: str) -> str:
    """The kind that a path is opened as, by its ending or by what a folder holds; "" is the bundled task."""
    if not path:
        return BUNDLED
    where = Path(path)
    if not where.exists():
        raise _missing(path)
    kind = _kind_of_folder(where) if where.is_dir() else KINDS.get(where.suffix.lower(), "")
    if not kind:
        raise DataError(
            "task.unknown_file", "{path} is not a kind of data that can be read. Name {forms}.", path=path, forms=FORMS
        )
    return kind


def require_place(spec: TaskSpec) -> None:
    """Raise DataError where no data of its kind can lie, as names of files tell at once: before a model is read.

    A folder is taken for one of images where it holds nothing else: those are looked for.
    """
    if spec.path and not Path(spec.path).exists():
        raise _missing(spec.path)
    if spec.kind == "folder":
        from .folder import require_images

        require_images(spec.path)


def _missing(path: str) -> DataError:
    return DataError("task.missing", "{path} does not exist. Name {forms}.", path=path, forms=FORMS)


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
    """A specification, its kind found where it was left open; raises DataError where nothing usable lies there."""
    if spec.kind:
        return spec
    found = task_at(spec.path, spec.size)
    return replace(spec, kind=found.kind, size=found.size, batch=spec.batch or found.batch)


def _kind_of_folder(folder: Path) -> str:
    """By the files of the splits (train.csv), MNIST's and CIFAR's files, masks, annotations; otherwise images.

    Names that end in splits (reviews_train.csv) count where there is no folder: beside those of images they are others.
    """
    from .coco_files import annotation_files
    from .split_files import ending_splits, folders_in, named_splits

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


def _bundled(spec: TaskSpec, consent: Consent) -> Task:
    from .bundled import open_bundled

    return open_bundled(spec)


def _arrays(spec: TaskSpec, consent: Consent) -> Task:
    from .arrays import open_arrays

    return open_arrays(spec)


def _folder(spec: TaskSpec, consent: Consent) -> Task:
    from .folder import open_folder

    return open_folder(spec)


def _file(spec: TaskSpec, consent: Consent) -> Task:
    from .user_task import open_file

    return open_file(spec, consent)


def _parquet(spec: TaskSpec, consent: Consent) -> Task:
    from .tables.open import open_parquet

    return open_parquet(spec)


def _csv(spec: TaskSpec, consent: Consent) -> Task:
    from .tables.open import open_csv

    return open_csv(spec)


def _text(spec: TaskSpec, consent: Consent) -> Task:
    from .texts import open_text

    return open_text(spec)


def _idx(spec: TaskSpec, consent: Consent) -> Task:
    from .binary_images import open_idx

    return open_idx(spec)


def _masks(spec: TaskSpec, consent: Consent) -> Task:
    from .masks import open_masks

    return open_masks(spec)


def _coco(spec: TaskSpec, consent: Consent) -> Task:
    from .coco import open_coco

    return open_coco(spec)


def _cifar(spec: TaskSpec, consent: Consent) -> Task:
    from .binary_images import open_cifar

    return open_cifar(spec)


def _ultralytics(spec: TaskSpec, consent: Consent) -> Task:
    from .ultralytics_data import open_ultralytics

    return open_ultralytics(spec)


OPENERS: dict[str, Callable[[TaskSpec, Consent], Task]] = {
    "bundled": _bundled,
    "arrays": _arrays,
    "folder": _folder,
    "file": _file,
    "parquet": _parquet,
    "csv": _csv,
    "text": _text,
    "idx": _idx,
    "cifar": _cifar,
    "masks": _masks,
    "coco": _coco,
    "ultralytics": _ultralytics,
}
