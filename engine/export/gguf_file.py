"""Exporter to GGUF for llama.cpp and what builds on it: a Llama as `llama`, one whose layers differ as `deci`."""

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bfloat16 import in_bfloat16
from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..runtime.read_gguf import FAMILY as DECI_FAMILY
from ..runtime.read_gguf import NAMES, SIZED, read_gguf
from ..sources.gguf_file import FAMILY, pairs
from ..storage.temporary_folders import temporary_folder
from ..surgery.repair.config_fit import FittedModel, is_transformers, misfit
from ..surgery.repair.decilm_form import decilm_config, fitted_or_decilm, is_llama
from .gguf_tokenizer import add_tokenizer
from .model_package import bytes_of
from .protocol import Exported, ExportRequest, Predictor
from .pytorch import check_by_code
from .staged_output import check_destination, staged_file
from .table import require

FORMAT, FILE = "gguf", "model.gguf"
LEAVES = {name: leaf for leaf, name in NAMES.items()}
"""Name in transformers -> name in a GGUF file."""
CODE = (
    "import sys\n\nsys.path.insert(0, folder)\nfrom read_gguf import read_gguf\n\n"
    f'model = read_gguf(f"{{{{folder}}}}/{FILE}", dtype="{{dtype}}")\n'
)
"""What loads a file in a fresh process, by the package gguf."""


class GgufExporter:
    """Writes one file in float32, or bfloat16 where the model is, with its tokenizer where that can be said."""

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
        return None if reason is None or decilm_config(model) is not None else _refused(request, reason)

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
        model = _described(request)
        yield Progress("Writing the file", 1, 3)
        with temporary_folder() as folder, staged_file(path) as temporary:
            lacking = _write(model, folder / FILE, request)
            for module in (read_gguf.__module__, DeciLMForCausalLM.__module__):
                source = Path(str(import_module(module).__file__))
                shutil.copyfile(source, folder / source.name)
            code = CODE.format(dtype="bfloat16" if in_bfloat16(model) else "float32")
            difference = yield from check_by_code(folder, code, request, token or NeverCancelled())
            shutil.copyfile(folder / FILE, temporary)
        notes = () if lacking is None else (lacking,)
        return Exported(FORMAT, (str(path),), difference, None, path.stat().st_size, notes)

    def predictor(self, path: str, threads: int = 1) -> Predictor:
        """The model that the file holds, built in this process."""
        return read_gguf(path).eval()


def _described(request: ExportRequest) -> Any:
    """The model as a Llama of one configuration, or else as one with a section for each layer."""
    found = fitted_or_decilm(request.model, request.inputs)
    if not isinstance(found, FittedModel):
        raise _refused(request, found)
    return found.model


def _refused(request: ExportRequest, reason: Message) -> ExportError:
    template = "{name} cannot be written as GGUF. {reason}"
    return ExportError("export.gguf_config", template, name=request.name, reason=reason)


def _family(model: Any) -> str:
    return FAMILY if is_llama(model) else DECI_FAMILY


def _write(model: Any, path: Path, request: ExportRequest) -> Message | None:
    """Write a file; returns why it has no tokenizer, None where it has one.

    Raises:
        ExportError: The package cannot write it.
    """
    gguf: Any = import_module("gguf")
    writer: Any = gguf.GGUFWriter(str(path), _family(model))
    try:
        writer.add_name(request.name)
        _add_sizes(writer, model)
        kinds = gguf.LlamaFileType
        writer.add_file_type(kinds.MOSTLY_BF16 if in_bfloat16(model) else kinds.ALL_F32)
        lacking = add_tokenizer(writer, request.spec, int(model.config.vocab_size))
        for name, tensor in _tensors(model).items():
            narrow = tensor.dtype is torch.bfloat16 and tensor.ndim > 1
            value: NDArray[Any] = _ordered(name, tensor.float().numpy(), int(model.config.head_dim))
            kind = gguf.GGMLQuantizationType.BF16 if narrow else None
            writer.add_tensor(_renamed(name), gguf.quants.quantize(value, kind) if narrow else value, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except ValueError as error:
        template = "The package gguf cannot write this model: {error}. Choose another format."
        raise ExportError("export.gguf_write", template, error=str(error)) from error
    finally:
        writer.close()
    return lacking


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    """The weights that a file has: a tied head is the embedding."""
    left_out = {"lm_head.weight"} if model.config.tie_word_embeddings else set[str]()
    return {name: one for name, one in model.state_dict().items() if name not in left_out}


def _add_sizes(writer: Any, model: Any) -> None:
    """The fields of the architecture; what differs from layer to layer is a list."""
    config, shapes = model.config, {name: len(one) for name, one in model.state_dict().items()}
    layers, width = int(config.num_hidden_layers), int(config.head_dim)
    rows = [[shapes.get(f"model.layers.{n}.{part}.weight", 0) for n in range(layers)] for part in SIZED]
    heads, groups, neurons = [[size // width for size in one] for one in rows[:2]] + [rows[2]]
    writer.add_block_count(layers)
    writer.add_vocab_size(int(config.vocab_size))
    writer.add_context_length(int(config.max_position_embeddings))
    writer.add_embedding_length(int(config.hidden_size))
    one = _family(model) == FAMILY
    writer.add_head_count(heads[0] if one else heads)
    writer.add_head_count_kv(groups[0] if one else groups)
    writer.add_feed_forward_length(neurons[0] if one else neurons)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))


def _renamed(name: str) -> str:
    """The name in the file: blk.3.ffn_up.weight for model.layers.3.mlp.up_proj.weight."""
    inside, _, kind = name.rpartition(".")
    if not inside.startswith("model.layers."):
        return f"{LEAVES[inside]}.{kind}"
    number, _, part = inside.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{LEAVES[part]}.{kind}"


def _ordered(name: str, value: NDArray[np.float32], head_dim: int) -> NDArray[np.float32]:
    """Rows of queries and keys as llama.cpp's rotary embedding takes them."""
    turned = name.split(".")[-2] in ("q_proj", "k_proj")
    return np.ascontiguousarray(pairs(value, len(value) // head_dim) if turned else value)
