"""Errors for models that cannot run: wrong kind of module, missing inputs, the line that raised."""

import inspect
import linecache
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType

import torch
from torch import nn

from ..errors import AnalysisError, Message
from ..messages import Phrase, all_of, listed
from .tree import Inputs, modules_of, tensors_of

OURS = Path(__file__).resolve().parents[1]
TORCH = Path(torch.__file__).resolve().parent
LIBRARIES = ("site-packages", "dist-packages")


def require_plain_module(model: nn.Module) -> None:
    """Refuse what holds a model but is no plain module, with what to do instead.

    Raises:
        AnalysisError: The model is compiled to TorchScript, or its parameters are spread over processes.
    """
    for path, module in modules_of(model).items():
        if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            raise AnalysisError(
                "analysis.scripted",
                "{path} is compiled to TorchScript and has no Python code to repair after a cut. Open the Python "
                "class that it was made from, and script the cut model.",
                path=path or Message("analysis.this_model", "The model"),
            )
        if _is_sharded(type(module)):
            raise AnalysisError(
                "analysis.sharded",
                "{path} is spread over processes (FSDP), so its parameters have no channels here. Cut the model "
                "first, then wrap the result.",
                path=path or Message("analysis.this_model", "The model"),
            )


@cache
def _is_sharded(kind: type) -> bool:
    return any(one.__name__ in ("FullyShardedDataParallel", "FSDPModule") for one in kind.__mro__)


def forward_error(error: Exception, model: nn.Module, inputs: Inputs) -> AnalysisError:
    """The error for a forward that raised.

    Args:
        error: What it raised.
        model: The model, to see which inputs it takes.
        inputs: The example inputs that it was given.
    """
    text = (
        str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else Message("analysis.no_text", "no text")
    )
    details = "".join(traceback.format_exception(error)[-8:])
    missing = missing_inputs(model, inputs)
    if missing:
        return AnalysisError(
            "analysis.missing_input",
            "The model's forward also needs {missing}. Give example inputs for all of them, by position or by name, "
            "or give {missing} a default in the code.",
            details=details,
            missing=all_of(missing),
        )
    shapes = ["x".join(map(str, t.shape)) or Message("analysis.number", "one number") for t in tensors_of(inputs)]
    return AnalysisError(
        "analysis.forward",
        "The model's forward raised {kind}: {text}{place}. Check the input shape {shapes}.",
        details=details,
        kind=type(error).__name__,
        text=text,
        place=_place(error.__traceback__),
        shapes=listed(shapes or [Message("analysis.none", "none")]),
    )


def missing_inputs(model: nn.Module, inputs: Inputs) -> list[str]:
    """Names of a forward's arguments without a default that the inputs do not fill."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # a forward that is no Python function
        return []
    by_name = isinstance(inputs, Mapping)
    taken = set(inputs) if by_name else set[str]()
    positions = 0 if by_name else len(inputs)
    missing: list[str] = []
    for number, one in enumerate(parameters):
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) or one.default is not one.empty:
            continue
        if one.name not in taken and (by_name or one.kind is one.KEYWORD_ONLY or number >= positions):
            missing.append(one.name)
    return missing


def _place(trace: TracebackType | None) -> Phrase:
    """Where it raised: the innermost line of the user's own code, else of a library's; not torch's, not ours."""
    own: Phrase = ""
    library: Phrase = ""
    for frame in traceback.extract_tb(trace):
        path = Path(frame.filename).resolve()
        if frame.lineno is None or not path.is_file() or any(map(path.is_relative_to, (OURS, TORCH))):
            continue
        code = linecache.getline(frame.filename, frame.lineno).strip()
        words = {"file": path.name, "line": frame.lineno, "code": code}
        where = Message("analysis.place", " ({file}, line {line}: {code})", words)
        if any(part in LIBRARIES for part in path.parts):
            library = where
        else:
            own = where
    return own or library
