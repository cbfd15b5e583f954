"""Finds and reads COCO-style annotations: the file of each split, its images, and their boxes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import DataError, Message
from ..storage.file_limits import check_special, check_unpacked, parse_json
from .protocol import Split
from .splitting import ALIASES

FOLDER, PREFERRED = "annotations", "instances"
LISTS = ("images", "annotations", "categories")
BEGINNING = 4096
"""Bytes of a file that tell what it is."""


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its boxes.

    Attributes:
        file: The image.
        boxes: x, y, width, height in pixels, each above 0 in size.
        categories: Category id of each box.
        crowd: Whether a box stands for a crowd, which is neither trained on nor counted.
        areas: Of what is in each box, in pixels.
        size: (width, height) that the boxes are in, as the file says; None where it does not.
    """

    file: Path
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list[tuple[float, float, float, float]])
    categories: list[int] = field(default_factory=list[int])
    crowd: list[bool] = field(default_factory=list[bool])
    areas: list[float] = field(default_factory=list[float])
    size: tuple[int, int] | None = None


def annotation_files(root: Path) -> dict[Split, Path]:
    """The file of each split; TRAIN alone for a single one, {} where there is none.

    Files are in the folder, in `annotations` or in the folders of the splits. The split is named by the folder
    (`train/_annotations.coco.json`) or by a part of the name (`instances_train2017.json`); of several files of a split
    the one that is called `instances` counts.
    """
    if root.is_file():
        return {Split.TRAIN: root}
    places = [root, root / FOLDER, *(one for one in sorted(root.iterdir()) if one.name.lower() in ALIASES)]
    files = [
        file for place in places if place.is_dir() for file in sorted(place.glob("*.json")) if _has_annotations(file)
    ]
    by_split: dict[Split, list[Path]] = {}
    for file in files:
        # By the folder, or by a word of the name without its year.
        words = re.split(r"[^a-z]+", file.stem.lower())
        folder = file.parent.name.lower() if file.parent != root else ""
        split = next((ALIASES[word] for word in (folder, *words) if word in ALIASES), None)
        if split is not None:
            by_split.setdefault(split, []).append(file)
    if by_split:
        return {split: _preferred(some) for split, some in by_split.items()}
    return {Split.TRAIN: _preferred(files)} if files else {}


def read_annotations(file: Path, root: Path) -> tuple[list[AnnotatedImage], dict[int, str]]:
    """The images of a file in its order, and the names of the categories by their ids.

    Raises:
        DataError: The file is damaged or no such file, or an image is not there.
    """
    try:
        check_special(file, DataError)
        check_unpacked(file, file.stat().st_size, error=DataError)
        content: Any = parse_json(file.read_bytes())
    except (OSError, ValueError) as error:
        template = "{path} is not readable JSON. Choose another file."
        raise DataError("coco.not_json", template, details=str(error), path=str(file)) from error
    missing = [name for name in LISTS if not isinstance(content, dict) or name not in content]
    if missing:
        reason = Message("coco.lacks", "it lacks {names}", {"names": ", ".join(missing)})
        template = "{path} is not a COCO-style file of boxes: {reason}. Correct it, or choose another file."
        raise DataError("coco.damaged", template, path=str(file), reason=reason)
    content = cast("dict[str, Any]", content)
    try:
        names = {int(one["id"]): str(one.get("name", one["id"])) for one in content["categories"]}
        listed = {one["id"]: str(one["file_name"]) for one in content["images"]}
        folder = _folder_of_images(list(listed.values()), file, root)
        sizes = {one["id"]: (int(one.get("width") or 0), int(one.get("height") or 0)) for one in content["images"]}
        images: dict[Any, AnnotatedImage] = {}
        for number, name in listed.items():
            size = sizes[number]
            images[number] = AnnotatedImage(folder / name, size=size if min(size) > 0 else None)
        for one in content["annotations"]:
            image = images[one["image_id"]]
            x, y, width, height = (float(number) for number in one["bbox"])
            # A box without an area holds nothing.
            if width > 0 and height > 0:
                image.boxes.append((x, y, width, height))
                image.categories.append(int(one["category_id"]))
                image.crowd.append(bool(one.get("iscrowd", 0)))
                image.areas.append(float(one.get("area", width * height)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        template = "{path} is not a COCO-style file of boxes: {reason}. Correct it, or choose another file."
        reason = f"{type(error).__name__} at {error}"
        raise DataError("coco.damaged", template, details=repr(error), path=str(file), reason=reason) from error
    unnamed = {category for one in images.values() for category in one.categories} - names.keys()
    if unnamed:
        template = "{path} has boxes of the category {category}, which its list of categories lacks. Correct the file."
        raise DataError("coco.category", template, path=str(file), category=min(unnamed))
    return list(images.values()), names


def _has_annotations(file: Path) -> bool:
    """Whether a JSON begins as annotations do: folders of images may hold other files too."""
    if not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            begin = opened.read(BEGINNING)
    except OSError:
        return False
    return re.search(rf'"({"|".join((*LISTS, "licenses"))})"\s*:\s*\['.encode(), begin) is not None


def _preferred(files: Sequence[Path]) -> Path:
    return next((one for one in files if one.stem.lower().startswith(PREFERRED)), files[0])


def _folder_of_images(names: Sequence[str], file: Path, root: Path) -> Path:
    """Where the images are: beside the file, in `images`, or in a folder that is called as the file's split is."""
    here, base = file.parent, root if root.is_dir() else root.parent
    named = re.split(r"[^A-Za-z0-9]+", file.stem)
    inner = [Path(), Path("images"), *(Path(word) for word in named), *(Path("images") / word for word in named)]
    places = [place / one for place in (here, base, here.parent) for one in inner]
    first = names[0] if names else ""
    found = next((place for place in places if (place / first).is_file()), None)
    if found is None:
        template = "Image {name} of {path} not found. Put the images beside the file or into a folder images."
        raise DataError("coco.images", template, name=first, path=str(file))
    absent = next((name for name in names if not (found / name).is_file()), None)
    if absent is not None:
        template = "Image {name} of {path} is not in {folder} with the others. Put it there."
        raise DataError("coco.image", template, name=absent, path=str(file), folder=str(found))
    return found
