"""Opens a GGUF file of the Llama family as a transformers model: dequantised, rows of queries and keys put in order.

The package `gguf` reads the file. llama.cpp stores the rows of each head's queries and keys interleaved, as its rotary
embedding takes neighbours; transformers takes halves.
"""

import math
import struct
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Message, OpenError
from ..foreign_code.consent import Consent
from ..jobs import CancelToken, check
from ..runtime.read_gguf import NAMES
from ..storage.file_limits import check_special, check_unpacked
from ..text.python_code import called
from .build_model import Origin, open_origin
from .protocol import FactoryCode, ModelSpec, SourceModel

SUFFIX = ".gguf"
MAGIC = b"GGUF"
FAMILY = "llama"
"""What the file calls the architecture of Llama, Mistral, SmolLM and others that compute as these do."""
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Types of values in a header, and the bytes of those of a fixed size."""
MOST_ELEMENTS = 2_000_000
"""Values in a header: the largest vocabularies have some hundred thousand, with a score, a type and merges."""
TOKENS = 16
"""Tokens of an example."""


class GgufFile:
    """`path/to/model.gguf` of the Llama family."""

    def matches(self, source: str) -> bool:
        """True for a name that ends like a GGUF file."""
        return source.lower().endswith(SUFFIX)

    def open(self, spec: ModelSpec, token: CancelToken, consent: Consent) -> SourceModel:
        """Open it as `LlamaForCausalLM` in float32; nothing of the file is run as code."""
        import torch

        path = Path(spec.source).expanduser()
        found = _File(path)
        check(token)
        kind: Any = import_module("transformers").LlamaForCausalLM
        config: Any = import_module("transformers").LlamaConfig(**found.settings())
        heads = int(config.num_attention_heads), int(config.num_key_value_heads)

        def make() -> Any:
            """A model with the weights of the file; raises OpenError where they do not fit."""
            model = kind(config)
            # One tensor after the other: all of them beside the model would take its memory twice.
            own, left = model.state_dict(), set(model.state_dict())
            for name, value in found.weights(*heads):
                check(token)
                if name not in own or own[name].shape != value.shape:
                    raise _damaged(path, f"the tensor {name[:80]} does not fit")
                own[name].copy_(value)
                left.discard(name)
            if left - {"lm_head.weight"}:
                raise _damaged(path, f"it lacks tensors: {sorted(left)[:5]}")
            return model

        ids = torch.randint(0, config.vocab_size, (2, TOKENS), generator=torch.Generator().manual_seed(0))
        template = "Converted from {types} to float32, as trained and cut weights are no longer quantised."
        types = sorted({str(one.tensor_type.name) for one in found.tensors.values()})
        note = Message("gguf.dequantised", template, {"types": ", ".join(types)})
        origin = Origin(make=make, name=path.stem, notes=(note,), inputs={"input_ids": ids, "use_cache": False})
        return open_origin(origin, spec, token)

    def code(self, spec: ModelSpec, folder: Path) -> FactoryCode:
        """The class with its configuration written out."""
        settings = _File(Path(spec.source).expanduser()).settings()
        return FactoryCode(
            "from transformers import LlamaConfig, LlamaForCausalLM\n\n\n"
            f"def make_model():\n    return LlamaForCausalLM({called('LlamaConfig', **settings)})"
        )


class _File:
    """A file as the package `gguf` reads it: a table of fields, and tensors that stay on disk until they are read."""

    def __init__(self, path: Path) -> None:
        for library in ("gguf", "transformers"):
            if find_spec(library) is None:
                template = "Opening a GGUF file needs the package {library}. Install it: pip install {library}"
                raise OpenError("gguf.library", template, library=library)
        check_special(path)
        if not path.is_file():
            raise OpenError("gguf.missing", "File {path} does not exist. Check the path.", path=str(path))
        try:
            with path.open("rb") as file:
                _check_header(file, path.stat().st_size)
        except (OSError, ValueError, struct.error) as error:
            raise _damaged(path, str(error)) from error
        self.path = path
        self._library: Any = import_module("gguf")
        try:
            self._reader: Any = self._library.GGUFReader(path)
            self.tensors: dict[str, Any] = {str(one.name): one for one in self._reader.tensors}
            family = str(self._field("general.architecture"))
        except Exception as error:  # whatever the package says of what it cannot read
            raise _damaged(path, str(error)) from error
        if family != FAMILY:
            template = (
                "{path} holds a model of the architecture {family}; only the Llama family can be opened from GGUF. "
                "Open the model's Hugging Face folder instead."
            )
            raise OpenError("gguf.family", template, path=str(path), family=family[:80])
        odd = next(
            (n for n in ("rope.scaling.type", "expert_count") if self._of_family(n) not in (None, 0, "none")), ""
        )
        odd = "rope_freqs" if "rope_freqs.weight" in self.tensors else odd
        if odd:
            template = "{path} uses {what}, which is not read from GGUF. Open the model's Hugging Face folder instead."
            raise OpenError("gguf.form", template, path=str(path), what=odd)

    def _field(self, name: str) -> Any:
        field = self._reader.get_field(name)
        return None if field is None else field.contents()

    def _of_family(self, name: str) -> Any:
        return self._field(f"{FAMILY}.{name}")

    def settings(self) -> dict[str, Any]:
        """Fields of the configuration; sizes are those of the tensors."""
        try:
            vocabulary, width = self._shape("token_embd.weight")
            heads, layers = int(self._of_family("attention.head_count")), int(self._of_family("block_count"))
            groups = int(self._of_family("attention.head_count_kv") or heads)
            rows, _ = self._shape("blk.0.attn_q.weight")
            settings: dict[str, Any] = {
                "vocab_size": vocabulary,
                "hidden_size": width,
                "intermediate_size": self._shape("blk.0.ffn_up.weight")[0],
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "num_key_value_heads": groups,
                "head_dim": rows // heads,
                "max_position_embeddings": int(self._of_family("context_length") or 2048),
                "rms_norm_eps": float(self._of_family("attention.layer_norm_rms_epsilon") or 1e-5),
                "rope_theta": float(self._of_family("rope.freq_base") or 10000.0),
                "tie_word_embeddings": "output.weight" not in self.tensors,
                "attention_bias": "blk.0.attn_q.bias" in self.tensors,
            }
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise _damaged(self.path, f"it lacks {error}") from error
        blocks = {name.split(".")[1] for name in self.tensors if name.startswith("blk.")}
        if len(blocks) != layers or blocks != {str(n) for n in range(layers)} or rows % heads or heads % max(groups, 1):
            raise _damaged(self.path, "its blocks or heads are not those that it names")
        for name, key in (("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id")):
            if (token := self._field(f"tokenizer.ggml.{name}")) is not None:
                settings[key] = int(token)
        return settings

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(int(one) for one in reversed(self.tensors[name].shape))

    def weights(self, heads: int, groups: int) -> Iterator[tuple[str, Any]]:
        """Names and tensors of the model's state dict, in float32."""
        import torch

        check_unpacked(self.path, 4 * sum(math.prod(self._shape(name)) for name in self.tensors))
        for name, tensor in self.tensors.items():
            *above, leaf, kind = name.split(".")
            if leaf not in NAMES:
                raise _damaged(self.path, f"the tensor {name[:80]} is unknown")
            try:
                value = np.asarray(self._library.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
                value = value.reshape(self._shape(name))
                if leaf in ("attn_q", "attn_k"):
                    value = halves(value, heads if leaf == "attn_q" else groups)
            except (ValueError, NotImplementedError) as error:
                raise _damaged(self.path, str(error)) from error
            block = f"model.layers.{above[1]}." if above else ""
            yield f"{block}{NAMES[leaf]}.{kind}", torch.from_numpy(np.array(value))


def _check_header(file: IO[bytes], size: int) -> None:
    """Raise ValueError where the header of a file says that there is more than the file holds.

    The package makes some objects for each element of an array, and takes what lies behind the end of a file for
    elements of no bytes: an array of 2^60 never ends.
    """
    left = MOST_ELEMENTS

    def number(form: str) -> int:
        return int(struct.unpack(f"<{form}", file.read(struct.calcsize(form)))[0])

    def skip(length: int) -> None:
        if length > size - file.tell():
            raise ValueError("it names more than it holds")
        file.seek(length, 1)

    def pass_by(kind: int, count: int) -> None:
        """Go behind some values of a kind."""
        nonlocal left
        left -= count
        if left < 0:
            raise ValueError(f"it has more than {MOST_ELEMENTS} values beside its tensors")
        if kind in WIDTHS:
            return skip(WIDTHS[kind] * count)
        for _ in range(count):
            if kind == STRING:
                skip(number("Q"))
            elif kind == ARRAY:
                pass_by(number("I"), number("Q"))
            else:
                raise ValueError(f"it has values of an unknown type {kind}")
        return None

    if file.read(4) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    if number("I") not in VERSIONS:
        raise ValueError("its version is unknown")
    tensors, fields = number("Q"), number("Q")
    for _ in range(min(fields, MOST_ELEMENTS)):
        pass_by(STRING, 1)
        pass_by(number("I"), 1)
    for _ in range(min(tensors, MOST_ELEMENTS)):
        pass_by(STRING, 1)
        skip(8 * number("I") + 12)


def halves(value: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of queries or keys [heads * d, ...]: of each head those at even places first, then the others."""
    return value.reshape(heads, -1, 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def pairs(value: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """The other way round: of each head the rows of both halves in turns."""
    return value.reshape(heads, 2, -1, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def _damaged(path: Path, why: str) -> OpenError:
    template = "{path} is not a GGUF file that can be read, or it is damaged. Copy or download it again."
    return OpenError("gguf.damaged", template, why, path=str(path))
