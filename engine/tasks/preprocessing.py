"""How images become a model's input, as its source says: mean and deviation, resize, crop, interpolation. No torch.

torchvision's weights, timm's configurations and the `preprocessor_config.json` of Hugging Face say it. What the user
says of the data goes before that; what was found is noted in the specification, so that it is told from what was asked
for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ..errors import Message
from .protocol import FOUND_PREPROCESSING, INTERPOLATION, RESIZE, Interpolation, TaskSpec, option

DECODED = ("folder", "parquet", "masks", "ultralytics")
"""Kinds of data whose images are decoded: they can be resized and cropped."""
BYTES_OF_PIXELS = (*DECODED, "idx", "cifar")
"""Kinds of data whose images are bytes for certain; numbers in arrays may be normalised already."""

MEANS, SIZES = "means", "sizes"
"""Parts of a preparation."""


PILLOW = {
    0: Interpolation.NEAREST,
    1: Interpolation.BICUBIC,
    2: Interpolation.BILINEAR,
    3: Interpolation.BICUBIC,
}
"""Pillow's numbers, which Hugging Face's processors write down; 1 is Lanczos, whose nearest relative is bicubic."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to an image.

    Attributes:
        origin: Who says it: the name of the weights or of the file.
        mean: Per channel, subtracted from pixels of 0..1; () where nothing is said.
        std: Per channel, divided by.
        resize: (height, width), or one number for the shorter side; () for none.
        crop: (height, width) in the middle, None for none.
        interpolation: Of the resizing.
    """

    origin: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: tuple[int, ...] = ()
    crop: tuple[int, int] | None = None
    interpolation: Interpolation = Interpolation.BILINEAR


def preprocessed_as(spec: TaskSpec, found: Preprocessing | None) -> TaskSpec:
    """A specification of images with what a model's source says of their preparation, where nobody said it.

    What another model's source had said before is taken back. Means and sizes are each taken over as a whole: half of
    a preparation fits neither side.
    """
    if found is None or spec.kind not in BYTES_OF_PIXELS:
        return spec
    spec, taken = without_found(spec), list[str]()
    if found.mean and not (spec.mean or spec.std):
        spec, taken = replace(spec, mean=found.mean, std=found.std), [MEANS]
    sized = spec.size is not None or option(spec, RESIZE) or option(spec, INTERPOLATION)
    if spec.kind in DECODED and not sized and (found.resize or found.crop is not None):
        given = ((RESIZE, "x".join(map(str, found.resize))), (INTERPOLATION, str(found.interpolation)))
        options = (*spec.options, *((name, value) for name, value in given if found.resize))
        spec, taken = replace(spec, size=found.crop, options=options), [*taken, SIZES]
    if not taken:
        return spec
    noted = {"origin": found.origin} | {what: _values(spec, what) for what in taken}
    return replace(spec, options=(*spec.options, (FOUND_PREPROCESSING, json.dumps(noted))))


def without_found(spec: TaskSpec) -> TaskSpec:
    """A specification as it was asked for, without the preparation that was found; what was changed since stays."""
    if not option(spec, FOUND_PREPROCESSING):
        return spec
    still, dropped = _still_found(spec), {FOUND_PREPROCESSING}
    if MEANS in still:
        spec = replace(spec, mean=(), std=())
    if SIZES in still:
        spec, dropped = replace(spec, size=None), {*dropped, RESIZE, INTERPOLATION}
    return replace(spec, options=tuple(one for one in spec.options if one[0] not in dropped))


def remark_on_found(spec: TaskSpec) -> Message | None:
    """What was found of the preparation and by whom, in words; None where all was asked for."""
    still, parts = _still_found(spec), list[str]()
    if SIZES in still:
        resize, interpolation = option(spec, RESIZE), option(spec, INTERPOLATION)
        parts += [f"resize {resize} ({interpolation})"] if resize else []
        parts += [f"crop {spec.size[0]}x{spec.size[1]}"] if spec.size else []
    if MEANS in still:
        parts += [f"mean {', '.join(f'{v:g}' for v in spec.mean)}", f"std {', '.join(f'{v:g}' for v in spec.std)}"]
    if not parts:
        return None
    template = "Images are prepared as {origin} says: {values}. Enter other values if the model was trained otherwise."
    origin = json.loads(option(spec, FOUND_PREPROCESSING))["origin"]
    return Message("task.found_preprocessing", template, {"origin": origin, "values": "; ".join(parts)})


def _still_found(spec: TaskSpec) -> tuple[str, ...]:
    """Which parts of a preparation are as they were found."""
    noted: dict[str, Any] = json.loads(option(spec, FOUND_PREPROCESSING, "{}"))
    return tuple(what for what in (MEANS, SIZES) if what in noted and noted[what] == _values(spec, what))


def _values(spec: TaskSpec, what: str) -> list[Any]:
    """The values of a part of a preparation, as JSON has them."""
    if what == MEANS:
        return [list(spec.mean), list(spec.std)]
    return [list(spec.size or ()), option(spec, RESIZE), option(spec, INTERPOLATION)]


def of_torchvision(weights: Any) -> Preprocessing | None:
    """What a member of torchvision's `WeightsEnum` says for images with a class; None for other purposes."""
    told: dict[str, Any] = getattr(weights.transforms, "keywords", {})
    if "crop_size" not in told or not isinstance(told["crop_size"], int):
        return None
    mode = getattr(told.get("interpolation"), "value", "bilinear")
    return Preprocessing(
        str(weights),
        tuple(told.get("mean", (0.485, 0.456, 0.406))),
        tuple(told.get("std", (0.229, 0.224, 0.225))),
        (int(told.get("resize_size", 256)),),
        (told["crop_size"], told["crop_size"]),
        Interpolation(mode),
    )


def of_timm(name: str, told: Mapping[str, Any]) -> Preprocessing:
    """What timm's configuration of a pretrained model says."""
    height, width = (int(v) for v in told["input_size"][-2:])
    share = float(told.get("crop_pct") or 0.875)
    squashed = told.get("crop_mode") == "squash"
    resize = (int(height / share), int(width / share)) if squashed or height != width else (int(height / share),)
    mode = str(told.get("interpolation") or "bilinear")
    known = mode in set(Interpolation)
    return Preprocessing(
        f"timm's configuration of {name}",
        tuple(map(float, told["mean"])),
        tuple(map(float, told["std"])),
        resize,
        (height, width),
        Interpolation(mode) if known else Interpolation.BICUBIC,
    )


def of_hugging_face(origin: str, told: Mapping[str, Any]) -> Preprocessing | None:
    """What the `preprocessor_config.json` of an image processor says; None where it is none, or holds other values."""
    try:
        scaled = bool(told.get("do_rescale", True)) and abs(float(told.get("rescale_factor", 1 / 255)) - 1 / 255) < 1e-6
        if not scaled or "image_mean" not in told:
            return None
        normalised = bool(told.get("do_normalize", True))
        mean = tuple(map(float, told["image_mean"])) if normalised else (0.0,)
        std = tuple(map(float, told["image_std"])) if normalised else (1.0,)
        resize = _sides(told.get("size")) if told.get("do_resize", True) else ()
        crop = _sides(told.get("crop_size")) if told.get("do_center_crop", False) else ()
        whole = (crop[0], crop[-1]) if crop else ((resize[0], resize[1]) if len(resize) == 2 else None)
        mode = PILLOW.get(int(told.get("resample", 2)), Interpolation.BILINEAR)
    except (TypeError, ValueError, KeyError):
        return None
    return Preprocessing(origin, mean, std, resize, whole, mode)


def _sides(size: Any) -> tuple[int, ...]:
    """Hugging Face's ways to write a size: a number, the shorter side, or height and width."""
    if isinstance(size, int):
        return (size,)
    if isinstance(size, Mapping):
        named = cast("Mapping[str, Any]", size)
        if "shortest_edge" in named:
            return (int(named["shortest_edge"]),)
        return (int(named["height"]), int(named["width"])) if "height" in named else ()
    return tuple(int(v) for v in cast("Sequence[Any]", size or ()))
