"""The two trained sample networks that ship with Secateur, and their data."""

import inspect
from importlib.resources import files
from pathlib import Path

from ..errors import OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..tasks.protocol import TaskSpec
from ..text.python_code import identifier
from .build_model import Origin, open_origin
from .protocol import FactoryCode, ModelSpec, SourceModel

PREFIX = "bundled:"
TITLES = {"resnet": "Small ResNet", "vit": "Small ViT"}
INPUT_SHAPE = (2, 1, 28, 28)


class Bundled:
    """`bundled:resnet` and `bundled:vit`."""

    def matches(self, source: str) -> bool:
        """True for `bundled:...`."""
        return source.startswith(PREFIX)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open a bundled network with its bundled weights and task."""
        from secateur.resources import models
        from secateur.resources.fashion_mnist import MEAN, STD

        name = _name(spec.source)
        origin = Origin(
            make=models.FACTORIES[name],
            name=TITLES[name],
            input_shape=INPUT_SHAPE,
            weights=str(files("secateur.resources") / "data" / f"{name}.safetensors"),
            task=TaskSpec("bundled", mean=(MEAN,), std=(STD,)),
        )
        return open_origin(origin, spec, token)

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The networks' source file is plain PyTorch: it goes along as `models.py`."""
        from secateur.resources import models

        lines = f"from models import {identifier(_name(spec.source))} as make_model"
        return FactoryCode(lines, (Path(inspect.getfile(models)),))


def _name(source: str) -> str:
    name = source.removeprefix(PREFIX)
    if name not in TITLES:
        known = ", ".join(PREFIX + one for one in TITLES)
        raise OpenError(
            "source.bundled", "Unknown bundled model {source}. Choose one of {known}.", source=source, known=known
        )
    return name
