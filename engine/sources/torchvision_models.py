"""Source `torchvision:NAME`. Weights come from a file or torch's cache; the network only with leave."""

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
from .builder_arguments import TORCHVISION
from .pretrained import DEFAULT, PretrainedWeights, fetched, no_such_weights, two_weights
from .protocol import FactoryCode, ModelSpec, SourceModel

PREFIX = "torchvision:"
FRAMES = 16
"""Length of the example clip of video models."""
OTHERWISE_NORMALISED = ("torchvision.models.googlenet", "torchvision.models.inception")
"""Models whose weights were trained with another normalisation, which torchvision then puts into the model."""
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

        wanted = _wanted(name, spec)
        offered = None if (best := wanted or _default(name)) is None else _offer(name, best)
        path = "" if wanted is None or offered is None else _path(wanted, offered, spec.download)
        if wanted is not None:
            arguments = {**_of_weights(name), **spec.arguments}
            spec = replace(spec, pretrained=str(wanted.name), arguments=arguments)
        origin = Origin(
            make=make,
            name=name,
            input_shape=_input_shape(name),
            weights=path,
            class_argument="num_classes",
            notes=() if wanted is None else (_loaded_note(wanted, path),),
            offered=offered,
            library="torchvision",
            takes=TORCHVISION,
        )
        return replace(opened(origin, spec, token), preprocessing=_preprocessing(name, spec.weights or path))

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


def _wanted(name: str, spec: ModelSpec) -> Any | None:
    """The member of torchvision's weights that is asked for, else one that lies in the cache; None for none.

    Weights have their own number of classes: with arguments of the user's none are taken unasked.
    """
    if spec.pretrained and spec.weights:
        raise two_weights(name)
    if spec.pretrained:
        known = {str(one.name): one for one in _known_weights(name)}
        found = _default(name) if spec.pretrained == DEFAULT else known.get(spec.pretrained)
        if found is None:
            raise no_such_weights("torchvision", name, spec.pretrained, known)
        return found
    if spec.weights or spec.arguments:
        return None
    return next((one for one in _known_weights(name) if _place(one).is_file()), None)


def _default(name: str) -> Any | None:
    return next(iter(_known_weights(name)), None)


def _place(weights: Any) -> Path:
    """Where torch's cache has these weights, once they were fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints" / str(weights.url).rpartition("/")[2]


def _offer(name: str, weights: Any) -> PretrainedWeights:
    told: dict[str, Any] = weights.meta
    place = _place(weights)
    return PretrainedWeights(
        library="torchvision",
        model=name,
        name=str(weights.name),
        address=str(weights.url),
        bytes=int(told.get("_file_size", 0) * 2**20),
        licence=str(told.get("license", "")),
        folder=str(place.parent),
        cached=place.is_file(),
    )


def _path(weights: Any, offered: PretrainedWeights, allowed: bool) -> str:
    """The file of the weights in torch's cache; fetched by torchvision where it is not there."""
    place = _place(weights)
    if not offered.cached:
        fetched(offered, allowed, lambda: weights.get_state_dict(progress=False, check_hash=True))
    return str(place)


def _of_weights(name: str) -> dict[str, Any]:
    """Arguments that torchvision sets itself where it loads weights: they were trained with another normalisation."""
    return {"transform_input": True} if _module(name) in OTHERWISE_NORMALISED else {}


def _loaded_note(weights: Any, path: str) -> Message:
    template = "Loaded the pretrained weights {weights} from the cache of torch: {file}."
    return Message("source.cached", template, {"weights": str(weights.name), "file": Path(path).name})
