"""CSV: with and without names, numbers, pairs of sentences, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.engine.errors import TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split, Task
from secateur.engine.tasks.tables import delimited
from secateur.engine.tasks.tables.delimited import Delimited, Records
from secateur.engine.tasks.tables.open import check_numbers
from secateur.engine.tasks.tables.protocol import Chained, ColumnKind, whole
from secateur.engine.tracing.tree import tensors_of

from ..makers import spec
from .makers import write_csv

NUMBERS = [f"{n / 4},{n / 7},{n / 4 + 3 * n / 7}" for n in range(30)]
PAIRS = [f'"{"a" * n}, said",b,{n / 2 + 0.25}' for n in range(1, 31)]


def opened(path: str, **options: str) -> Task:
    return open_task(spec("csv", path, options=tuple(options.items())))


@pytest.mark.parametrize("header", [True, False])
def test_a_regression_of_columns_of_numbers(tmp_path: Path, header: bool) -> None:
    task = opened(write_csv(tmp_path / "a.csv", *(["width,height,target"] if header else []), *NUMBERS))
    metric = finish(task.evaluate(lambda x: x[:, 0] + 3 * x[:, 1] + 2, Split.TEST, NeverCancelled()))
    assert (metric.name, metric.count, metric.percent, metric.higher_is_better) == ("RMSE", 3, False, False)
    assert metric.value == pytest.approx(2.0, abs=1e-5)
    assert metric.error == pytest.approx(0.0, abs=1e-5)
    loss = task.loss(lambda x: x[:, 0] + 3 * x[:, 1] + 2, next(task.batches(Split.TRAIN)))
    assert loss is not None and loss.item() == pytest.approx(4.0, abs=1e-4)


def test_several_columns_are_found_at_once_and_features_can_be_named(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "a,b,c", *NUMBERS)
    task = opened(path, label="c, a", features="b", purpose="regression")
    x, y = next(task.batches(Split.TRAIN))
    assert x.shape == (24, 1) and y.shape == (24, 2)
    assert torch.allclose(y[:, 0], y[:, 1] + 3 * x[:, 0].double(), atol=1e-5)


def test_pairs_of_sentences_with_a_score_need_no_names(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", *PAIRS)
    task = opened(path, tokenizer="bytes", length="64")
    (inputs,) = tensors_of(task.example_inputs())
    assert inputs.shape == (4, 64)  # two pairs: their first sentences, then their second ones
    assert (inputs[:2, 0] == ord("a")).all() and (inputs[2:, 0] == ord("b")).all()

    def longer_is_more_alike(x: torch.Tensor) -> torch.Tensor:
        angle = torch.where(x[:, 0] == ord("a"), 0.03 * (50 - (x > 0).sum(1)), 0.0)
        return torch.stack([angle.cos(), angle.sin()], 1)

    metric = finish(task.evaluate(longer_is_more_alike, Split.TEST, NeverCancelled()))
    assert (metric.name, metric.value, metric.count) == ("Spearman", pytest.approx(1.0), 3)


def test_classes_in_words_and_a_header_that_must_be_denied(tmp_path: Path) -> None:
    lines = [f"text {n};{('no', 'yes')[n % 2]}" for n in range(30)]
    path = write_csv(tmp_path / "a.csv", *lines)
    options = {"tokenizer": "bytes", "length": "8"}
    assert opened(path, header="no", **options).info(None).classes == ("no", "yes")
    assert opened(path, header="no", **options).info(None).sizes["train"] == 24
    with pytest.raises(TaskError, match="No label column found"):
        opened(path, **options)  # the first line is taken for names


@pytest.mark.parametrize(
    ("lines", "options", "sentence"),
    [
        (["a,label", "1,2", "3"], {}, "Record 3 .* has 1 cells, but the first has 2"),
        (["a,label", *["1,2"] * 20, ",3"], {}, "Column a .* has 1 empty cells"),
        (["a,label", *["nan,2"] * 20], {}, "Column a contains NaN or infinity, first in row 1"),
        (["a,label", *["1,0.5"] * 20], {"purpose": "classification"}, "class numbers"),
        (["a,target", *["1,x"] * 20], {"purpose": "regression"}, "must be finite numbers"),
        (["a,b", *["1,2"] * 20], {"label": "c"}, "Column c does not exist or cannot be used. Choose from a, b"),
        (["a,label", *["1,2"] * 20], {"purpose": "luck"}, "Unknown purpose luck"),
        (
            ["a,b,label", *["x,y,1"] * 20],
            {"tokenizer": "bytes"},
            "Two columns contain text: a and b.*choose the purpose similarity",
        ),
        (["a,label", *["x,1"] * 20], {}, "Tokenizer .* not found"),
        (["a,label", *["x,1"] * 20], {"tokenizer": "bytes", "length": "1"}, "whole number of at least 2 tokens"),
        (["a,b,label", *["x,2,1"] * 20], {"features": "a,b"}, "not text and whole number together"),
        (["a,b,label", *["1,2,1"] * 20], {"purpose": "similarity"}, "2 text columns are needed, but found"),
        (["a,label", *["1,2"] * 20], {"purpose": "segmentation"}, "classification and .* only, not for segmentation"),
        (["a,label", "1,2"], {}, "Too few"),
        (["a,label"], {}, "no rows below"),
        ([""], {}, "is empty"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_words(
    tmp_path: Path, lines: list[str], options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(TaskError, match=sentence):
        opened(write_csv(tmp_path / "a.csv", *lines), **options)


def test_more_columns_than_can_be_used_are_refused_before_any_is_made(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"has 200,001 columns. At most 131,072 can be opened"):
        opened(write_csv(tmp_path / "a.csv", "," * 200_000, "," * 200_000))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("é,1\n".encode("latin-1") * 9)
    with pytest.raises(TaskError, match="not a readable CSV file in UTF-8"):
        opened(str(tmp_path / "a.csv"))


def test_the_splits_are_the_same_every_time(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "a,b,target", *NUMBERS)

    def rows(seed: str) -> list[np.ndarray]:
        return [np.concatenate([x for x, _ in opened(path, seed=seed).batches(split)]) for split in Split]

    assert all(np.array_equal(a, b) for a, b in zip(rows("3"), rows("3")))
    assert not np.array_equal(rows("3")[0], rows("4")[0])
    assert len(np.unique(np.concatenate(rows("3")), axis=0)) == 30


def test_records_are_found_where_they_begin(tmp_path: Path) -> None:
    """Quoted line ends, an empty line, umlauts, a byte order mark, Windows line ends."""
    cells = [f"line {n}\nnext, ä{'ö' * (n % 5)}" for n in range(60)]
    text = "text,label\r\n\r\n" + "".join(f'"{cell}",{n % 2}\r\n' for n, cell in enumerate(cells))
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    table = Delimited(tmp_path / "a.csv")
    column, labels = table.column("text"), table.column("label")
    assert (
        table.named and dict(table.kinds) == {"text": ColumnKind.TEXT, "label": ColumnKind.WHOLE} and len(column) == 60
    )
    rows = np.array([59, 0, 31, 31])
    assert column.take(rows) == [cells[row] for row in rows]
    assert np.array_equal(labels.take(rows), [1, 0, 1, 1])
    assert whole(column) == cells


def test_a_file_that_changes_under_the_program_is_not_read_on(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", "a,b,target", *NUMBERS)
    task = opened(path)
    write_csv(tmp_path / "a.csv", "a,b,target", "an,other,record", *NUMBERS)
    with pytest.raises(TaskError, match="has changed since it was opened"):
        list(task.batches(Split.TRAIN))


def test_cells_of_several_files_follow_one_another() -> None:
    class Few:
        def __init__(self, cells: list[str]) -> None:
            self.cells = cells

        def __len__(self) -> int:
            return len(self.cells)

        def take(self, rows: np.ndarray) -> list[str]:
            return [self.cells[row] for row in rows]

        def parts(self) -> tuple[np.ndarray, int] | None:
            return None if len(self.cells) < 3 else (np.array([0, 2]), 2)

    column = Chained([Few(["a", "b"]), Few(["c", "d", "e"]), Few(["f"])])  # type: ignore[list-item]
    assert column.take(np.array([5, 0, 3, 0, 2])) == ["f", "a", "d", "a", "c"]
    parts = column.parts()
    assert parts is not None
    starts, held = parts
    assert starts.tolist() == [0, 2, 4, 5] and held == 2


def test_a_look_at_all_columns_reads_each_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = Records._parse

    def noted(self: Records, lines: Iterator[str]) -> Iterator[list[str]]:
        for cells in real(self, lines):
            read.append(cells[0])
            yield cells

    monkeypatch.setattr(delimited, "PIECE", 8)
    table = Delimited(Path(write_csv(tmp_path / "a.csv", "a,b,c", *NUMBERS)))
    monkeypatch.setattr(Records, "_parse", noted)
    check_numbers(("a", "b", "c"), [table.column(name) for name in ("a", "b", "c")])
    assert len(read) == len(NUMBERS)


def test_lines_that_end_as_on_old_machines_are_lines(tmp_path: Path) -> None:
    """Carriage returns alone, longer than one block of the file; quoted ones stay in their cell."""
    cells = [f"line {n}\rnext {'x' * 300}" for n in range(60)]
    text = "text;label\r" + "".join(f'"{cell}";{n % 2}\r' for n, cell in enumerate(cells))
    (tmp_path / "a.csv").write_bytes(text.encode())
    table = Delimited(tmp_path / "a.csv")
    rows = np.array([59, 0, 31])
    assert table.column("text").take(rows) == [cells[row] for row in rows] and len(table.column("text")) == 60
    assert np.array_equal(table.column("label").take(rows), [1, 0, 1])


def test_numbers_are_parsed_once_for_all_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = opened(write_csv(tmp_path / "a.csv", "a,b,target", *NUMBERS))
    first = [x.clone() for x, _ in task.batches(Split.TRAIN)]
    monkeypatch.setattr(Records, "take", lambda *_: pytest.fail("a record was parsed again"))
    again = [x for x, _ in task.batches(Split.TRAIN)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_whole_numbers_beyond_64_bits_are_numbers_like_others(tmp_path: Path) -> None:
    lines = [f"{2**63 + 4096 * n},{2**62 + n},{n / 4},{n % 2}" for n in range(30)]
    path = write_csv(tmp_path / "a.csv", "hash,large,width,label", *lines)
    kinds = Delimited(Path(path)).kinds
    assert (kinds["hash"], kinds["large"], kinds["label"]) == (ColumnKind.NUMBER, ColumnKind.WHOLE, ColumnKind.WHOLE)
    x, y = next(opened(path, features="width").batches(Split.TRAIN))
    assert torch.equal(y, (4 * x[:, 0]).long() % 2)
    x, _ = next(opened(path, features="hash").batches(Split.TRAIN))
    assert float(x.min()) >= 2.0**63


def test_classes_in_words_are_numbered_in_an_order_that_is_given(tmp_path: Path) -> None:
    words = ("low", "medium", "high")
    path = write_csv(tmp_path / "a.csv", "width,label", *(f"{n % 3},{words[n % 3]}" for n in range(30)))
    task = opened(path, classes='["none", "low", "medium", "high"]')
    assert task.info(None).classes == ("none", *words)
    for x, y in task.batches(Split.TRAIN):
        assert torch.equal(y, x[:, 0].long() + 1)
    assert opened(path, classes='["low", "medium"]').info(None).classes == ("high", "low", "medium")


def test_quotation_marks_that_enclose_no_cell_stay_in_a_tsv_and_are_told_in_a_csv(tmp_path: Path) -> None:
    texts = [f'"word {n}' if n % 10 == 0 else f'"So" it {n}' if n % 10 == 5 else f"word {n}" for n in range(40)]
    lines = [f"{text}\t{n % 2}" for n, text in enumerate(texts)]
    table = Delimited(Path(write_csv(tmp_path / "a.tsv", "text\tlabel", *lines)))
    assert list(table.column("text").take(np.arange(40))) == texts
    with pytest.raises(TaskError, match=r"record 2: .* Put cells with quotation marks into"):
        Delimited(Path(write_csv(tmp_path / "a.csv", "text,label", *(line.replace("\t", ",") for line in lines))))


def test_names_may_be_numbers_and_have_spaces_around_them(tmp_path: Path) -> None:
    rows = [f"{n / 4},{n / 7},{n}" for n in range(40)]
    table = Delimited(Path(write_csv(tmp_path / "a.csv", "0,1, target", *rows)))
    assert table.named and list(table.kinds) == ["0", "1", "target"] and len(table.column("target")) == 40
    bare = Delimited(Path(write_csv(tmp_path / "b.csv", "0,1,word", *(f"{n},1,a" for n in range(40)))))
    assert not bare.named and len(bare.column("1")) == 41


def test_a_mark_for_what_is_missing_is_no_name_and_quotes_around_several_lines_no_cell(tmp_path: Path) -> None:
    bare = Delimited(Path(write_csv(tmp_path / "a.csv", "NA,1.5,0", *(f"{n},1,1" for n in range(40)))))
    assert not bare.named and len(bare.column("2")) == 41
    lines = ['"open', *(f"text {n}" for n in range(20)), 'closed"']
    table = Delimited(Path(write_csv(tmp_path / "a.tsv", *(f"{text}\t{n}" for n, text in enumerate(lines)))))
    assert len(table.column("1")) == 22
