"""Cancels inside a forward or backward pass: one batch of a large model can take long.

The token is looked at before every module's forward and at every gradient computed for a parameter. Loads torch.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from ..jobs import CancelToken, check


@contextmanager
def interruptible(token: CancelToken, parameters: Iterable[torch.nn.Parameter] = ()) -> Generator[None]:
    """Raise `Cancelled` out of the passes inside when the token is set; no hook is left behind.

    It is entered for one step at a time, never around a `yield` of a job: the hook on forwards is a global one.
    """

    def look(*_: Any) -> None:
        check(token)

    handles = [register_module_forward_pre_hook(look)]
    try:
        handles += [parameter.register_hook(look) for parameter in parameters if parameter.requires_grad]
        yield
    finally:
        for handle in handles:
            handle.remove()
