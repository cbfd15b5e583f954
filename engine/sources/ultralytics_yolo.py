"""Opens Ultralytics YOLO models: a checkpoint (.pt), a .yaml that describes a network, or the name of one of theirs.

A checkpoint is a pickled model, so it is loaded with the user's consent. What is cut is a fresh model of the same
description with its weights, as an export's code builds it again; it must give the checkpoint's outputs.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..adapters.ultralytics_yolo import LEAST, PACKAGE, image_size, library
from ..errors import OpenError, SecateurError
from ..foreign_code.consent import FULL_CONSENT, Consent
from ..foreign_code.network import no_downloads
from ..jobs import CancelToken, check
from ..storage.file_limits import check_special
from ..tasks.preprocessing import Preprocessing
from ..text.python_code import called, identifier, literal
from ..tracing.isolated_forward import quiet_forward
from ..tracing.tree import named_tensors, outputs_of
from .build_model import DESCRIBED, Origin, open_origin
from .checkpoint import read_checkpoint
from .other_files import pickled_class
from .protocol import DESCRIPTION, FactoryCode, ModelSpec, SourceModel

PREFIX = "ultralytics:"
SCALED = re.compile(r"(\d+)[nslmx]")
"""A network's number with its size, which the package's file names leave out: yolo11n-seg lies in yolo11-seg.yaml."""
CHECKPOINT = ".pt"
NETWORKS = f"{PACKAGE}.nn.tasks"
"""Where the package defines its models."""
ON_THE_WAY = "feats"
"""What heads return of their own inputs, for the shapes in them."""
MOST_CLASSES = 100_000
ALIKE = 1e-4
"""How far the rebuilt model's outputs may be from the checkpoint's, relative to the largest."""


class UltralyticsYolo:
    """`path/to/best.pt`, `path/to/network.yaml`, or `ultralytics:yolo11n` for one that the package describes."""

    def matches(self, source: str) -> bool:
        """True for such a name, for a .yaml, and for a checkpoint that names a class of the package."""
        path = Path(source).expanduser()
        if source.startswith(PREFIX) or path.suffix.lower() in DESCRIPTION:
            return True
        return path.suffix.lower() == CHECKPOINT and path.is_file() and pickled_class(path).startswith(PACKAGE)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Build it, where the user consented to what the file runs: the pickle, or the names in its description."""
        name = Path(spec.source.removeprefix(PREFIX)).stem
        with no_downloads(name, spec.download):
            found = _found(spec, consent)
        check(token)
        make = found.untrained if found.weights is None else found.built
        held = DESCRIBED if spec.source.lower().endswith(DESCRIPTION) else None
        made = open_origin(Origin(make=make, name=name, input_shape=found.shape, held=held), spec, token)
        own = made.spec or spec
        told = Preprocessing(name, crop=(found.side, found.side)) if found.settings else None
        return replace(made, spec=replace(own, outputs=own.outputs or _final_outputs(made.model)), preprocessing=told)

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The class with its description written out."""
        found = _found(spec, FULL_CONSENT)  # it was opened before
        name = identifier(found.network)
        call = called(name, cfg=found.description, ch=found.channels, verbose=False)
        return FactoryCode(
            f"from {NETWORKS} import {name}\n\n\n"
            f"def make_model():\n    model = {call}\n    model.names = {literal(found.names)}\n    return model"
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """What a file says.

    Attributes:
        network: Name of the model's class.
        description: What its .yaml holds.
        names: Names of the classes by their numbers.
        settings: What it was trained with.
        weights: Of a checkpoint.
    """

    network: str
    description: dict[str, Any]
    names: dict[int, str]
    settings: dict[str, Any]
    weights: dict[str, torch.Tensor] | None = None

    @property
    def channels(self) -> int:
        return int(self.description.get("channels", 3))

    @property
    def side(self) -> int:
        return image_size(self.settings)

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, self.channels, self.side, self.side)

    def untrained(self) -> nn.Module:
        """A model of random weights."""
        model = getattr(library("nn.tasks"), self.network)(
            cfg=copy.deepcopy(self.description), ch=self.channels, verbose=False
        )
        model.names, model.args = dict(self.names), dict(self.settings)
        return model

    def built(self) -> nn.Module:
        """A model with the checkpoint's weights."""
        model = self.untrained()
        model.load_state_dict(self.weights or {})
        return model


def _found(spec: ModelSpec, consent: Consent) -> _Found:
    if spec.source.startswith(PREFIX):
        name = spec.source.removeprefix(PREFIX).removesuffix(DESCRIPTION[0])
        return _description(_own_file(name), named=name)
    path = Path(spec.source).expanduser()
    check_special(path)
    if not path.is_file():
        raise OpenError("yolo.missing", "File {path} does not exist. Check the path.", path=str(path))
    if path.suffix.lower() == CHECKPOINT:
        return _checkpoint(path, spec, consent)
    consent.require([str(path.absolute())], path)  # names in it are looked up in the package's code and called
    return _description(path)


def _own_file(name: str) -> Path:
    """The file of the package's own that describes a network; nothing else is looked at, so it needs no consent."""
    folder = Path(library().__file__).parent / "cfg" / "models"
    own = {file.stem: file for file in folder.rglob(f"*{DESCRIPTION[0]}")}
    found = own.get(name) or own.get(SCALED.sub(r"\1", name, count=1))
    if found is None:
        template = (
            "Ultralytics describes no network called {name}. Write the name of one of its own: ultralytics:yolo11n"
        )
        raise OpenError("yolo.name", template, name=name)
    return found


def _description(path: Path, named: str = "") -> _Found:
    """What that very file says: the package's reader may open another of a similar name.

    Args:
        path: Of the .yaml.
        named: Tells the size of the network, where the file's name does not.
    """
    tasks = library("nn.tasks")
    try:
        described = dict(library("utils").YAML.load(path))
        if not 0 < int(described["nc"]) <= MOST_CLASSES:
            raise ValueError(f"{described['nc']} classes")
        described["scale"] = tasks.guess_model_scale(named or path)
        names = {number: str(number) for number in range(int(described["nc"]))}
        networks = library("models.yolo.model").YOLO.task_map.fget(None)
        network = networks[tasks.guess_model_task(described)]["model"].__name__
    except Exception as error:  # whatever a file that is something else makes the package stumble over
        template = (
            "{path} describes no network that ultralytics can build. Name a .yaml with backbone and head, or one of "
            "its own (ultralytics:yolo11n)."
        )
        raise OpenError("yolo.description", template, str(error), path=str(path)) from error
    return _Found(network, described, names, {})


def _checkpoint(path: Path, spec: ModelSpec, consent: Consent) -> _Found:
    library("nn.tasks")
    content = read_checkpoint(path, spec.trust_pickle or consent.everything)
    parts = dict(cast("Mapping[str, Any]", content)) if isinstance(content, Mapping) else dict[str, Any]()
    model = next((one for one in (parts.get("ema"), parts.get("model")) if isinstance(one, nn.Module)), None)
    if model is None or type(model).__module__ != NETWORKS or not hasattr(model, "yaml"):
        template = "{path} holds no model of ultralytics' own classes. Name the code that builds it."
        raise OpenError("yolo.checkpoint", template, path=str(path))
    model = model.float().eval()
    made: Any = model
    described = {name: value for name, value in dict(made.yaml).items() if name != "yaml_file"}
    names = {int(number): str(name) for number, name in dict(made.names).items()}
    settings = dict(parts.get("train_args") or {})
    found = _Found(type(model).__name__, described, names, settings, model.state_dict())
    _require_alike(path, model, found)
    return found


def _require_alike(path: Path, model: nn.Module, found: _Found) -> None:
    """Refuse what this version of the package builds otherwise than the one that wrote the checkpoint."""
    images = torch.rand(1, found.channels, LEAST, LEAST, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            expected, given = (_first(one.eval()(images)) for one in (model, found.built()))
        off = float((expected - given).abs().max() / expected.abs().max().clamp(min=1e-12))
    except (SecateurError, MemoryError):
        raise
    except Exception as error:  # attributes of other versions, tensors that do not fit
        raise _other_version(path) from error
    if not off <= ALIKE:
        raise _other_version(path)


def _final_outputs(model: Any) -> tuple[str, ...]:
    """Paths of a model's outputs without what its head returns of its own inputs; () where that is all of them."""
    channels = int(model.yaml.get("channels", 3))
    with quiet_forward(model):
        every = [one.path for one in outputs_of(model(torch.zeros(1, channels, LEAST, LEAST)))]
    left = tuple(one for one in every if ON_THE_WAY not in one.split("."))
    return left if len(left) < len(every) else ()


def _first(outputs: Any) -> torch.Tensor:
    return next(one for _, one in named_tensors(outputs))


def _other_version(path: Path) -> OpenError:
    version = str(library().__version__)
    template = (
        "{path} was fused, or written by another version of ultralytics: version {version} builds another network from "
        "its description. Install the version it was trained with."
    )
    return OpenError("yolo.version", template, path=str(path), version=version)
