"""Source `torchvision:NAME`. Weights come from a file or torch's cache, never from the network."""

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..tasks.preprocessing import Preprocessing, of_torchvision
from ..text.python_code import called
from .build_model import Origin, opened
from .protocol import FactoryCode, ModelSpec, SourceModel

PREFIX = "torchvision:"
FRAMES = 16
"""Length of the example clip of video models."""
DETECTED = (320, 320)
"""Size of the example images of detectors, which bring every image to a size of their own."""


class TorchvisionModels:
    """`torchvision:resnet18` and all that `torchvision.models.list_models()` lists."""

    def matches(self, source: str) -> bool:
        """True for `torchvision:...`."""
        return source.startswith(PREFIX)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open a torchvision model."""
        from torchvision import models

        name = _name(spec.source)

        def make(**arguments: Any) -> torch.nn.Module:
            options = {**_offline(name), **arguments}
            return models.get_model(name, weights=None, **options)

        # Cached weights have their own number of classes: arguments of the user's go without them.
        cached = None if spec.weights or spec.arguments else _cached(name)
        origin = Origin(
            make=make,
            name=name,
            input_shape=_input_shape(name),
            weights=str(cached or ""),
            class_argument="num_classes",
            notes=() if spec.weights else (_weights_note(name, cached),),
        )
        return replace(
            opened(origin, spec, token), preprocessing=_preprocessing(name, spec.weights or str(cached or ""))
        )

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """`torchvision.models.get_model`."""
        name = _name(spec.source)
        options = {**_offline(name), **spec.arguments}
        return FactoryCode(
            "from torchvision.models import get_model\n\n\n"
            f"def make_model():\n    return {called('get_model', name, weights=None, **options)}"
        )


def _name(source: str) -> str:
    from torchvision import models

    name = source.removeprefix(PREFIX)
    known = models.list_models()
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, known, 3)) or "resnet18, vgg16, vit_b_16"
        raise OpenError(
            "source.torchvision", "torchvision has no model {name!r}. Similar names: {near}.", name=name, near=near
        )
    return name


def _offline(name: str) -> dict[str, Any]:
    """Detection and segmentation models fetch a backbone unless told not to."""
    module = _module(name)
    return {"weights_backbone": None} if ".detection." in module or ".segmentation." in module else {}


def _module(name: str) -> str:
    from torchvision import models

    return models.get_model_builder(name).__module__


def _input_shape(name: str) -> tuple[int, ...]:
    """What the model's own preprocessing makes; () for models that take pairs of images."""
    module = _module(name)
    if ".optical_flow." in module:
        return ()
    if ".detection." in module:
        return (2, 3, *DETECTED)
    size = _crop_size(name)
    return (2, 3, FRAMES, size, size) if ".video." in module else (2, 3, size, size)


def _crop_size(name: str) -> int:
    for weights in _known_weights(name):
        keywords: dict[str, Any] = getattr(weights.transforms, "keywords", {})
        size = keywords.get("crop_size", keywords.get("resize_size"))
        if size is not None:
            return int(size if isinstance(size, int) else size[0])
    return 224


def _preprocessing(name: str, checkpoint: str) -> Preprocessing | None:
    """What torchvision says of these very weights, known by the name of their file; None for anybody else's."""
    file = Path(checkpoint).name
    known = (one for one in _known_weights(name) if file and str(one.url).rpartition("/")[2] == file)
    weights = next(known, None)
    return None if weights is None else of_torchvision(weights)


def _known_weights(name: str) -> list[Any]:
    """The weights that torchvision knows for a model, its default first."""
    from torchvision import models

    known = models.get_model_weights(name)
    default = getattr(known, "DEFAULT", None)
    return [default, *(w for w in known if w is not default)] if default is not None else list(known)


def _cached(name: str) -> Path | None:
    """Weights of this model that torch has already downloaded."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    paths = (folder / str(weights.url).rpartition("/")[2] for weights in _known_weights(name))
    return next((path for path in paths if path.is_file()), None)


def _weights_note(name: str, cached: Path | None) -> Message:
    if cached is not None:
        return Message("source.cached", "Loaded the weights {file} from the cache of torch.", {"file": cached.name})
    return Message(
        "source.random",
        "{name} has random weights, because nothing is downloaded. Add a checkpoint to prune a trained model.",
        {"name": name},
    )
