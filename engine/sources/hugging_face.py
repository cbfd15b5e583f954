"""Source: a Hugging Face folder (config.json, safetensors), or `hf:org/name` from the local cache.

The class is the one that the configuration names, its weights are read by the library itself, and example inputs are
made from the configuration. Code of a folder runs only with consent; weights that are a pickle are not read, and
quantised ones are refused.
"""

import inspect
import json
import logging
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch import nn

from ..errors import Message, OpenError
from ..foreign_code.consent import FULL_CONSENT, Consent
from ..inference.model_inputs import MASK, Inputs
from ..jobs import CancelToken
from ..messages import listed
from ..storage.allocation_budget import allocation_budget
from ..storage.file_limits import disk_size, foreign_reader, parse_json, read_whole
from ..storage.safetensors_io import MappedCheckpoint, weights_on_meta
from ..tasks.purposes.table import described_purpose
from ..text.format import byte_size
from ..text.python_code import quoted
from .build_model import Origin, factory_of, open_origin
from .builder_arguments import check_configuration, check_names
from .named_code import REPOSITORY
from .protocol import FactoryCode, ModelSpec, SourceModel

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
"""Weights of other forms than safetensors, as they lie in such folders."""
WEIGHT_FILES = ("*.safetensors", INDEX, *PICKLES)
FETCHED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
"""What is fetched of a repository."""
DESCRIBED = ["*.json", "*.py"]
"""What is fetched where the configuration is enough."""
CLASSES = "num_labels"
"""Field of a configuration that says how many classes there are."""
NAME = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+")
LARGEST_DESCRIBED = 1 << 38
"""Bytes whose model may be planned without its weights, on the meta device."""
SHOWN, TIMEOUT = 5, 10.0
"""Names in a sentence; seconds that the question for size and licence may take."""


class HuggingFace:
    """A folder with `config.json` and safetensors weights; `hf:org/name` for one in the local cache."""

    def matches(self, source: str) -> bool:
        """True for `hf:...`, and for a folder with a configuration or with weights that would need one."""
        return source.startswith(REPOSITORY) or is_hugging_face(source)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open the folder with the class that its configuration names."""
        found = _find_folder(spec, consent)
        held = sum(disk_size(one) for one in found.weight_files())  # refuses what lacks them with a sentence
        origin = Origin(
            held=held,
            make=found.load,
            name=found.name,
            class_argument=CLASSES if "ForSequenceClassification" in found.architecture else "",
            notes=(found.note(),),
            inputs=found.inputs(),
        )
        made = open_origin(origin, spec, token)
        types = {path: one.dtype for path, one in _tensors(made.model)}
        plain = replace(origin, make=partial(found.build, types))
        return replace(made, factory=factory_of(plain, made.spec or spec), notes=(*made.notes, *found.unread))

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The class with its configuration written out; where the folder has code of its own, that is called."""
        found = _find_folder(spec, FULL_CONSENT)
        config = found.config(**spec.arguments)
        dtype = ", dtype=torch.bfloat16" if str(config.dtype) == "torch.bfloat16" and not spec.float32 else ""
        head = "import json\n\nimport torch\nimport transformers\n\n\ndef make_model():\n    "
        if found.code:
            own = f"transformers.AutoConfig.from_pretrained({quoted(str(found.folder))}, trust_remote_code=True)"
            auto = f"transformers.{found.auto}.from_config(config, trust_remote_code=True{dtype})"
            return FactoryCode(f"{head}config = {own}\n    return {auto}")
        text = quoted(json.dumps(config.to_diff_dict(), sort_keys=True, default=str))
        made = f"transformers.{type(config).__name__}.from_dict(json.loads({text}))"
        return FactoryCode(
            f"{head}config = {made}\n    return transformers.{found.architecture}._from_config(config{dtype})"
        )


def is_hugging_face(source: str) -> bool:
    """Whether a path is a folder as Hugging Face writes it, complete or not."""
    folder = Path(source).expanduser()
    return folder.is_dir() and ((folder / CONFIG).is_file() or any(folder.glob("*.safetensors*")))


def names_configuration(spec: ModelSpec) -> bool:
    """Whether a source is of this kind: a configuration describes the model."""
    return HuggingFace().matches(spec.source)


def skeleton(spec: ModelSpec, consent: Consent) -> SourceModel:
    """The model that a folder's configuration describes, on the meta device: the folder needs no weights.

    Args:
        spec: Names the folder, or `hf:org/name`.
        consent: What of the folder's own code may run.

    Raises:
        OpenError: Nothing can be built by the configuration.
    """
    with foreign_reader(spec.source):
        found = _find_folder(spec, consent, weights=False)
        with torch.device("meta"), allocation_budget(found.name, LARGEST_DESCRIBED):
            model = found.build({}, **spec.arguments).eval()
        inputs = found.inputs(**spec.arguments)
    if not inputs and not spec.asked_inputs:
        template = "The configuration of {name} does not say what its inputs look like. Open the model with weights."
        raise OpenError("source.hf_inputs", template, name=found.name)
    return SourceModel(model, lambda: model, found.name, (), None, (found.note(),), spec, inputs)


def on_disk(spec: ModelSpec, consent: Consent) -> tuple[SourceModel, MappedCheckpoint]:
    """The model of a folder, whose weights stay in its files until something computes with them.

    Args:
        spec: Names the folder, or `hf:org/name`.
        consent: What of the folder's own code may run.

    Raises:
        OpenError: The folder cannot be opened, or its files hold other tensors than the class has.
    """
    with foreign_reader(spec.source):
        found = _find_folder(spec, consent)
        files = found.weight_files()
        with weights_on_meta(), allocation_budget(found.name, sum(map(disk_size, files))):
            model: Any = found.build({}).eval()
        checkpoint = MappedCheckpoint(files)
        checkpoint.into(model)
        if (found.folder / GENERATION).is_file() and model.can_generate():
            model.generation_config = _library().GenerationConfig.from_pretrained(found.folder)
        inputs = found.inputs()
    return SourceModel(model, lambda: model, found.name, (), None, (found.note(),), spec, inputs), checkpoint


def folder_of(spec: ModelSpec) -> Path | None:
    """The folder that a source of this kind names, None for other sources and for what is not in the cache."""
    if is_hugging_face(spec.source):
        return Path(spec.source).expanduser()
    return _cached_folder(spec.source.removeprefix(REPOSITORY)) if spec.source.startswith(REPOSITORY) else None


class _Folder:
    """What a folder holds, as far as it is needed to open it.

    Attributes:
        name: For a person.
        folder: The folder.
        architecture: The class that the configuration names.
        code: Python files that have to run, () where the library has the class; those of a repository that is not here
            by the repository's name.
        auto: Name of the Auto class that opens code of the folder's own, "" without.
        kind: The class.
        unread: Remarks on weights that the folder lacks.
    """

    def __init__(self, name: str, folder: Path, consent: Consent) -> None:
        """Read the configuration; raises OpenError with a sentence where nothing can be opened by it."""
        self.name, self.folder = name, folder
        document = self._document()
        require_floats(name, folder, document)
        check_configuration(name, document)
        self._type = str(document.get("model_type", ""))
        self._named = str(document.get("transformers_weights") or "")
        named = cast("list[Any]", document.get("architectures") or [""])
        self.architecture = str(named[0])
        self.code, self.auto = self._own_code(document)
        self.unread: tuple[Message, ...] = ()
        if self.code:
            consent.require(self.code, folder)
        self.kind: Any = self._class()

    def _document(self) -> dict[str, Any]:
        path = self.folder / CONFIG
        if not path.is_file():
            template = "{folder} has weights, but no config.json, which names the model's class. Add the file."
            raise OpenError("source.hf_no_config", template, folder=str(self.folder))
        try:
            document: Any = parse_json(read_whole(path))
        except (OSError, ValueError) as error:
            template = "Cannot read {path}: {error}. Get the file again."
            raise OpenError("source.hf_config", template, path=str(path), error=str(error).rstrip(".")) from error
        if not isinstance(document, dict) or not ({"model_type", "architectures"} & document.keys()):
            template = "{path} names neither model_type nor architectures. Choose the folder of a Transformers model."
            raise OpenError("source.hf_not_transformers", template, path=str(path))
        return cast("dict[str, Any]", document)

    def _own_code(self, document: dict[str, Any]) -> tuple[tuple[str, ...], str]:
        """Python files that have to run, as the library lacks the class, and the Auto class that they belong to.

        A class may be named with another repository, or another folder, whose code the library takes then.
        """
        transformers = _library()
        named: Any = document.get("auto_map")
        if not isinstance(named, dict) or hasattr(transformers, self.architecture or " "):
            return (), ""
        places = {str(auto): str(place) for auto, place in cast("dict[Any, Any]", named).items()}
        auto = next((one for one, place in places.items() if place.endswith(f".{self.architecture}")), "AutoModel")
        found, others = sorted(map(str, self.folder.glob("*.py"))), set[str]()
        for place in places.values():
            other, dashes, name = place.rpartition("--")
            folder = (Path(other) if Path(other).is_dir() else _cached_folder(other)) if dashes else None
            files = folder.glob("*.py") if folder is not None else ()
            others |= {*map(str, files)} or ({f"{other}/{name.partition('.')[0]}.py"} if dashes else set())
        return (*found, *sorted(others)), auto

    def _class(self) -> Any:
        transformers = _library()
        if self.code:
            return getattr(transformers, self.auto, None) or self._unknown()
        name = self.architecture
        found = getattr(transformers, name, None) if name else None
        if isinstance(found, type) and issubclass(found, transformers.PreTrainedModel):
            return found
        if name or self._type not in transformers.CONFIG_MAPPING:
            return self._unknown()
        base = transformers.MODEL_MAPPING.get(transformers.CONFIG_MAPPING[self._type], None) or self._unknown()
        self.architecture = base.__name__
        return base

    def _unknown(self) -> Any:
        transformers = _library()
        template = "Transformers {version} does not know the architecture {name}. Update transformers."
        name = self.architecture or self._type
        raise OpenError("source.hf_unknown", template, name=name, version=transformers.__version__)

    def weight_files(self) -> tuple[Path, ...]:
        """The files that the library reads, in its order: model.safetensors, else those that the index names.

        What else lies in the folder (an older file, another precision) is not read. A configuration may name another
        file, or index, which then comes first.

        Raises:
            OpenError: Weights are missing, or no safetensors.
        """
        places = (self._named,) if self._named else (WEIGHTS, INDEX)
        if self._named and (Path(self._named).name != self._named or not (self.folder / self._named).is_file()):
            raise self._lacks([self._named], CONFIG)
        found = next((self.folder / one for one in places if (self.folder / one).is_file()), None)
        if found is None:
            raise self._no_weights()
        if found.suffix != ".json":
            return (found,)
        try:
            content: Any = parse_json(read_whole(found))
            shards = {str(one) for one in cast("dict[str, Any]", content["weight_map"]).values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            template = "Cannot read {path}: {error}. Get the file again."
            raise OpenError("source.hf_index", template, path=str(found), error=repr(error)) from error
        outside = sorted(one for one in shards if Path(one).name != one)
        if missing := outside or sorted(one for one in shards if not (self.folder / one).is_file()):
            raise self._lacks(missing, found.name)
        return tuple(self.folder / one for one in sorted(shards))

    def _lacks(self, missing: Sequence[str], named_by: str) -> OpenError:
        template = "{folder} lacks {files}, which {index} names. Get the missing files."
        files = listed(missing, SHOWN)
        return OpenError("source.hf_shards", template, folder=str(self.folder), files=files, index=named_by)

    def _no_weights(self) -> OpenError:
        """The error for a folder in which the library finds no weights; names those of other forms and names."""
        if others := sorted(one.name for one in self.folder.glob("*.safetensors")):
            template = (
                "{folder} has {files}, but weights are read from {weights} or the files of {index}. Rename the file, "
                "or add the index."
            )
            files = listed(others, SHOWN)
            return OpenError(
                "source.hf_other_weights", template, folder=str(self.folder), files=files, weights=WEIGHTS, index=INDEX
            )
        if pickles := sorted(one.name for pattern in PICKLES for one in self.folder.glob(pattern)):
            template = (
                "The weights of {name} are in {files}, which can run code when loaded. Save the model again with "
                "save_pretrained, which writes safetensors."
            )
            return OpenError("source.hf_pickle", template, name=self.name, files=listed(pickles, SHOWN))
        template = "{folder} has a config.json, but no weights (*.safetensors). Add them."
        return OpenError("source.hf_no_weights", template, folder=str(self.folder))

    def config(self, **arguments: Any) -> Any:
        """The configuration, with other values for some of its fields."""
        transformers = _library()
        # A file may set fields of the architecture's own, and none of the base class: those may load foreign code
        # (`attn_implementation`).
        base = set(signature(transformers.PretrainedConfig).parameters)
        own = set[str]() if self.code else set(signature(self.kind.config_class).parameters) - base
        check_names("transformers", arguments, own | {CLASSES})
        check_configuration(self.name, arguments)
        loader = transformers.AutoConfig if self.code else self.kind.config_class
        trust = {"trust_remote_code": True} if self.code else {}
        with _quiet():
            return loader.from_pretrained(self.folder, local_files_only=True, **trust, **arguments)

    def inputs(self, **arguments: Any) -> Inputs:
        """Example inputs as the configuration describes them."""
        with allocation_budget(self.name, 0):
            return example_inputs(self.kind, self.config(**arguments))

    def load(self, **arguments: Any) -> nn.Module:
        """The model with its weights, in their own type."""
        trust = {"trust_remote_code": True} if self.code else {}
        with _quiet():
            model, report = self.kind.from_pretrained(
                self.folder,
                config=self.config(**arguments),
                dtype="auto",
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=bool(arguments),
                **trust,
            )
        if absent := sorted(report["missing_keys"]):
            template = "{names} are not in the folder's weights and are random."
            self.unread = (Message("source.hf_missing", template, {"names": listed(absent, SHOWN)}),)
        return model

    def build(self, types: dict[str, Any], **arguments: Any) -> nn.Module:
        """A module of the same shape with random weights.

        Args:
            types: Of parameters and buffers, by name.
            arguments: Fields of the configuration.
        """
        config = self.config(**arguments)
        with _quiet():
            model = self.kind.from_config(config, trust_remote_code=True) if self.code else self.kind(config)
        for path, one in _tensors(model):
            one.data = one.data.to(types.get(path, one.dtype))
        return model

    def note(self) -> Message:
        """What was opened."""
        words = {"architecture": self.architecture or self._type}
        purpose = described_purpose(self.architecture)
        if purpose is None:
            return Message("source.hf", "Opened as {architecture}.", words)
        return Message("source.hf_purpose", "Opened as {architecture}: {purpose}.", words | {"purpose": purpose})


def _library() -> Any:
    """The library, whose stubs are unknown in large part."""
    return import_module("transformers")


def _find_folder(spec: ModelSpec, consent: Consent, weights: bool = True) -> _Folder:
    """The folder that a source names, fetched where the user allowed that; without `weights` only its description."""
    if find_spec("transformers") is None:
        template = "Transformers is not installed, which opens {name}. Install it: pip install transformers"
        raise OpenError("source.hf_missing_library", template, name=spec.source)
    if not spec.source.startswith(REPOSITORY):
        folder = Path(spec.source).expanduser()
        return _Folder(folder.resolve().name, folder, consent)
    name = spec.source.removeprefix(REPOSITORY)
    if NAME.fullmatch(name) is None:
        template = "{name!r} is not the name of a repository. Write it like hf:org/name."
        raise OpenError("source.hf_name", template, name=name)
    folder, wanted = _cached_folder(name), FETCHED if weights else DESCRIBED
    if folder is not None and weights and not any(any(folder.glob(one)) for one in WEIGHT_FILES):
        folder = None  # its configuration alone was fetched
    if folder is None:
        if not spec.download:
            _refuse_download(name, consent, wanted)
        if weights:  # what cannot be opened is refused before its weights are fetched
            _Folder(name, _fetch(name, DESCRIBED), consent)
        folder = _fetch(name, wanted)
    return _Folder(name, folder, consent)


def _cached_folder(name: str) -> Path | None:
    """Where a repository lies in the local cache, None where it does not."""
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, local_files_only=True))
    except hub.errors.LocalEntryNotFoundError:
        return None


def _fetch(name: str, wanted: Sequence[str]) -> Path:
    try:
        return Path(import_module("huggingface_hub").snapshot_download(name, allow_patterns=list(wanted)))
    except Exception as error:  # whatever the library and the network raise
        template = "Cannot fetch {name}: {error}. Check the name and the connection."
        text = str(error).strip().splitlines()[0].rstrip(".")
        raise OpenError("source.hf_fetch", template, repr(error), name=name, error=text) from error


def _refuse_download(name: str, consent: Consent, wanted: Sequence[str]) -> NoReturn:
    """Raise OpenError with what would be fetched; size and licence where the user named the repository by hand."""
    size, licence = 0, ""
    if consent.names(REPOSITORY + name):
        # No connection, no such repository: the sentence says then that size and licence are unknown.
        with suppress(Exception):
            facts = import_module("huggingface_hub").HfApi().model_info(name, files_metadata=True, timeout=TIMEOUT)
            files = cast("list[Any]", facts.siblings or [])
            fetched = [one for one in files if any(fnmatch(one.rfilename, pattern) for pattern in wanted)]
            size = sum(one.size or 0 for one in fetched)
            licence = str(getattr(facts.card_data, "license", None) or "")
    template = "{name} is not in the local cache ({size}, licence: {licence}). Allow downloads to fetch it."
    words = byte_size(size) if size else Message("source.hf_no_size", "size unknown")
    unknown = Message("source.hf_no_licence", "unknown")
    raise OpenError("source.hf_download", template, name=name, size=words, licence=licence or unknown)


def _tensors(model: nn.Module) -> list[tuple[str, Any]]:
    return [*model.named_parameters(), *model.named_buffers()]


@contextmanager
def _quiet() -> Generator[None]:
    """The library's remarks and progress bars are of no use to a person."""
    own = import_module("transformers.utils.logging")
    loggers = [logging.getLogger(name) for name in ("transformers", "huggingface_hub")]
    levels, bars = [one.level for one in loggers], own.is_progress_bar_enabled()
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        own.disable_progress_bar()
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
        if bars:
            own.enable_progress_bar()


FIELDS = ("quantization_config", "compression_config")
"""Fields of a configuration that tell of quantised weights; the second one was compressed-tensors' own."""
FILES = {"quantize_config.json": "gptq", "quant_config.json": "awq", "hf_quant_config.json": "modelopt"}
"""Files in which some tools tell it instead, and what they write."""
LENGTH = 60
"""Characters of a method's name."""


def require_floats(name: str, folder: Path, config: Mapping[str, Any]) -> None:
    """Raise OpenError where a folder holds quantised weights.

    Args:
        name: Of the model, for a person.
        folder: The folder.
        config: What its config.json holds.
    """
    found = _describe_quantisation(config)
    for file, method in FILES.items():
        if found is None and (folder / file).is_file():
            try:
                content: Any = parse_json(read_whole(folder / file))
            except (OSError, ValueError):  # the file's name says enough
                found = method
            else:
                found = _name_method(cast("dict[str, Any]", content) if isinstance(content, dict) else {}, method)
    if found is not None:
        template = (
            "{name} is quantised ({what}): its packed weights can be neither cut nor trained. Open the model that it "
            "was made from, in float32 or bfloat16, prune that, and quantise the result."
        )
        raise OpenError("source.hf_quantised", template, name=name, what=found)


def _describe_quantisation(config: Mapping[str, Any]) -> Message | str | None:
    """How a configuration, or a part of it, says that weights are quantised; None where it does not."""
    for field in FIELDS:
        if isinstance(settings := config.get(field), dict) and settings:
            return _name_method(cast("dict[str, Any]", settings), "")
    parts = [
        cast("dict[str, Any]", one) for key, one in config.items() if key.endswith("_config") and isinstance(one, dict)
    ]
    return next((words for part in parts if (words := _describe_quantisation(part)) is not None), None)


def _name_method(settings: Mapping[str, Any], method: str) -> Message | str:
    """Method and bits: "gptq, 4 bits"."""
    bits = [bits for bits in (4, 8) if settings.get(f"load_in_{bits}bit") or settings.get(f"_load_in_{bits}bit")]
    bits += [one for key in ("bits", "w_bit", "num_bits") if isinstance(one := settings.get(key), int)]
    name = str(settings.get("quant_method") or method or ("bitsandbytes" if bits else "quantization_config"))[:LENGTH]
    if not bits:
        return name
    return Message("source.hf_bits", "{method}, {bits} bits", {"method": name, "bits": bits[0]})


SAMPLES = 2
TOKENS, TARGETS = 16, 9
"""Tokens of a sample, and of what a decoder has said so far; fewer where a model takes fewer."""
SIGNAL = 16000
"""Samples of a second of speech."""
SPECIAL = re.compile(r"token_id$|token_index$")
SEED = 0


def example_inputs(kind: Any, config: Any) -> dict[str, Any]:
    """Inputs by name, two samples: the model's main input, and what must come beside it.

    Args:
        kind: The model's class.
        config: Its configuration.

    Returns:
        Inputs by name; {} where the configuration does not say what they look like.
    """
    taken = list(inspect.signature(kind.forward).parameters) if hasattr(kind, "forward") else []
    main = getattr(kind, "main_input_name", "input_ids")
    generator = torch.Generator().manual_seed(SEED)
    found: dict[str, Any] = {}
    text, vision = getattr(config, "text_config", None), getattr(config, "vision_config", None)
    if text is not None and vision is not None:
        found["input_ids"] = _with_images(_ids(text, TOKENS, generator), config)
        found["pixel_values"] = _pixels(vision, generator)
    elif main == "input_ids" and hasattr(config, "vocab_size"):
        found["input_ids"] = _ids(config, TOKENS, generator)
        if not config.is_encoder_decoder and not _is_causal(kind):
            found[MASK] = torch.ones_like(found["input_ids"])
    elif main == "pixel_values":
        found[main] = _pixels(config if vision is None else vision, generator)
    elif main == "input_values" and not hasattr(config, "num_mel_bins"):
        found[main] = torch.randn(SAMPLES, SIGNAL, generator=generator)
    elif main == "input_values":
        found[main] = torch.randn(SAMPLES, config.max_length, config.num_mel_bins, generator=generator)
    elif main == "input_features" and hasattr(config, "max_source_positions"):
        frames = 2 * config.max_source_positions
        found[main] = torch.randn(SAMPLES, config.num_mel_bins, frames, generator=generator)
    if not found:
        return {}
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in taken:
        found["decoder_input_ids"] = _ids(config, TARGETS, generator)
    if "use_cache" in taken:
        found["use_cache"] = False
    return {name: found[name] for name in taken if name in found}


def _is_causal(kind: Any) -> bool:
    """Whether a class is of a family of decoders, whose tokens look back only."""
    auto: Any = import_module("transformers.models.auto.modeling_auto")
    family = kind.config_class.model_type
    return family in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and family not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _ids(config: Any, length: int, generator: torch.Generator) -> torch.Tensor:
    """[2, length] tokens that have no meaning of their own; the last one is the end of the text."""
    fields = cast("dict[str, Any]", vars(config))
    special = {v for name, v in fields.items() if SPECIAL.search(name) and isinstance(v, int)}
    most = getattr(config, "max_position_embeddings", None) or length
    plain = torch.tensor([v for v in range(min(config.vocab_size, 1000)) if v not in special] or [0])
    found = plain[torch.randint(len(plain), (SAMPLES, min(length, most)), generator=generator)]
    end = getattr(config, "eos_token_id", None)
    if isinstance(end, int) and 0 <= end < config.vocab_size:
        found[:, -1] = end
    return found


def _with_images(ids: torch.Tensor, config: Any) -> torch.Tensor:
    """As many image tokens before the text as the images have patches, where the text has places for them."""
    place = getattr(config, "image_token_id", None)
    if not isinstance(place, int):
        return ids
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    return torch.cat([torch.full((SAMPLES, patches), place), ids], dim=1)


def _pixels(config: Any, generator: torch.Generator) -> torch.Tensor:
    side = getattr(config, "image_size", None) or 224
    height, width = (side, side) if isinstance(side, int) else side
    return torch.randn(SAMPLES, getattr(config, "num_channels", 3) or 3, height, width, generator=generator)


CARRIED = ("license", "license_name", "license_link", "language", "datasets", "pipeline_tag")
"""Fields of an original's model card that hold for what was made of it too."""
CARD = "README.md"


def origin_of(spec: ModelSpec, model: Any) -> dict[str, Any]:
    """Fields of a model card that the original's own says, {} where nothing is known.

    Args:
        spec: Where the model came from; a Hugging Face folder has a card, a repository is the base model too.
        model: The module: those of timm know the licence of their weights.
    """
    folder = folder_of(spec)
    if folder is None:
        settings = getattr(model, "pretrained_cfg", None)
        licence = cast("Mapping[str, Any]", settings).get("license") if isinstance(settings, Mapping) else None
        return {"license": licence} if isinstance(licence, str) else {}
    found: dict[str, Any] = {}
    if (folder / CARD).is_file():
        library = import_module("huggingface_hub")
        try:
            card = library.ModelCard.load(folder / CARD, ignore_metadata_errors=True).data.to_dict()
        except Exception:  # a stranger's file: what it should say is not known then
            card = {}
        found = {name: card[name] for name in CARRIED if name in card}
    if spec.source.startswith(REPOSITORY):
        found["base_model"] = spec.source.removeprefix(REPOSITORY)
    return found
