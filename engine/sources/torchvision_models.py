"""Source `torchvision:NAME`. Weights come from a file or torch's cache; the network only with leave."""

import difflib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..tasks.preprocessing import of_torchvision
from ..text.python_code import called
from .build_model import Origin, open_origin
from .builder_arguments import TORCHVISION
from .pretrained import DEFAULT, PretrainedWeights, fetch_weights, no_such_weights, two_weights
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

        wanted = _wanted_weights(name, spec)
        best = wanted or next(iter(_known_weights(name)), None)
        offered = None if best is None else _offer(name, best)
        path, notes = "", ()
        if wanted is not None and offered is not None:
            path = str(_cached_file(wanted))
            if not offered.cached:
                fetch = partial(wanted.get_state_dict, progress=False, check_hash=True)
                fetch_weights(offered, spec.download, fetch)
            # torchvision sets this argument itself where it loads weights with another normalisation.
            normalised = {"transform_input": True} if _module(name) in OTHERWISE_NORMALISED else {}
            spec = replace(spec, pretrained=str(wanted.name), arguments={**normalised, **spec.arguments})
            template = "Loaded the pretrained weights {weights} from the cache of torch: {file}."
            words = {"weights": str(wanted.name), "file": Path(path).name}
            notes = (Message("source.cached", template, words),)
        origin = Origin(
            make=make,
            name=name,
            input_shape=_input_shape(name),
            weights=path,
            class_argument="num_classes",
            notes=notes,
            offered=offered,
            library="torchvision",
            takes=TORCHVISION,
        )
        # torchvision's preprocessing holds for its own weights alone, which are known by the name of their file.
        file = Path(spec.weights or path).name
        own = (one for one in _known_weights(name) if file and str(one.url).rpartition("/")[2] == file)
        weights = next(own, None)
        preprocessing = None if weights is None else of_torchvision(weights)
        return replace(open_origin(origin, spec, token), preprocessing=preprocessing)

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
    size = 224
    for weights in _known_weights(name):
        keywords: dict[str, Any] = getattr(weights.transforms, "keywords", {})
        side = keywords.get("crop_size", keywords.get("resize_size"))
        if side is not None:
            size = int(side if isinstance(side, int) else side[0])
            break
    return (2, 3, FRAMES, size, size) if ".video." in module else (2, 3, size, size)


def _known_weights(name: str) -> list[Any]:
    """The weights that torchvision knows for a model, its default first."""
    from torchvision import models

    known = models.get_model_weights(name)
    default = getattr(known, "DEFAULT", None)
    return [default, *(w for w in known if w is not default)] if default is not None else list(known)


def _wanted_weights(name: str, spec: ModelSpec) -> Any | None:
    """The member of torchvision's weights that is asked for, else one that lies in the cache; None for none.

    Weights have their own number of classes: with arguments of the user's none are taken unasked.
    """
    if spec.pretrained and spec.weights:
        raise two_weights(name)
    if spec.pretrained:
        known = {str(one.name): one for one in _known_weights(name)}
        found = next(iter(known.values()), None) if spec.pretrained == DEFAULT else known.get(spec.pretrained)
        if found is None:
            raise no_such_weights("torchvision", name, spec.pretrained, known)
        return found
    if spec.weights or spec.arguments:
        return None
    return next((one for one in _known_weights(name) if _cached_file(one).is_file()), None)


def _cached_file(weights: Any) -> Path:
    """Where torch's cache has these weights, once they were fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints" / str(weights.url).rpartition("/")[2]


def _offer(name: str, weights: Any) -> PretrainedWeights:
    facts: dict[str, Any] = weights.meta
    place = _cached_file(weights)
    return PretrainedWeights(
        library="torchvision",
        model=name,
        name=str(weights.name),
        address=str(weights.url),
        bytes=int(facts.get("_file_size", 0) * 2**20),
        licence=str(facts.get("license", "")),
        folder=str(place.parent),
        cached=place.is_file(),
    )
