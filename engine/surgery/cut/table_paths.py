"""Finds longer inputs on which a model makes a table anew that was too short for them (sinusoidal positions)."""

from torch import nn

from ...jobs import CancelToken, check
from ...tracing.guards import Guards
from ...tracing.recorder import attempt
from ...tracing.shadow_model import weightless_copy
from ...tracing.tree import Inputs
from ..verify.other_paths import CodePath, PathSearch

RUNS = 8
"""How many runs of the original look for such inputs."""


def table_paths(model: nn.Module, inputs: Inputs, weightless: bool, token: CancelToken) -> tuple[CodePath, ...]:
    """Inputs that take the other side of each comparison with the size of a parameter or buffer, as far as found.

    A cut slices the table, but not the code that makes it anew.

    Args:
        model: The original; left as it is.
        inputs: Example inputs.
        weightless: The model runs on these for its shapes only.
        token: Stops the runs.
    """
    guards = Guards()
    model = weightless_copy(model) if weightless else model

    def run(path: CodePath) -> None:
        check(token)
        error = attempt(model, path.inputs, weightless, watched=False, guards=guards).error
        if error is not None:
            raise error

    run(CodePath("", inputs))
    search = PathSearch(guards, inputs, run, most=RUNS, concerns=lambda guard: bool(guard.weights))
    return tuple(path for path in search if not path.seed)
