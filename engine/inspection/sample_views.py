"""Samples as a person sees them: images as small JPEG files, texts as tokens, rows as numbers. Loads torch."""

import io
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from PIL import Image

from ..errors import DataError
from ..inference.model_inputs import Inputs, named_arrays
from ..tasks.image_samples import sample
from ..tasks.protocol import TaskSpec
from ..tasks.tokens import Tokens, in_words, tokens_of
from .response_data import SampleView

SIDE, QUALITY = 128, 90
"""Pixels of the longer side of a picture, and the quality of its JPEG file."""
LONGEST = 1024
"""Tokens of a sample that are put into words."""


class SampleReader:
    """Makes views of samples of a task.

    Attributes:
        size: (height, width) of the images of the batch that was looked at last, None where they are none.
        length: Tokens of its texts, 0 where they are none.
    """

    def __init__(self, spec: TaskSpec, classes: Sequence[str]) -> None:
        """Take the specification of the data, and the names of its classes."""
        self.size: tuple[int, int] | None = None
        self.length = 0
        self._spec, self._classes = spec, classes
        self._given: Any = None
        self._targets: Any = None
        try:
            self._tokens: Tokens | None = tokens_of(spec)
        except DataError:
            # Data of numbers has no tokenizer; a text without one shows its tokens as numbers.
            self._tokens = None
        self._words: dict[int, str] = {}

    def read(self, inputs: Inputs, targets: Any) -> None:
        """Look at a batch."""
        first: Any = next(iter(inputs.values() if isinstance(inputs, dict) else inputs), None)
        self._given = first if isinstance(first, list) else next((one for _, one in named_arrays(inputs)), None)
        self._targets = targets
        one: Any = self._given[0] if self._given is not None and len(self._given) else None
        shape = tuple(getattr(one, "shape", ()))
        floating = one is not None and bool(one.is_floating_point())
        self.size = (int(shape[-2]), int(shape[-1])) if floating and len(shape) == 3 else None
        self.length = int(shape[0]) if len(shape) == 1 and not floating else 0

    def class_of(self, row: int) -> int:
        """Number of a sample's class, -1 where it has no single one."""
        targets = self._targets
        if targets is None or getattr(targets, "ndim", 0) != 1 or targets.is_floating_point():
            return -1
        return int(targets[row])

    def class_name(self, number: int) -> str:
        """A class in words."""
        return self._classes[number] if 0 <= number < len(self._classes) else str(number) if number >= 0 else ""

    def view(self, row: int) -> SampleView:
        """A sample of the batch."""
        x: Any = self._given[row].detach().cpu()
        label = self.class_name(self.class_of(row))
        if self.length:
            return SampleView(b"", tuple(map(self._word, x[:LONGEST].tolist())), "", label)
        shown = sample(x.float(), label, "") if x.numel() else None
        if shown is not None and shown.image is not None:
            image = Image.fromarray(shown.image)
            image.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            image.save(file, "JPEG", quality=QUALITY, subsampling=0)
            return SampleView(file.getvalue(), (), "", label)
        return SampleView(b"", (), in_words([x.reshape(1, -1).float()], self._spec)[0], label)

    def _word(self, number: int) -> str:
        if self._tokens is None:
            return str(number)
        if number not in self._words:
            self._words[number] = self._tokens.text([number])
        return self._words[number]


def grid_of(places: int, size: tuple[int, int] | None) -> tuple[int, int, int] | None:
    """(tokens before the patches, rows, columns) of tokens that are patches of an image; None where they are none.

    The patches have the shape of squares, and at most five tokens (a class, registers) come before them.
    """
    if size is None or places < 4:
        return None
    for before in range(6):
        rows = round(float(np.sqrt((places - before) * size[0] / size[1])))
        if rows > 1 and (places - before) % rows == 0:
            columns = (places - before) // rows
            if columns > 1 and size[0] * columns == size[1] * rows and size[0] % rows == 0:
                return before, rows, columns
    return None


def targets_of(batch: Any) -> Any:
    """What is right for the samples of a batch that is a pair of inputs and targets; None for others."""
    pair = cast("Sequence[Any]", batch) if isinstance(batch, list | tuple) else ()
    return pair[1] if len(pair) == 2 and hasattr(pair[1], "ndim") else None
