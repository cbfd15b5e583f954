"""Source `timm:NAME`, where timm is installed. Weights come from a file, never from the network."""

import difflib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..tasks.preprocessing import of_timm
from ..text.python_code import called
from .build_model import Origin, opened
from .protocol import FactoryCode, ModelSpec, SourceModel

PREFIX = "timm:"


class TimmModels:
    """`timm:NAME` for all that `timm.list_models()` lists."""

    def matches(self, source: str) -> bool:
        """True for `timm:...`."""
        return source.startswith(PREFIX)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open a timm model."""
        name = _name(spec.source)
        import timm

        def make(**arguments: Any) -> nn.Module:
            return timm.create_model(name, pretrained=False, **arguments)

        random = Message(
            "source.random",
            "{name} has random weights, because nothing is downloaded. Add a checkpoint to prune a trained model.",
            {"name": name},
        )
        origin = Origin(
            make=make,
            name=name,
            input_shape=_input_shape(name),
            class_argument="num_classes",
            notes=() if spec.weights else (random,),
        )
        told: Any = timm.get_pretrained_cfg(name)
        found = of_timm(name, told.to_dict()) if spec.weights and told is not None else None
        return replace(opened(origin, spec, token), preprocessing=found)

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """`timm.create_model`."""
        call = called("timm.create_model", _name(spec.source), pretrained=False, **spec.arguments)
        return FactoryCode(f"import timm\n\n\ndef make_model():\n    return {call}")


def _name(source: str) -> str:
    name = source.removeprefix(PREFIX)
    if find_spec("timm") is None:
        raise OpenError("source.timm_missing", "timm is not installed. Install it: pip install timm", name=name)
    import timm

    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), 3)) or "resnet18, vit_tiny_patch16_224"
        raise OpenError("source.timm", "timm has no model {name!r}. Similar names: {near}.", name=name, near=near)
    return name


def _input_shape(name: str) -> tuple[int, ...]:
    import timm

    settings = timm.get_pretrained_cfg(name)
    return (2, *settings.input_size) if settings is not None else (2, 3, 224, 224)
