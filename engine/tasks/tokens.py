"""Tokenisers: a Hugging Face `tokenizer.json`, or one token for each byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from numpy.typing import NDArray

from ..errors import DataError, Message
from ..storage.file_limits import foreign_reader, parse_json, read_whole
from .packages import require_package
from .protocol import BYTES, TOKENIZER, TOKENIZER_NOTES, TaskSpec, option

LENGTH = 128
"""Tokens of a sample, where nothing else is said."""
WITH_TEXT = ("csv", "parquet", "text")
"""Kinds of data that may hold text."""
TEXT, NUMBERS = 160, 8
"""Characters of a text, and how many of several numbers, that are shown of a sample."""
MASKS = ("[MASK]", "<mask>")
PADDINGS = ("[PAD]", "<pad>", "<|endoftext|>", "</s>", "<eos>")
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
UNKNOWNS = ("[UNK]", "<unk>")
"""What tokenizers call the token that stands for a hidden one, the one that fills up, the one behind a document, and
the one for what they do not know, where no file says it."""


class Tokens(Protocol):
    """A tokenizer."""

    @property
    def mask(self) -> int | None:
        """Number of the token that hides another, None where there is none."""
        ...

    @property
    def unknown(self) -> int | None:
        """Number of the token that stands for what is no token, None where there is none."""
        ...

    @property
    def end(self) -> int | None:
        """Number of the token behind a whole document, None where there is none."""
        ...

    @property
    def before(self) -> tuple[int, ...]:
        """Tokens that stand before every sequence."""
        ...

    @property
    def after(self) -> tuple[int, ...]:
        """Tokens that stand behind it."""
        ...

    def numbers(self, text: str) -> list[int]:
        """The tokens of a text, without those of `before` and `after`."""
        ...

    def padded(self, texts: Sequence[str], length: int) -> Any:
        """Texts as the model takes them, each cut or filled up to `length` tokens."""
        ...

    def text(self, numbers: Sequence[int]) -> str:
        """Tokens as a person reads them, special ones by name, without what fills up."""
        ...


class Bytes:
    """Every byte of the UTF-8 text is a token; 0 fills up and hides. The model takes one tensor, by position."""

    mask = 0
    unknown = None
    end = None
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def numbers(self, text: str) -> list[int]:
        """The bytes of a text."""
        return list(text.encode())

    def padded(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """[n, length] int64."""
        return torch.tensor([list(text.encode()[:length].ljust(length, b"\0")) for text in texts])

    def text(self, numbers: Sequence[int]) -> str:
        """The text; a byte that is part of none shows as such."""
        return bytes(numbers).rstrip(b"\0").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class HuggingFace:
    """A `tokenizer.json`. The model takes `input_ids` and `attention_mask` by name.

    Attributes:
        tokenizer: From the library `tokenizers`.
        mask: As of `Tokens`.
        end: As of `Tokens`.
        before: As of `Tokens`.
        after: As of `Tokens`.
        padding: The token that fills up.
        unknown: As of `Tokens`.
    """

    tokenizer: Any
    mask: int | None
    end: int | None
    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int
    unknown: int | None

    def numbers(self, text: str) -> list[int]:
        """The tokens of a text."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def padded(self, texts: Sequence[str], length: int) -> dict[str, torch.Tensor]:
        """input_ids and attention_mask, each [n, length] int64."""
        self.tokenizer.enable_truncation(length)
        ids = [one.ids for one in self.tokenizer.encode_batch(list(texts))]
        self.tokenizer.no_truncation()
        filled = [one + [self.padding] * (length - len(one)) for one in ids]
        present = [[1] * len(one) + [0] * (length - len(one)) for one in ids]
        return {"input_ids": torch.tensor(filled), "attention_mask": torch.tensor(present)}

    def text(self, numbers: Sequence[int]) -> str:
        """What the tokenizer makes of tokens."""
        filled = next((n for n, one in enumerate(reversed(numbers)) if one != self.padding), len(numbers))
        return self.tokenizer.decode(list(numbers[: len(numbers) - filled]), skip_special_tokens=False)


def tokens_of(spec: TaskSpec) -> Tokens:
    """The tokenizer that the option "tokenizer" names; without one, the tokenizer.json beside the data."""
    given = option(spec, "tokenizer")
    if given == BYTES:
        return Bytes()
    file = tokenizer_in(Path(given).expanduser()) if given else beside_data(spec)
    if not file.is_file():
        template = (
            "Tokenizer {path} not found. Name the model's tokenizer.json or its folder, or {bytes} for a model that "
            "reads text byte by byte."
        )
        raise DataError("tokenizer.missing", template, path=str(file), bytes=BYTES)
    return _read_tokenizer(file)


def in_words(samples: Sequence[torch.Tensor], spec: TaskSpec) -> list[str]:
    """What a person reads of samples [n, k]: tokens as text, else the first of the numbers; "" of other shapes."""
    if not samples or samples[0].ndim != 2:
        return [""] * len(samples)
    if spec.kind in WITH_TEXT and not samples[0].is_floating_point():
        tokens = tokens_of(spec)
        words: list[str] = []
        for one in samples:
            texts = [tokens.text(row) for row in _array(one)[:, :TEXT].tolist()]
            words.append("\n".join(t if len(t) <= TEXT else f"{t[:TEXT].rstrip()}\u2026" for t in texts))
        return words
    rows = [[f"{number:.3g}" for number in _array(one).flatten().tolist()] for one in samples]
    return [", ".join([*row[:NUMBERS], "\u2026"] if len(row) > NUMBERS else row) for row in rows]


def _array(x: torch.Tensor) -> NDArray[Any]:
    # NumPy knows no bfloat16.
    plain = x.float() if x.is_floating_point() else x
    return plain.detach().cpu().numpy()


def tokenizer_in(where: Path) -> Path:
    """The tokenizer.json that a path means: itself, or the one in a folder."""
    return where / TOKENIZER if where.is_dir() else where


def beside_data(spec: TaskSpec) -> Path:
    """Where the tokenizer.json of some data would lie."""
    data = Path(spec.path)
    return (data if data.is_dir() else data.parent) / TOKENIZER


def length_of(spec: TaskSpec) -> int:
    """Tokens of a sample: the option "length", `LENGTH` by default."""
    given = option(spec, "length", str(LENGTH))
    if not given.isdigit() or int(given) < 2:
        template = "The length of a sample must be a whole number of at least 2 tokens, not {given}."
        raise DataError("task.length", template, given=given)
    return int(given)


def _read_tokenizer(file: Path) -> HuggingFace:
    tokenizers = require_package("tokenizers", "text", Message("task.tokenizers", "Tokenizers"))
    try:
        with foreign_reader(str(file), DataError):
            tokenizer = tokenizers.Tokenizer.from_file(str(file))
            tokenizer.no_padding()
            tokenizer.no_truncation()
            # The special tokens before and behind a text are what encoding adds to it.
            bare: list[int] = tokenizer.encode("a", add_special_tokens=False).ids
            whole: list[int] = tokenizer.encode("a").ids
            start = next((i for i in range(len(whole)) if bare and whole[i : i + len(bare)] == bare), 0)
            around = tuple(whole[:start]), tuple(whole[start + len(bare) :])
    except DataError as error:
        template = "{path} is not a readable tokenizer.json. Choose another file."
        raise DataError("tokenizer.damaged", template, details=error.details, path=str(file)) from error
    mask = _number_of_special(tokenizer, file.parent, "mask_token", MASKS)
    end = _number_of_special(tokenizer, file.parent, "eos_token", ENDS)
    padding = _number_of_special(tokenizer, file.parent, "pad_token", PADDINGS)
    unknown = _number_of_special(tokenizer, file.parent, "unk_token", UNKNOWNS)
    return HuggingFace(tokenizer, mask, end, *around, padding or 0, unknown)


def _number_of_special(tokenizer: Any, folder: Path, role: str, usual: tuple[str, ...]) -> int | None:
    """Number of a special token, by what the files beside say or by what is usual."""
    names: list[str] = []
    for file in (folder / name for name in TOKENIZER_NOTES):
        try:
            content = parse_json(read_whole(file, error=DataError))
        except (OSError, ValueError):
            continue
        given = cast("dict[str, Any]", content).get(role) if isinstance(content, dict) else None
        name = cast("dict[str, Any]", given).get("content") if isinstance(given, dict) else given
        names += [name] if isinstance(name, str) else []
    names += usual
    return next((number for name in names if (number := tokenizer.token_to_id(name)) is not None), None)
