"""Exporter to GGUF for llama.cpp and what builds on it: a Llama as `llama`, one whose layers differ as `deci`.

The tokenizer is copied from the GGUF file that a model came from, or written from a Hugging Face folder. A folder's
SentencePiece tokenizer is written as llama.cpp's converter does: `tokenizer.model` with its own scores, or the
`tokenizer.json` that was made from one. That has no scores, only merges in their order; a token's score is the place of
the merge that makes it, so that llama.cpp, which joins the pair of the highest score first, joins in that order. (The
converter writes equal scores, with which pairs are joined from the left.) A byte-level tokenizer (GPT-2, Llama 3) is
not written.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ExportError, Message, SecateurError
from ..inference.bfloat16 import in_bfloat16
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..runtime.read_gguf import FAMILY as DECI_FAMILY
from ..runtime.read_gguf import NAMES, SIZED, read_gguf
from ..sources.gguf_file import FAMILY, SUFFIX, pairs
from ..sources.hugging_face import folder_of
from ..sources.protocol import ModelSpec
from ..storage.file_limits import parse_json, read_whole
from ..storage.temporary_folders import temporary_folder
from ..surgery.repair.config_fit import FittedModel, is_transformers, misfit
from ..surgery.repair.decilm_form import decilm_config, fitted_or_decilm, is_llama
from .model_package import bytes_of
from .protocol import Exported, ExportRequest, Predictor
from .pytorch import check_by_code
from .staged_output import check_destination, staged_file
from .table import require
from .torch_exporters import quiet

FORMAT, FILE = "gguf", "model.gguf"
LEAVES = {name: leaf for leaf, name in NAMES.items()}
"""Name in transformers -> name in a GGUF file."""
CODE = (
    "import sys\n\nsys.path.insert(0, folder)\nfrom read_gguf import read_gguf\n\n"
    f'model = read_gguf(f"{{{{folder}}}}/{FILE}", dtype="{{dtype}}")\n'
)
"""What loads a file in a fresh process, by the package gguf."""
FIELDS = "tokenizer."
"""How the names of fields about the tokenizer begin."""
PIECES, JSON, CONFIG, ADDED = "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "added_tokens.json"
KIND, PRE = "llama", "default"
"""What llama.cpp calls SentencePiece, and the way in which it splits text before."""
ABSENT, OWN = -10_000.0, -1_000.0
"""Scores that llama.cpp's converter gives to numbers without a token, and to tokens that were added."""
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for a space in a SentencePiece token."""
SPECIAL = ("<pad>", "<mask>")
BRACKETS = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
"""Tokens, and what tokens begin and end with, that llama.cpp's converter takes for control tokens."""


class GgufExporter:
    """Writes one file in float32, or bfloat16 where the model is, with its tokenizer where GGUF has a form for it."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """A model of another family, one with scaled rotary embeddings or sizes that neither form has."""
        model = request.model
        if find_spec("gguf") is None:
            template = "Writing GGUF needs the package gguf. Install it: pip install 'secateur[gguf]'"
            return ExportError("export.gguf_library", template)
        if not is_transformers(model) or not is_llama(model):
            template = (
                "{name} is not a Llama of the Transformers library, the family that GGUF is written for. Choose "
                "another format."
            )
            return ExportError("export.gguf_class", template, name=request.name)
        rope = model.config.rope_parameters["rope_type"]
        if rope != "default":
            template = (
                "{name} has rotary embeddings of type {rope}, which GGUF is not written with. Choose another format."
            )
            return ExportError("export.gguf_rope", template, name=request.name, rope=rope)
        reason = misfit(model)
        return None if reason is None or decilm_config(model) is not None else _refusal(request, reason)

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write the file, then load it by the package gguf in a process that cannot import Secateur, and compare.

        Raises:
            ExportError: Nothing is left behind, an older file of that name is still there.
        """
        from ..runtime.modeling_decilm import DeciLMForCausalLM  # brings transformers

        path = Path(request.path).expanduser().absolute()
        require(self.refusal(request))
        check_destination(path, bytes_of(request.model))
        yield Progress("Finding the sizes of the layers", 0, 3)
        fitted = fitted_or_decilm(request.model, request.inputs)
        if not isinstance(fitted, FittedModel):
            raise _refusal(request, fitted)
        model = fitted.model
        yield Progress("Writing the file", 1, 3)
        with temporary_folder() as folder, staged_file(path) as temporary:
            lacking = _write(model, folder / FILE, request)
            for module in (read_gguf.__module__, DeciLMForCausalLM.__module__):
                source = Path(str(import_module(module).__file__))
                shutil.copyfile(source, folder / source.name)
            # The check starts a process without Secateur: what reads the file goes into the folder too.
            code = CODE.format(dtype="bfloat16" if in_bfloat16(model) else "float32")
            difference = yield from check_by_code(folder, code, request, token or NeverCancelled())
            shutil.copyfile(folder / FILE, temporary)
        notes = () if lacking is None else (lacking,)
        return Exported(FORMAT, (str(path),), difference, None, path.stat().st_size, notes)

    def predictor(self, path: str) -> Predictor:
        """The model that the file holds, built in this process."""
        return read_gguf(path).eval()


def _refusal(request: ExportRequest, reason: Message) -> ExportError:
    template = "{name} cannot be written as GGUF. {reason}"
    return ExportError("export.gguf_config", template, name=request.name, reason=reason)


def _write(model: Any, path: Path, request: ExportRequest) -> Message | None:
    """Write a Llama of one configuration, or one with a section for each layer, to a file.

    Returns:
        Why it has no tokenizer, None where it has one.

    Raises:
        ExportError: The package cannot write it.
    """
    gguf: Any = import_module("gguf")
    alike = is_llama(model)
    writer: Any = gguf.GGUFWriter(str(path), FAMILY if alike else DECI_FAMILY)
    config, weights = model.config, model.state_dict()
    layers, width = int(config.num_hidden_layers), int(config.head_dim)
    try:
        writer.add_name(request.name)
        # What differs from layer to layer is a list.
        sizes = {name: len(one) for name, one in weights.items()}
        rows = [[sizes.get(f"model.layers.{n}.{part}.weight", 0) for n in range(layers)] for part in SIZED]
        heads, groups, neurons = [[size // width for size in one] for one in rows[:2]] + [rows[2]]
        writer.add_block_count(layers)
        writer.add_vocab_size(int(config.vocab_size))
        writer.add_context_length(int(config.max_position_embeddings))
        writer.add_embedding_length(int(config.hidden_size))
        writer.add_head_count(heads[0] if alike else heads)
        writer.add_head_count_kv(groups[0] if alike else groups)
        writer.add_feed_forward_length(neurons[0] if alike else neurons)
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_rope_dimension_count(width)
        writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
        writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
        kinds = gguf.LlamaFileType
        writer.add_file_type(kinds.MOSTLY_BF16 if in_bfloat16(model) else kinds.ALL_F32)
        lacking = add_tokenizer(writer, request.spec, int(config.vocab_size))
        for name, tensor in weights.items():
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue  # llama.cpp takes the embedding where a file has no head
            inside, _, ending = name.rpartition(".")
            if inside.startswith("model.layers."):
                number, _, part = inside.removeprefix("model.layers.").partition(".")
                leaf = f"blk.{number}.{LEAVES[part]}.{ending}"
            else:
                leaf = f"{LEAVES[inside]}.{ending}"
            value: NDArray[Any] = tensor.float().numpy()
            # llama.cpp's rotary embedding takes the rows of queries and keys in pairs.
            if name.split(".")[-2] in ("q_proj", "k_proj"):
                value = pairs(value, len(value) // width)
            value = np.ascontiguousarray(value)
            narrow = tensor.dtype is torch.bfloat16 and tensor.ndim > 1
            kind = gguf.GGMLQuantizationType.BF16 if narrow else None
            writer.add_tensor(leaf, gguf.quants.quantize(value, kind) if narrow else value, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except ValueError as error:
        template = "The package gguf cannot write this model: {error}. Choose another format."
        raise ExportError("export.gguf_write", template, error=str(error)) from error
    finally:
        writer.close()
    return lacking


@dataclass(slots=True)
class _Vocabulary:
    """The tokens of a model, by their numbers.

    Attributes:
        texts: UTF-8.
        scores: What is joined first has the highest.
        types: Members of `gguf.TokenType`.
    """

    texts: list[bytes]
    scores: list[float]
    types: list[int]

    def set_token(self, number: int, text: bytes, score: float, kind: int) -> None:
        """Set a token; raises ValueError where the model has no such row."""
        if not 0 <= number < len(self.texts):
            raise ValueError(f"token {number} of {len(self.texts)}")
        self.texts[number], self.scores[number], self.types[number] = text, score, kind


def add_tokenizer(writer: Any, spec: ModelSpec | None, size: int) -> Message | None:
    """Write the tokenizer of the model that a source names, as far as there is one.

    Args:
        writer: A `gguf.GGUFWriter`.
        spec: Where the model came from.
        size: Rows of its embedding.

    Returns:
        Why the file has no tokenizer; None where it has one.
    """
    folder = None if spec is None else folder_of(spec)
    if spec is not None and spec.source.lower().endswith(SUFFIX):
        source = Path(spec.source).expanduser()
        fields: Mapping[str, Any] = import_module("gguf").GGUFReader(source).fields if source.is_file() else {}
        own = {name: one for name, one in fields.items() if name.startswith(FIELDS)}
        for name, one in own.items():
            writer.add_key_value(name, one.contents(), one.types[0], one.types[-1] if len(one.types) > 1 else None)
        return None if own else _no_tokenizer()
    if folder is None or not any((folder / one).is_file() for one in (PIECES, JSON)):
        return _no_tokenizer()
    try:
        vocabulary = _vocabulary(folder, size)
        prefix = _read(folder / CONFIG).get("add_prefix_space")
        gguf: Any = import_module("gguf")
        with quiet():
            special = gguf.SpecialVocab(folder, n_vocab=size)
            # It takes more of the folder's fields only now, and meets odd ones before the file has any of them.
            special.add_to_gguf(gguf.GGUFWriter(None, KIND), quiet=True)
    except (SecateurError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        template = "The file has no tokenizer, because that of {folder} cannot be read or does not fit: {error}"
        return Message("export.gguf_tokenizer_unread", template, {"folder": str(folder), "error": str(error)})
    if isinstance(vocabulary, Message):
        return vocabulary
    writer.add_tokenizer_model(KIND)
    writer.add_tokenizer_pre(PRE)
    writer.add_token_list(vocabulary.texts)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if isinstance(prefix, bool):
        writer.add_add_space_prefix(prefix)
    special.add_to_gguf(writer, quiet=True)
    return None


def _vocabulary(folder: Path, size: int) -> _Vocabulary | Message:
    """The tokens of a folder's SentencePiece tokenizer, or why it has none that can be written."""
    kinds: Any = import_module("gguf").TokenType
    texts = [f"[PAD{number}]".encode() for number in range(size)]
    found = _Vocabulary(texts, [ABSENT] * size, [int(kinds.UNUSED)] * size)
    content, config = _read(folder / JSON), _read(folder / CONFIG)
    if (folder / PIECES).is_file() and find_spec("sentencepiece") is not None:
        read_whole(folder / PIECES)  # refuses a file of an unreasonable size
        every = enumerate(import_module("gguf.vocab").SentencePieceVocab(folder).all_tokens())
    elif (model := content.get("model", {})).get("type") == "BPE" and model.get("byte_fallback"):
        every = _tokens_of_merges(model, kinds)
    elif (folder / PIECES).is_file():
        template = "The file has no tokenizer: {file} is read by SentencePiece. Install it: pip install sentencepiece"
        return Message("export.gguf_sentencepiece", template, {"file": str(folder / PIECES)})
    else:
        template = (
            "The file has no tokenizer: only one of SentencePiece is written, because a byte-level tokenizer.json does "
            "not say which of llama.cpp's pre-tokenizers it stands for. Take that of the original's GGUF file, for "
            "example with gguf_new_metadata.py of llama.cpp."
        )
        return Message("export.gguf_byte_level", template)
    for number, (text, score, kind) in every:
        found.set_token(number, text, score, int(kind))
    named = cast("dict[str, dict[str, Any]]", config.get("added_tokens_decoder", {}))
    listed = cast("list[dict[str, Any]]", content.get("added_tokens", []))
    for number, token in (named or {str(one["id"]): one for one in listed}).items():
        text = str(token["content"])
        # As llama.cpp's converter sees it.
        looks_special = text in SPECIAL or any(text.startswith(a) and text.endswith(b) for a, b in BRACKETS)
        control = bool(token.get("special")) or looks_special
        kind = kinds.CONTROL if control else kinds.USER_DEFINED
        found.set_token(int(number), (text if control else text.replace(SPACE, " ")).encode(), OWN, int(kind))
    return found


def _tokens_of_merges(model: Mapping[str, Any], kinds: Any) -> Iterable[tuple[int, tuple[bytes, float, Any]]]:
    """Numbers, and (text, score, type) of the tokens in the model part of a tokenizer.json."""
    places: dict[str, int] = {}
    for place, pair in enumerate(cast("list[str | list[str]]", model["merges"])):
        places.setdefault("".join(pair.split(" ", 1) if isinstance(pair, str) else pair), place)
    for text, number in cast("dict[str, int]", model["vocab"]).items():
        byte = len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        kind = kinds.BYTE if byte else kinds.UNKNOWN if text == model.get("unk_token") else kinds.NORMAL
        score = 0.0 if kind is not kinds.NORMAL else -float(places.get(text, len(places)))
        yield number, (text.encode(), score, kind)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of a folder; empty where it is not there."""
    found: Any = parse_json(read_whole(path)) if path.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no object")
    return cast("dict[str, Any]", found)


def _no_tokenizer() -> Message:
    template = (
        "The file has no tokenizer, because the model came without one. Take that of the original's GGUF file, for "
        "example with gguf_new_metadata.py of llama.cpp."
    )
    return Message("export.gguf_tokenizer", template)
