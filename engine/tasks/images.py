"""Decodes images from files or bytes; decoded ones are cached up to `CACHE_BYTES`."""

import warnings
from collections.abc import Hashable, Sequence
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from ..errors import DataError
from ..storage.file_limits import check_special, check_unpacked, disk_size
from .image_samples import standardise
from .protocol import GREY, INTERPOLATION, RESIZE, Interpolation, TaskSpec, one_mean, option

CACHE_BYTES = 512 * 2**20
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `opened_image` has a limit of its own
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF")
"""Formats of images; Pillow knows others that start a program (EPS) or open further files."""
MODES = {
    Interpolation.NEAREST: InterpolationMode.NEAREST_EXACT,  # as Pillow's
    Interpolation.BILINEAR: InterpolationMode.BILINEAR,
    Interpolation.BICUBIC: InterpolationMode.BICUBIC,
}
PIXEL = 4
"""Bytes that Pillow keeps for a pixel."""
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError, ImportError)
"""What Pillow raises for damaged files, for those that would not fit into memory, and where a decoder is missing."""


class ImageReader:
    """Reads images as one task wants them, quickly the second time."""

    def __init__(self, spec: TaskSpec) -> None:
        """Prepare what is asked for: size, normalisation; grey where one mean is given and nobody says otherwise."""
        self._spec = spec
        self._grey = option(spec, GREY, "yes" if one_mean(spec) else "") == "yes"
        self._cache: dict[Hashable, torch.Tensor] = {}
        self._room = CACHE_BYTES

    def read(self, images: Sequence[str | bytes], name: str = "An image") -> torch.Tensor:
        """Preprocessed images [n, C, H, W] float32 of files, or of the bytes of files, which are called `name`."""
        pixels = [self._read_pixels(image, name) for image in images]
        shapes = {tuple(one.shape) for one in pixels}
        if len(shapes) > 1:
            sizes = " and ".join(sorted(f"{h} x {w}" for _, h, w in shapes)[:3])
            template = "The images have different sizes ({sizes}). Enter the size that the model takes."
            raise DataError("folder.sizes", template, sizes=sizes)
        return standardise(torch.stack(pixels).float() / 255, self._spec)

    def _read_pixels(self, image: str | bytes, name: str) -> torch.Tensor:
        """Pixels [C, H, W] uint8."""
        if image in self._cache:
            return self._cache[image]
        file = image if isinstance(image, str) else name
        try:
            with opened_image(Path(image) if isinstance(image, str) else image, file) as opened:
                decoded: torch.Tensor = functional.pil_to_tensor(opened.convert("L" if self._grey else "RGB"))
                pixels = fitted(decoded, self._spec)
        except UNREADABLE as error:
            template = "{file} is not a readable image. Remove or replace it."
            raise DataError("folder.unreadable", template, details=str(error), file=file) from error
        if pixels.numel() <= self._room:
            self._room -= pixels.numel()
            self._cache[image] = pixels
        return pixels


def opened_image(image: Path | bytes, name: str) -> Image.Image:
    """An image that is not decoded yet: of a format that decodes by itself, and no larger than its file can fill.

    Args:
        image: A file, or the bytes of one.
        name: For the sentence.

    Raises:
        DataError: It would need far more memory than an image of its size on disk.
    """
    if isinstance(image, Path):
        check_special(image, DataError)
    opened = Image.open(image if isinstance(image, Path) else BytesIO(image), formats=FORMATS)
    try:
        held = disk_size(image) if isinstance(image, Path) else len(image)
        check_unpacked(Path(name), opened.width * opened.height * PIXEL, held, DataError)
    except BaseException:
        opened.close()
        raise
    return opened


def image_size(file: Path) -> tuple[int, int]:
    """Width and height of an image, without decoding it."""
    try:
        with opened_image(file, str(file)) as opened:
            return opened.size
    except UNREADABLE as error:
        template = "{file} is not a readable image. Remove or replace it."
        raise DataError("folder.unreadable", template, details=str(error), file=str(file)) from error


def fitted(image: torch.Tensor, spec: TaskSpec, exact: bool = False) -> torch.Tensor:
    """An image [C, H, W] resized and cropped in the middle as a task says.

    Where it names a size alone, the image is resized so that it just covers that.

    Args:
        image: Pixels, or classes.
        spec: Its size, and the options "resize" and "interpolation".
        exact: Take the nearest pixel instead of a mean: there is nothing between two classes.
    """
    height, width = image.shape[-2:]
    sides, size = resize_sides(spec), spec.size
    if len(sides) == 2:
        covering = list(sides)
    elif sides:  # as torchvision does: the longer side is rounded down
        covering = [int(sides[0] * side / min(height, width)) for side in (height, width)]
    elif size is not None:
        factor = max(size[0] / height, size[1] / width)
        covering = [max(size[0], round(height * factor)), max(size[1], round(width * factor))]
    else:
        return image
    mode = InterpolationMode.NEAREST if exact else MODES[interpolation_of(spec)]
    resized = functional.resize(image, covering, mode, antialias=not exact)
    return resized if size is None else functional.center_crop(resized, list(size))


def resize_sides(spec: TaskSpec) -> tuple[int, ...]:
    """The option "resize": () for none, one number for the shorter side, or (height, width)."""
    given = option(spec, RESIZE)
    try:
        sides = tuple(int(part) for part in given.lower().split("x")) if given else ()
    except ValueError:
        sides = (0,)
    if len(sides) > 2 or min(sides, default=1) < 1:
        template = "Images cannot be resized to {given}. Enter the shorter side like 256, or height x width."
        raise DataError("task.resize", template, given=given)
    return sides


def interpolation_of(spec: TaskSpec) -> Interpolation:
    """The option "interpolation", bilinear by default."""
    given = option(spec, INTERPOLATION, Interpolation.BILINEAR)
    if given not in set(Interpolation):
        template = "{given} is no interpolation. Choose one of {known}."
        raise DataError("task.interpolation", template, given=given, known=", ".join(Interpolation))
    return Interpolation(given)
