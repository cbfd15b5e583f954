"""Runs ExecuTorch files by its own runtime. Imports torch."""

import json
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import SecateurError
from ..tracing.tree import named_tensors
from .exporter_options import quiet

METHOD, ABOUT = "forward", "about"
"""Methods of a file: the model, and what it says of itself, as the bytes of a JSON object."""


def library(module: str = "runtime") -> Any:
    """A module of ExecuTorch; raises SecateurError where it is not installed."""
    try:
        if find_spec("executorch") is None:
            raise ImportError
        with quiet():  # its packages warn of what they were not built for
            return import_module(f"executorch.{module}")
    except ImportError as error:
        template = "ExecuTorch is not installed. Install it: pip install 'secateur[executorch]'"
        raise SecateurError("export.executorch_missing", template, str(error)) from error


def told(about: Mapping[str, Any]) -> Tensor:
    """What a file says of itself, as a method can give it back."""
    return torch.tensor(list(json.dumps(dict(about)).encode()), dtype=torch.uint8)


def loaded(path: str) -> tuple[Callable[..., tuple[Tensor, ...]], dict[str, Any]]:
    """A file as a function of one sample [1, ...], by position or name, and what it says of itself.

    That are "inputs" and "outputs", the paths of tensors in their order, and "portable", why XNNPACK computes nothing.
    """
    program = library().Runtime.get().load_program(path)
    about = json.loads(bytes(program.load_method(ABOUT).execute([])[0].tolist()))
    method = program.load_method(METHOD)

    def run(*inputs: Any, **named: Any) -> tuple[Tensor, ...]:
        given = dict(named_tensors(named or inputs))
        order = about["inputs"] if set(given) == set(about["inputs"]) else given
        found = method.execute([given[one].contiguous() for one in order])
        return tuple(one.clone() for one in cast("list[Tensor]", found))  # its memory is used again

    return run, about
