"""Domains of text in Parquet and CSV files, and in datasets that Hugging Face's library saved on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from secateur.engine.errors import DataError
from secateur.engine.tasks.data_task import DataTask
from secateur.engine.tasks.open import kind_of, open_task
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.tasks.tables.parquet import ArrowFile

TEXTS = {"wiki": "a", "code": "b"}
COUNTS = {"wiki": 5, "code": 10}
"""Sequences of 8 bytes of each domain to train on."""


def cells(name: str, split: str) -> pa.Table:
    """A few rows of text, of which no two documents share a sequence."""
    count = COUNTS[name] if split == "train" else 3
    return pa.table({"text": [TEXTS[name] * 8] * count})


def save_to_disk(table: pa.Table, folder: Path) -> None:
    """As the library `datasets` writes a split: Arrow streams in parts, and what it notes of them."""
    folder.mkdir(parents=True)
    half = table.num_rows // 2
    for number, some in enumerate((table.slice(0, half), table.slice(half))):
        with pa.ipc.new_stream(folder / f"data-{number:05}-of-00002.arrow", table.schema) as stream:
            stream.write_table(some, max_chunksize=2)
    (folder / "state.json").write_text('{"_data_files": []}')


def write(root: Path, form: str) -> Path:
    for split in ("train", "validation"):
        for name in TEXTS:
            table = cells(name, split)
            match form:
                case "named":
                    parquet.write_table(table, root / f"{split}-{name}.parquet")
                case "csv":
                    csv.write_csv(table, root / f"{split}-{name}.csv")
                case "folders":
                    (root / name).mkdir(exist_ok=True)
                    parquet.write_table(table, root / name / f"{split}-00000-of-00001.parquet")
                case "saved by split":
                    save_to_disk(table, root / f"{split}-{name}")
                case _:
                    save_to_disk(table, root / name / split)
    return root


@pytest.mark.parametrize("form", ["named", "csv", "folders", "saved", "saved by split"])
def test_each_form_names_its_domains_and_gives_their_texts(tmp_path: Path, form: str) -> None:
    where = str(write(tmp_path, form))
    assert kind_of(where) == ("csv" if form == "csv" else "parquet")
    options = (("tokenizer", "bytes"), ("length", "8"), ("purpose", "causal"))
    task = open_task(TaskSpec(kind_of(where), where, batch=4, options=options))
    assert isinstance(task, DataTask) and task.info(None).domains == ("code", "wiki")
    mixture = task.mixture()
    assert mixture is not None and mixture.proportions == pytest.approx([10 / 15, 5 / 15])
    drawn = np.concatenate([inputs.numpy() for inputs, _ in task.mixed_batches(mixture)])
    assert drawn.shape == (15, 8) and (drawn == ord("a")).all(1).sum() == 5 and (drawn == ord("b")).all(1).sum() == 10


def test_a_saved_dataset_without_domains_is_one_of_its_splits(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        save_to_disk(cells("wiki", split), tmp_path / split)
    (tmp_path / "train" / "cache-1a2b.arrow").write_bytes(b"of a map or filter")
    options = (("tokenizer", "bytes"), ("length", "8"), ("purpose", "causal"))
    task = open_task(TaskSpec(kind_of(str(tmp_path)), str(tmp_path), options=options))
    assert task.info(None).sizes[Split.TRAIN.value] == 5 and task.info(None).domains == ()


def test_rows_of_an_arrow_file_are_taken_in_any_order_across_its_batches(tmp_path: Path) -> None:
    save_to_disk(pa.table({"n": list(range(9)), "words": [str(n) for n in range(9)]}), tmp_path / "train")
    file = ArrowFile(tmp_path / "train" / "data-00001-of-00002.arrow")
    assert len(file.column("n")) == 5
    assert list(file.column("n").take(np.array([4, 0, 3]))) == [8, 4, 7]
    assert file.column("words").take(np.array([1])) == ["5"]
    assert [list(one) for one in file.column("n").pieces()] == [[4, 5], [6, 7], [8]]


def test_rows_of_an_arrow_file_are_taken_without_copying_its_batches(tmp_path: Path) -> None:
    table = pa.table({"bytes": [bytes(1_000_000)] * 32})
    with pa.ipc.new_stream(tmp_path / "data.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=4)
    column, usual = ArrowFile(tmp_path / "data.arrow").column("bytes"), pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    try:
        assert list(map(len, column.take(np.array([30, 1])))) == [1_000_000] * 2
    finally:
        pa.set_memory_pool(usual)
    assert pool.max_memory() < 8_000_000


def test_a_damaged_arrow_file_is_refused(tmp_path: Path) -> None:
    save_to_disk(cells("wiki", "train"), tmp_path / "train")
    file = tmp_path / "train" / "data-00000-of-00002.arrow"
    whole = file.read_bytes()
    for broken in (b"nothing", whole[: len(whole) // 2], whole[:200] + b"\xff" * 40 + whole[240:]):
        file.write_bytes(broken)
        with pytest.raises(DataError, match="damaged"):
            ArrowFile(file)


def repeated_text() -> pa.RecordBatch:
    """A text of 2 MB that is named 500 times."""
    return pa.record_batch([pa.DictionaryArray.from_arrays([0] * 500, ["x" * 2_000_000])], names=["text"])


def empty_lists() -> pa.RecordBatch:
    """Lists without a number in them, which take no room however many there are."""
    none = pa.Array.from_buffers(pa.list_(pa.int32(), 0), 1 << 28, [None], children=[pa.array([], pa.int32())])
    return pa.record_batch([none], names=["text"])


@pytest.mark.parametrize(
    ("made", "compression", "code"),
    [
        (repeated_text, None, "file.unpacked"),
        (empty_lists, None, "file.unpacked"),
        (lambda: pa.record_batch([["a"]], names=["text"]), "zstd", "arrow.compressed"),
        (lambda: pa.record_batch([pa.array(["a"]).dictionary_encode()], names=["text"]), "lz4", "arrow.compressed"),
    ],
)
def test_an_arrow_file_that_unpacks_to_far_more_than_it_is_is_refused(
    tmp_path: Path, made: Callable[[], pa.RecordBatch], compression: str | None, code: str
) -> None:
    batch = made()
    with pa.ipc.new_stream(
        tmp_path / "data.arrow", batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as stream:
        stream.write_batch(batch)
    with pytest.raises(DataError) as refused:
        ArrowFile(tmp_path / "data.arrow").column("text")
    assert refused.value.message.code == code


def test_folders_of_which_some_have_no_splits_are_no_domains(tmp_path: Path) -> None:
    write(tmp_path, "folders")
    (tmp_path / "pictures").mkdir()
    assert kind_of(str(tmp_path)) == "folder"
