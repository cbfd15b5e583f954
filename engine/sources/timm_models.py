"""Source `timm:NAME`, where timm is installed. Weights come from a file or a cache; the network only with leave."""

import difflib
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..tasks.preprocessing import of_timm
from ..text.python_code import called
from .build_model import Origin, open_origin
from .builder_arguments import TIMM
from .pretrained import DEFAULT, PretrainedWeights, fetch_weights, no_such_weights, two_weights
from .protocol import FactoryCode, ModelSpec, SourceModel

PREFIX = "timm:"
PATIENCE = 10
"""Seconds in which the Hub must answer."""


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

        offered = _offer(name)
        # The weights that are asked for, else those in the cache; weights have their own classes, so with arguments of
        # the user's none are taken unasked.
        wanted, trained, notes = None, None, ()
        if spec.pretrained and spec.weights:
            raise two_weights(name)
        if spec.pretrained:
            if offered is None or spec.pretrained not in (DEFAULT, offered.name):
                raise no_such_weights("timm", name, spec.pretrained, () if offered is None else (offered.name,))
            wanted = offered
        elif offered is not None and offered.cached and not (spec.weights or spec.arguments):
            wanted = offered
        if wanted is not None:
            spec = replace(spec, pretrained=wanted.name)
            trained = partial(_make_trained, wanted, spec.download)
            template = "Loaded the pretrained weights {weights} from the cache of timm."
            notes = (Message("source.timm_cached", template, {"weights": wanted.name}),)
        settings: Any = timm.get_pretrained_cfg(name)
        origin = Origin(
            make=make,
            name=name,
            input_shape=(2, 3, 224, 224) if settings is None else (2, *settings.input_size),
            class_argument="num_classes",
            notes=notes,
            offered=offered,
            trained=trained,
            library="timm",
            takes=TIMM,
        )
        found = of_timm(name, settings.to_dict()) if (spec.weights or trained) and settings is not None else None
        return replace(open_origin(origin, spec, token), preprocessing=found)

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


def _offer(name: str) -> PretrainedWeights | None:
    """The weights of a model, None where timm has none."""
    import timm

    settings: Any = timm.get_pretrained_cfg(name)
    if settings is None or not settings.has_weights:
        return None
    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    hub = str(settings.hf_hub_id or "")
    if hub:
        look = import_module("huggingface_hub").try_to_load_from_cache
        names = (settings.hf_hub_filename,) if settings.hf_hub_filename else ("model.safetensors", "pytorch_model.bin")
        cached = any(isinstance(look(hub, one), str) for one in names)
    else:
        cached = (checkpoints / str(settings.url or "").rpartition("/")[2]).is_file()
    return PretrainedWeights(
        library="timm",
        model=name.partition(".")[0],
        name=str(settings.tag or DEFAULT),
        address=f"{_hub()}/{hub}" if hub else str(settings.url or ""),
        licence=str(settings.license or ""),
        folder=str(import_module("huggingface_hub.constants").HF_HUB_CACHE if hub else checkpoints),
        cached=cached,
    )


def _hub() -> str:
    """Address of the Hugging Face Hub, or of the mirror that the user has set."""
    return str(import_module("huggingface_hub.constants").ENDPOINT)


def _make_trained(wanted: PretrainedWeights, allowed: bool, **arguments: Any) -> nn.Module:
    """The module with its weights, as timm makes it."""
    import timm

    name = f"{wanted.model}.{wanted.name}" if wanted.name != DEFAULT else wanted.model

    def fetch() -> nn.Module:
        if not wanted.cached and wanted.address.startswith(_hub()):  # offline it would try for most of a minute
            import_module("huggingface_hub").get_session().head(_hub(), timeout=PATIENCE)
        return timm.create_model(name, pretrained=True, **arguments)

    return fetch_weights(wanted, allowed, fetch)
