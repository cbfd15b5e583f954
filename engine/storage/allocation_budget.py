"""A bound on what a model that a file describes may allocate while it is built. Loads torch.

A configuration of a few bytes can ask for any number of layers of any width. Each tensor is counted before it is made,
also one without memory (on the meta device), and beyond the bound nothing is made any more.
"""

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import OpenError
from ..text.format import byte_size
from .file_limits import RATIO, UNPACKED

SINGLE = 4
"""Bytes of a number, whatever type it gets."""
TENSORS, EACH = 5_000, 1_000
"""How many tensors may always be made, and the bytes on disk that allow one more."""
LONGEST = 1 << 24
"""Elements along an axis of a weight; the longest vocabularies have 10^6."""


@contextmanager
def allocation_budget(name: str, held: int | None) -> Generator[None]:
    """Let models that are built meanwhile take no more than their files could describe.

    Args:
        name: Of the model, for the sentence.
        held: Bytes that its weights take on disk; None for no bound.

    Raises:
        OpenError: It would take more ("file.described").
    """
    if held is None:
        yield
        return
    budget = _Budget(name, held)
    try:
        with budget:
            yield
    except Exception as error:
        # As the library wrapped it.
        if budget.exceeded is None or budget.exceeded is error:
            raise
        raise budget.exceeded from error


class _Budget(TorchDispatchMode):
    """Counts what operators make out of nothing, or broadcast, and raises OpenError before it is too much.

    Attributes:
        exceeded: What was raised.
    """

    def __init__(self, name: str, held: int) -> None:
        super().__init__()
        self._name = name
        self._size, self._count, self._asked = max(UNPACKED, RATIO * held), TENSORS + held // EACH, 0
        self.exceeded: OpenError | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count first, then do it."""
        kwargs = kwargs or {}
        given: list[torch.Tensor] = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor)]
        if not given:
            # Sizes of what a factory makes: of its argument of that name, else (`arange`, `eye`) its largest numbers.
            named = dict(zip((one.name for one in func._schema.arguments), args)) | kwargs
            if "size" in named:
                made = [int(one) for one in named["size"]]
            else:
                numbers = [
                    abs(one) for one in named.values() if isinstance(one, int | float) and not isinstance(one, bool)
                ]
                made = [int(min(max(numbers, default=0), 1 << 62))]
            self._take(made)
        elif len(given) > 1 and torch.Tag.pointwise in func.tags:
            sizes = cast("torch.Size", torch.broadcast_shapes(*(one.shape for one in given)))
            if math.prod(sizes) > 2 * max(one.numel() for one in given):
                self._take(sizes)
        return func(*args, **kwargs)

    def _take(self, sizes: Sequence[int]) -> None:
        self._asked += SINGLE * math.prod(sizes)
        self._count -= 1
        if self._asked > self._size or self._count < 0 or (len(sizes) > 1 and max(sizes) > LONGEST):
            template = "{name} describes a model of {size} or more, far more than its files hold. Get it elsewhere."
            size = byte_size(min(self._asked, 1 << 62))
            self.exceeded = OpenError("file.described", template, name=self._name, size=size)
            raise self.exceeded
