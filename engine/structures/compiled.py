"""Notes on modules compiled in place by `torch.compile`: cuts use the module behind them."""

from collections.abc import Iterator

from torch import nn

from ..errors import Message
from ..messages import listed, module_named
from ..tracing.shadow_model import COMPILED, compiled_method
from ..tracing.tree import modules_of

SHOWN = 4
"""Modules that the sentence names."""


def compiled_notes(model: nn.Module) -> Iterator[Message]:
    """A remark where a cut model will lack what the original has compiled."""
    found = [module_named(path) for path, module in modules_of(model).items() if _is_compiled(module)]
    if found:
        template = (
            "Compiled in place with torch.compile: {modules}. The cut model has them uncompiled. Compile it again."
        )
        yield Message("analysis.compiled", template, {"modules": listed(found, SHOWN)})


def _is_compiled(module: nn.Module) -> bool:
    own = vars(module)
    return own.get(COMPILED) is not None or any(compiled_method(one) is not None for one in own.values())
