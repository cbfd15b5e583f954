"""Text for language models: sequences of equal length, with the next token or a hidden one as the target.

Documents are packed: they stand one behind the other, with the token that ends a document between them, and are divided
into sequences wherever these are full, so that no position is padding.

A plain text file, a folder with `train`, `val` and `test` texts, or a column of texts in a table.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import DataError, Message, TaskError
from ..storage.file_limits import check_special, check_unpacked
from .data_task import DataTask
from .domain_mixture import UNNAMED
from .protocol import NOT_ASKED, PACKED, PACKING, Split, Task, TaskSpec, option
from .purposes.table import LANGUAGE, purpose_of
from .splitting import divide, domain_of, files_by_split, seed_of
from .tokens import Tokens, length_of, tokens_of

HIDDEN = 0.15
"""Share of the tokens that are hidden (Devlin et al. 2019)."""

MOST_UNKNOWN = 0.5
"""Share of unknown tokens above which the tokenizer is not that of the text."""

UNKNOWN_TEXT = "text.unknown"
"""Code of what is said then."""

CHUNK = 4 * 2**20
"""Characters of a file that are read at a time, and as many more at most to the end of the line."""


Document: TypeAlias = Iterable[str]
"""A text in parts."""

TokensAndTargets: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""What the model is given and which tokens are right, both [n, T]."""

MakeTargets: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], TokensAndTargets]
"""Makes questions of sequences [n, T] and their numbers [n] in the split that they were given in."""


class Sequences:
    """Sequences of tokens (`Data`); the model takes them as one tensor [n, T], by position. They lie in a file.

    Attributes:
        title: Name of the file.
        classes: None.
        labelled: Always: the text itself is right.
        domains: Names of the parts that files give, such as `train-wiki.txt`; () for none. Unnamed text to train on is
            one more where others are named.
    """

    classes: tuple[str, ...] = ()
    labelled = True

    def __init__(
        self, title: str, stored: Mapping[Split, "StoredSequences"], ask: Mapping[Split, MakeTargets], seed: int
    ) -> None:
        """Take the tokens of splits, divided further by the seed where splits are missing."""
        self.title = title
        self._stored, self._ask = stored, ask
        self._rows = divide({split: len(some) for split, some in stored.items()}, seed)
        named = {name for one in stored.values() for name in one.domains if name}
        if named and "" in stored[self._rows[Split.TRAIN][0]].domains:
            named.add(UNNAMED)
        self.domains = tuple(sorted(named))

    def size(self, split: Split) -> int:
        """How many sequences a split has."""
        return len(self._rows[split][1])

    def domain_rows(self, split: Split) -> tuple[NDArray[np.int64], ...]:
        """The rows of each domain in a split."""
        source, taken = self._rows[split]
        stored = self._stored[source]
        names = [name or UNNAMED for name in stored.domains]
        named = np.array([names[number] for number in stored.numbers_of_domains[taken].tolist()], np.str_)
        return tuple(np.flatnonzero(named == name) for name in self.domains)

    def read(self, split: Split, rows: NDArray[np.int64]) -> torch.Tensor:
        """Tokens [n, T] int64."""
        return torch.from_numpy(self._inputs_and_targets(split, rows)[0])

    def targets(self, split: Split, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Right tokens [n, T]."""
        return self._inputs_and_targets(split, rows)[1]

    def _inputs_and_targets(self, split: Split, rows: NDArray[np.int64]) -> TokensAndTargets:
        source, taken = self._rows[split]
        numbers = taken[rows]
        return self._ask[source](self._stored[source].take(numbers), numbers)


def open_text(spec: TaskSpec) -> DataTask:
    """Open plain text; the next token is asked for, unless the specification says else."""
    texts: dict[Split, dict[str, Iterable[Document]]] = {}
    for split, files in files_by_split(spec.path, (".txt",)).items():
        named: dict[str, list[Path]] = {}
        for file in files:
            named.setdefault(domain_of(file, spec.path), []).append(file)
        texts[split] = {name: map(_read_file, some) for name, some in named.items()}
    return language_task(spec, texts)


def language_task(spec: TaskSpec, texts: Mapping[Split, Mapping[str, Iterable[Document]]]) -> DataTask:
    """A task of language modelling over documents by domain ("" for none), divided where they are not divided yet."""
    purpose = purpose_of(spec, *LANGUAGE)
    tokens, length, seed = tokens_of(spec), length_of(spec), seed_of(spec)
    masked = option(spec, "purpose") == "masked"
    # Tokens around each sequence divide documents already, where there are any.
    end = None if masked or tokens.after else tokens.end
    packing = () if end is None else ((PACKING, PACKED),)
    spec = replace(spec, options=(*(one for one in spec.options if one[0] != PACKING), *packing))
    stored = {split: store(some, tokens, length, end) for split, some in texts.items()}
    ask: dict[Split, MakeTargets] = {
        split: TokenMasking(tokens, seed, place) if masked else _next_tokens for place, split in enumerate(stored)
    }
    data = Sequences(Path(spec.path).name, stored, ask, seed)
    return DataTask(spec, data, purpose, remarks_on(max(one.unknown for one in stored.values())))


def remarks_on(unknown: float) -> tuple[Message, ...]:
    """What to say of a text of which a tokenizer does not know a share of the tokens."""
    template = (
        "The tokenizer does not know {share:.0%} of the text. Choose the tokenizer that belongs to the model and its "
        "text."
    )
    return (Message(UNKNOWN_TEXT, template, {"share": unknown}),) if unknown > MOST_UNKNOWN else ()


def require_known_text(task: Task | None) -> None:
    """Raise DataError for new text that its tokenizer mostly does not know; a project that has such still opens."""
    for remark in task.remarks if isinstance(task, DataTask) else ():
        if remark.code == UNKNOWN_TEXT:
            raise DataError.saying(remark)


class StoredSequences:
    """Sequences of equal length in a temporary file, of which only what is read comes into memory.

    Attributes:
        domains: Names, one behind the other in the file.
        numbers_of_domains: [N] which of them each sequence is of.
        unknown: Share of the text's tokens that stand for what the tokenizer does not know.
    """

    def __init__(
        self,
        numbers: NDArray[np.int32],
        before: Sequence[int],
        after: Sequence[int],
        domains: Mapping[str, int],
        unknown: float = 0.0,
    ) -> None:
        """Take tokens [N, T], those that stand around every sequence, and how many sequences each domain has."""
        self._numbers, self._before, self._after, self.unknown = numbers, before, after, unknown
        self.domains = tuple(domains)
        self.numbers_of_domains = np.repeat(np.arange(len(domains)), list(domains.values()))

    def __len__(self) -> int:
        """How many sequences there are."""
        return len(self._numbers)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Some of them, with the tokens around them."""
        around = [np.tile(np.array(some, np.int64), (len(rows), 1)) for some in (self._before, self._after)]
        return np.concatenate([around[0], self._numbers[rows].astype(np.int64), around[1]], 1)


def store(
    texts: Mapping[str, Iterable[Document]], tokens: Tokens, length: int, end: int | None = None
) -> StoredSequences:
    """Documents of each domain one behind the other as sequences of `length`, the rest is left.

    The tokenizer's own tokens stand around each sequence, `end` behind each document; no sequence is of two domains.

    The file has no name and is gone with what is returned.

    Raises:
        TaskError: The length leaves no room for text, or the disk has none for the tokens.
    """
    inner = length - len(tokens.before) - len(tokens.after)
    if inner < 2:
        template = "Sequences of {length} tokens leave no room for text. Choose a longer length."
        raise TaskError("text.length", template, length=length)
    try:
        file = tempfile.TemporaryFile(prefix="secateur-")  # noqa: SIM115  # lives as long as the array over it
        count, counts, seen, unknown = 0, dict[str, int](), 0, 0
        for name, some in texts.items():
            for document in some:
                for text in document:
                    numbers = np.asarray(tokens.numbers(text), np.int32)
                    numbers.tofile(file)
                    seen, unknown = seen + len(numbers), unknown + int((numbers == tokens.unknown).sum())
                if end is not None:
                    np.asarray([end], np.int32).tofile(file)
            file.flush()
            counts[name] = file.tell() // 4 // inner - count
            count += counts[name]
            file.truncate(4 * inner * count)
            file.seek(4 * inner * count)
        stored = np.memmap(file, np.int32, "r", shape=(count, inner)) if count else np.zeros((0, inner), np.int32)
    except OSError as error:
        template = "The disk is full: the tokens of the text do not fit in {folder}. Free some space there."
        raise TaskError("text.disk", template, str(error), folder=tempfile.gettempdir()) from error
    return StoredSequences(stored, tokens.before, tokens.after, counts, unknown / max(seen, 1))


def _next_tokens(rows: NDArray[np.int64], _numbers: NDArray[np.int64]) -> TokensAndTargets:
    """The tokens, and at each position the one that follows."""
    last = np.full((len(rows), 1), NOT_ASKED)
    return rows, np.concatenate([rows[:, 1:], last], 1)


class TokenMasking:
    """Hides some tokens of every sequence, always the same ones, at least one."""

    def __init__(self, tokens: Tokens, seed: int, place: int) -> None:
        """Hide by the tokenizer's token for that; `place` is the number of the split."""
        if tokens.mask is None:
            template = "The tokenizer has no mask token, so masked tokens cannot be predicted. Choose another purpose."
            raise TaskError("text.mask", template)
        self._mask, self._tokens = tokens.mask, tokens
        self._seed = seed, place

    def __call__(self, rows: NDArray[np.int64], numbers: NDArray[np.int64]) -> TokensAndTargets:
        """The tokens with some hidden, and those at their positions."""
        length = rows.shape[1]
        drawn: list[Any] = [np.random.default_rng((*self._seed, number)).random(length) for number in numbers.tolist()]
        draws = np.array(drawn, np.float64).reshape(rows.shape)
        draws[:, : len(self._tokens.before)] = draws[:, length - len(self._tokens.after) :] = 1.0
        hidden = draws <= np.maximum(draws.min(1, keepdims=True), HIDDEN)
        return np.where(hidden, self._mask, rows), np.where(hidden, rows, NOT_ASKED)


def _read_file(file: Path) -> Iterator[str]:
    """A text in parts, divided behind the ends of lines; raises DataError where it is none."""
    check_special(file, DataError)
    try:
        check_unpacked(file, file.stat().st_size, error=DataError)
        with file.open(encoding="utf-8") as opened:
            while text := opened.read(CHUNK):
                yield text + opened.readline(CHUNK)
    except (OSError, UnicodeDecodeError) as error:
        template = "{path} is not readable UTF-8 text. Save it as UTF-8, or choose another file."
        raise DataError("text.damaged", template, details=str(error), path=str(file)) from error
