"""The tokenizer of a GGUF file: copied from the one that a model came from, or written from a Hugging Face folder.

A folder's SentencePiece tokenizer is written as llama.cpp's converter does: `tokenizer.model` with its own scores, or
the `tokenizer.json` that was made from one. That has no scores, only merges in their order; a token's score is the
place of the merge that makes it, so that llama.cpp, which joins the pair of the highest score first, joins in that
order. (The converter writes equal scores, with which pairs are joined from the left.) A byte-level tokenizer (GPT-2,
Llama 3) is not written.
"""

import logging
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ..errors import Message, SecateurError
from ..sources.gguf_file import SUFFIX
from ..sources.hugging_face import folder_of
from ..sources.protocol import ModelSpec
from ..storage.file_limits import parse_json, read_whole

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
"""Tokens that llama.cpp's converter takes for control tokens, whatever the tokenizer says."""


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

    def put(self, number: int, text: bytes, score: float, kind: int) -> None:
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
        return None if _copied(writer, Path(spec.source).expanduser()) else _missing()
    if folder is None or not any((folder / one).is_file() for one in (PIECES, JSON)):
        return _missing()
    try:
        vocabulary = _vocabulary(folder, size)
        prefix, special = _read(folder / CONFIG).get("add_prefix_space"), _special(folder, size)
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


def _special(folder: Path, size: int) -> Any:
    """The special tokens and chat templates of a folder; raises whatever the package meets in odd files."""
    gguf: Any = import_module("gguf")
    with _quiet():
        found = gguf.SpecialVocab(folder, n_vocab=size)
        found.add_to_gguf(gguf.GGUFWriter(None, KIND), quiet=True)  # what it takes only now may be odd too
    return found


def _copied(writer: Any, source: Path) -> bool:
    """Copy the fields of a GGUF file's tokenizer; False where it has none, or is not there any more."""
    if not source.is_file():
        return False
    fields: Mapping[str, Any] = import_module("gguf").GGUFReader(source).fields
    own = {name: one for name, one in fields.items() if name.startswith(FIELDS)}
    for name, one in own.items():
        writer.add_key_value(name, one.contents(), one.types[0], one.types[-1] if len(one.types) > 1 else None)
    return bool(own)


def _vocabulary(folder: Path, size: int) -> _Vocabulary | Message:
    """The tokens of a folder's SentencePiece tokenizer, or why it has none that can be written."""
    kinds: Any = import_module("gguf").TokenType
    texts = [f"[PAD{number}]".encode() for number in range(size)]
    found = _Vocabulary(texts, [ABSENT] * size, [int(kinds.UNUSED)] * size)
    content, config = _read(folder / JSON), _read(folder / CONFIG)
    if (folder / PIECES).is_file() and find_spec("sentencepiece") is not None:
        read_whole(folder / PIECES)  # refuses what is no file of a reasonable size
        every = enumerate(import_module("gguf.vocab").SentencePieceVocab(folder).all_tokens())
    elif (model := content.get("model", {})).get("type") == "BPE" and model.get("byte_fallback"):
        every = _of_merges(model, kinds)
    elif (folder / PIECES).is_file():
        template = "The file has no tokenizer: {file} is read by SentencePiece. Install it: pip install sentencepiece"
        return Message("export.gguf_sentencepiece", template, {"file": str(folder / PIECES)})
    else:
        return _byte_level()
    for number, (text, score, kind) in every:
        found.put(number, text, score, int(kind))
    named = cast("dict[str, dict[str, Any]]", config.get("added_tokens_decoder", {}))
    listed = cast("list[dict[str, Any]]", content.get("added_tokens", []))
    for number, token in (named or {str(one["id"]): one for one in listed}).items():
        text = str(token["content"])
        control = bool(token.get("special")) or _looks_special(text)
        kind = kinds.CONTROL if control else kinds.USER_DEFINED
        found.put(int(number), (text if control else text.replace(SPACE, " ")).encode(), OWN, int(kind))
    return found


def _of_merges(model: Mapping[str, Any], kinds: Any) -> Iterable[tuple[int, tuple[bytes, float, Any]]]:
    """Numbers, and (text, score, type) of the tokens in the model part of a tokenizer.json."""
    places: dict[str, int] = {}
    for place, pair in enumerate(cast("list[str | list[str]]", model["merges"])):
        places.setdefault("".join(pair.split(" ", 1) if isinstance(pair, str) else pair), place)
    for text, number in cast("dict[str, int]", model["vocab"]).items():
        byte = len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        kind = kinds.BYTE if byte else kinds.UNKNOWN if text == model.get("unk_token") else kinds.NORMAL
        score = 0.0 if kind is not kinds.NORMAL else -float(places.get(text, len(places)))
        yield number, (text.encode(), score, kind)


def _looks_special(text: str) -> bool:
    """As llama.cpp's converter sees it."""
    ends = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    return text in SPECIAL or any(text.startswith(first) and text.endswith(last) for first, last in ends)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of a folder; empty where it is not there."""
    found: Any = parse_json(read_whole(path)) if path.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds no object")
    return cast("dict[str, Any]", found)


@contextmanager
def _quiet() -> Generator[None]:
    """The package's remarks on fields that it does not know are of no use to a person."""
    logger = logging.getLogger("gguf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _missing() -> Message:
    template = (
        "The file has no tokenizer, because the model came without one. Take that of the original's GGUF file, for "
        "example with gguf_new_metadata.py of llama.cpp."
    )
    return Message("export.gguf_tokenizer", template)


def _byte_level() -> Message:
    template = (
        "The file has no tokenizer: only one of SentencePiece is written, because a byte-level tokenizer.json does not "
        "say which of llama.cpp's pre-tokenizers it stands for. Take that of the original's GGUF file, for example "
        "with gguf_new_metadata.py of llama.cpp."
    )
    return Message("export.gguf_byte_level", template)
