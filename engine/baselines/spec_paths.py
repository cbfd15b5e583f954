"""The paths inside a baseline that is asked for: those of a stock model."""

from dataclasses import replace

from ..sources.protocol import change_source
from ..storage.paths import Change
from .protocol import BaselineSpec


def change_baseline(spec: BaselineSpec, change: Change) -> BaselineSpec:
    """A baseline that is asked for, with the paths of a stock model changed."""
    return replace(
        spec, source=change_source(spec.source, change), weights=change(spec.weights) if spec.weights else ""
    )
