"""SmolLM2-135M-Instruct from its GGUF file: dequantised weights, and its tokeniser as a tokenizer.json."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from secateur.engine import ModelSpec, open_model

from . import harness, packages


def make() -> nn.Module:
    """The language model: tokens [N, T] to logits [N, T, vocabulary]."""
    model: Any = open_model(ModelSpec(str(_file()))).model
    model.config.use_cache = False
    return model.eval()


def tokenizer() -> Path:
    """The tokeniser as a file that the library `tokenizers` reads: byte-level BPE, digits apart."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    path = harness.work() / "smollm2" / "tokenizer.json"
    if not path.exists():
        words, merges = _strings("tokenizer.ggml.tokens"), _strings("tokenizer.ggml.merges")
        pairs = [(one.partition(" ")[0], one.partition(" ")[2]) for one in merges]
        made = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=pairs))
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens([AddedToken(words[n], special=True) for n in range(3)])
        packages.written(path, made.to_str())
    return path


def _file() -> Path:
    return packages.fetched(packages.SMOLLM)


@cache
def _reader() -> Any:
    reader: Any = import_module("gguf").GGUFReader
    return reader(str(_file()))


def _strings(key: str) -> list[str]:
    field = _reader().fields[key]
    return [bytes(field.parts[n]).decode("utf-8") for n in field.data]
