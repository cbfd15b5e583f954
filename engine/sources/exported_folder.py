"""Opens an earlier PyTorch export: builds the original from its source and applies the recorded shapes and repairs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from torch import Tensor, nn

from ..errors import OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken
from ..storage.file_limits import check_special, parse_json, read_whole
from ..storage.paths import absolute_to
from .build_model import Origin, open_origin
from .checkpoint import read_checkpoint
from .named_code import require_consent
from .protocol import FactoryCode, InputSpec, ModelSpec, Source, SourceModel, change_model
from .state_dict_match import match, require_fit, shapes_of

SHAPES, WEIGHTS = "shapes.json", "weights.safetensors"
Recorded = TypeVar("Recorded")


class ExportedFolder:
    """The folder of a PyTorch export, which holds `shapes.json` and `weights.safetensors`."""

    def __init__(self, source_of: Callable[[str], Source]) -> None:
        """Take what finds the source of the recorded original."""
        self._source_of = source_of

    def matches(self, source: str) -> bool:
        """True for a folder with a `shapes.json`, or the `shapes.json` itself."""
        return is_export(source)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open the recorded original and cut it to the recorded shapes."""
        from ..runtime import load_pruned

        folder, document = _folder(spec.source), read_shapes(spec.source)
        check_special(folder / WEIGHTS)
        _check_chain(folder)
        recorded = replace(recorded_source(document, folder), download=spec.download)
        own = require_consent(recorded, str(document.get("seal", "")), folder, consent.everything)
        base = self._source_of(recorded.source).open(recorded, token, own)

        def make() -> Any:
            return load_pruned.load_pruned(base.factory, str(folder / SHAPES), str(folder / WEIGHTS))

        kept = _recorded(document, "input_shape", tuple[int, ...], folder)
        inputs = _recorded(document, "inputs", tuple[InputSpec, ...], folder)
        if not spec.asked_inputs and not base.inputs:
            spec = replace(spec, inputs=inputs)
        origin = Origin(
            make=make,
            name=f"{base.name}, pruned",
            input_shape=kept or base.input_shape,
            task=base.task,
            inputs=base.inputs,
        )
        return open_origin(origin, replace(spec, outputs=spec.outputs or recorded.outputs), token)

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The original's code: an export of an export repeats the recorded source."""
        recorded = recorded_source(read_shapes(spec.source), _folder(spec.source))
        return self._source_of(recorded.source).code(recorded, folder)


def is_export(source: str) -> bool:
    """Whether a path is the folder of an export, or its `shapes.json`."""
    return (_folder(source) / SHAPES).is_file()


def read_shapes(source: str) -> dict[str, Any]:
    """The content of an export's `shapes.json`."""
    path = _folder(source) / SHAPES
    try:
        document: Any = parse_json(read_whole(path))
    except (OSError, ValueError) as error:
        raise OpenError(
            "source.export_damaged", "Cannot read {path}: {error}. Export again.", path=str(path), error=str(error)
        ) from error
    if not isinstance(document, dict) or document.get("schema") != 1:
        raise OpenError(
            "source.export_schema",
            "{path} is not an export that this version of Secateur can read. Export again.",
            path=str(path),
        )
    return cast("dict[str, Any]", document)


def read_weights(path: str | Path, model: nn.Module, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Weights that were trained elsewhere, under the names of `model`, whose shapes they have.

    Args:
        path: A checkpoint, or the folder of a PyTorch export.
        model: What the weights are for; it stays as it is.
        trust_pickle: The user consented to run the checkpoint's pickle.

    Raises:
        OpenError: The file is no checkpoint, or its tensors have other names or shapes; the details list them.
    """
    folder = _folder(str(path))
    file = folder / WEIGHTS if is_export(str(path)) else folder
    found = match(read_checkpoint(file, trust_pickle), shapes_of(model), str(file))
    require_fit(found)
    return found.tensors


def _check_chain(folder: Path) -> None:
    """Raise OpenError where an export was made from an export, and so on, that was made from the first one."""
    seen = [folder.resolve()]
    while True:
        source = recorded_source(read_shapes(str(folder)), folder).source
        folder = _folder(source)
        if not is_export(source):
            return
        if folder.resolve() in seen:
            template = "{folder} names itself as its own source. Export again from the model."
            raise OpenError("source.export_circle", template, folder=str(folder))
        seen.append(folder.resolve())


def _recorded(document: dict[str, Any], key: str, kind: type[Recorded], folder: Path) -> Recorded:
    """What an export recorded of its example inputs, () where it did not."""
    try:
        return msgspec.convert(document.get(key, ()), kind)
    except msgspec.ValidationError as error:
        template = "{path} has no valid example inputs: {error}. Export again."
        raise OpenError(
            "source.export_shape", template, path=str(folder / SHAPES), error=str(error).rstrip(".")
        ) from error


def recorded_source(document: dict[str, Any], folder: Path) -> ModelSpec:
    """The source that an export recorded, its path made absolute."""
    try:
        recorded = msgspec.convert(document["source"], ModelSpec)
    except (KeyError, msgspec.ValidationError) as error:
        raise OpenError(
            "source.export_unnamed",
            "{folder} does not name the model it was made from. Load it with load_pruned.py as described in its "
            "README.",
            folder=str(folder),
        ) from error
    return change_model(recorded.without_consent, absolute_to(_folder(str(folder))))


def _folder(source: str) -> Path:
    path = Path(source).expanduser()
    return path.parent if path.name == SHAPES else path
