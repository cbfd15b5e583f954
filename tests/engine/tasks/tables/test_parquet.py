"""Images, texts and numbers from Parquet files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from secateur.engine.errors import DataError, TaskError
from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.tasks.data import RowParts, shuffled_rows
from secateur.engine.tasks.open import open_task
from secateur.engine.tasks.protocol import Split
from secateur.engine.tracing.tree import tensors_of

from ..makers import Brightest, bands, rows_of, spec
from .makers import png, write_parquet

LABELS = np.arange(40) % 2
PIXELS = bands(LABELS, 2)
FILES = [png(image) for image in PIXELS]


def both(bytes_of: list[bytes]) -> list[dict[str, object]]:
    return [{"bytes": one, "path": None} for one in bytes_of]


@pytest.mark.parametrize("images", [FILES, both(FILES)], ids=["bytes", "struct"])
def test_images_are_judged_as_they_are(tmp_path: Path, images: list[object]) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": images, "label": LABELS})
    task = open_task(spec("parquet", path, mean=(0.0,), batch=4))
    assert task.info(None).sizes == {"train": 32, "val": 4, "test": 4}
    metric = finish(task.evaluate(Brightest(2), Split.TEST, NeverCancelled()))
    assert (metric.name, metric.value, metric.count) == ("top-1", 1.0, 4)
    (x, _), *_ = task.batches(Split.TRAIN)
    assert {row.numpy().tobytes() for row in x} <= {(one[None] / np.float32(255)).tobytes() for one in PIXELS}


def test_a_folder_gives_the_splits_and_shards_follow_one_another(tmp_path: Path) -> None:
    for name, rows in (
        ("train-00000-of-00002", slice(0, 9)),
        ("train-00001-of-00002", slice(9, 20)),
        ("test", slice(20, 40)),
    ):
        write_parquet(tmp_path / f"{name}.parquet", {"image": FILES[rows], "label": LABELS[rows]})
    task = open_task(spec("parquet", tmp_path))
    assert task.info(None).sizes == {"train": 18, "val": 2, "test": 20}
    assert not rows_of(task, "test") & (rows_of(task, "train") | rows_of(task, "val"))


def test_names_of_classes_are_those_of_the_file_or_the_labels_themselves(tmp_path: Path) -> None:
    noted = {"info": {"features": {"label": {"names": ["dark", "light"], "_type": "ClassLabel"}}}}
    path = write_parquet(tmp_path / "a.parquet", {"image": FILES, "label": LABELS}, huggingface=json.dumps(noted))
    assert open_task(spec("parquet", path)).info(None).classes == ("dark", "light")
    words = pa.array([("light", "dark")[label] for label in LABELS]).dictionary_encode()
    task = open_task(spec("parquet", write_parquet(tmp_path / "b.parquet", {"image": FILES, "label": words})))
    assert task.info(None).classes == ("dark", "light")
    assert [sample.label for sample in task.info(None).samples[:2]] == ["dark", "light"]
    for x, y in task.batches(Split.TRAIN):
        assert torch.equal(x[:, 0, :4].mean((1, 2)) > x[:, 0, 4:].mean((1, 2)), y == 1)  # label 0 is bright above


def test_without_labels_the_original_is_agreed_with(tmp_path: Path) -> None:
    task = open_task(spec("parquet", write_parquet(tmp_path / "a.parquet", {"image": FILES}), mean=(0.0,)))
    assert task.info(Brightest(2)).metric == "agreement"
    metric = finish(task.evaluate(lambda x: -Brightest(2).eval()(x), Split.TEST, NeverCancelled()))
    assert (metric.name, metric.value) == ("agreement", 0.0)


def test_lists_of_numbers_are_vectors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 3))
    path = write_parquet(tmp_path / "a.parquet", {"vector": list(vectors), "target": vectors.sum(1)})
    task = open_task(spec("parquet", path))
    metric = finish(task.evaluate(lambda x: x.sum(1), Split.TEST, NeverCancelled()))
    assert (metric.name, metric.count) == ("RMSE", 3)
    assert metric.value == pytest.approx(0.0, abs=1e-6)


def test_lists_that_say_one_number_very_often_are_refused(tmp_path: Path) -> None:
    """A hundred rows of a million zeros take some kB."""
    rows, width = 100, 1_000_000
    offsets = pa.array(np.arange(rows + 1) * width, pa.int32())
    vectors = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * width, np.float32)))
    table = pa.table({"vector": vectors, "target": np.zeros(rows)})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 50_000
    with pytest.raises(DataError, match="unpacks to 800 MB"):
        open_task(spec("parquet", tmp_path / "a.parquet"))


def test_text_with_a_label_is_a_classification(tmp_path: Path) -> None:
    texts = ["good" if label else "bad" for label in LABELS]
    path = write_parquet(tmp_path / "a.parquet", {"id": range(40), "text": texts, "label": LABELS})
    task = open_task(spec("parquet", path, options=(("tokenizer", "bytes"), ("length", "6"))))
    assert tensors_of(task.example_inputs())[0].shape == (2, 6)
    says_g = finish(task.evaluate(lambda x: torch.eye(2)[(x[:, 0] == ord("g")).long()], Split.TEST, NeverCancelled()))
    assert says_g.value == 1.0


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"image": [b"no image"] * 40, "label": LABELS}, "image of the table is not a readable image"),
        ({"image": FILES, "label": [None, *LABELS[1:]]}, "Column label .* has 1 empty cells"),
        ({"image": FILES, "label": LABELS - 1}, "class numbers: integers from 0"),
        ({"x": [1.0, float("nan")] * 20, "label": LABELS}, "Column x contains NaN or infinity, first in row 2"),
        ({"x": np.ones(40), "target": [float("inf")] * 40}, "must be finite numbers"),
        ({"when": pa.array([0] * 40, pa.timestamp("s")), "label": LABELS}, "No column is left for the inputs"),
        ({"x": [[1.0]] * 39 + [[1.0, 2.0]], "label": LABELS}, "different lengths"),
    ],
)
def test_columns_that_cannot_be_used_are_refused_in_words(tmp_path: Path, columns: dict, sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        task = open_task(spec("parquet", write_parquet(tmp_path / "a.parquet", columns)))
        list(task.batches(Split.TRAIN))


def test_inputs_of_several_kinds_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": FILES, "size": LABELS, "label": LABELS})
    with pytest.raises(TaskError, match="not image and whole number together"):
        open_task(spec("parquet", path, options=(("features", "image,size"),)))


def test_more_classes_than_the_model_has_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": FILES, "label": np.arange(40) % 4})
    with pytest.raises(TaskError, match="4 classes, but the model has 2 outputs"):
        open_task(spec("parquet", path, mean=(0.0,))).info(Brightest(2))


def test_a_file_that_is_no_parquet_and_a_split_that_lacks_a_column(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"hello")
    with pytest.raises(TaskError, match="damaged or not a Parquet file"):
        open_task(spec("parquet", tmp_path / "a.parquet"))
    write_parquet(tmp_path / "train.parquet", {"image": FILES, "label": LABELS})
    write_parquet(tmp_path / "test.parquet", {"image": FILES})
    with pytest.raises(TaskError, match="Column label has different kinds of values"):
        open_task(spec("parquet", tmp_path))


def test_without_the_package_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"image": FILES, "label": LABELS})

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("secateur.engine.tasks.packages.import_module", absent)
    with pytest.raises(TaskError, match=r"need the package pyarrow.* pip install 'secateur\[parquet\]'"):
        open_task(spec("parquet", path))


@pytest.mark.parametrize("held", [150, 10**6], ids=["larger than memory", "small"])
def test_each_row_group_is_read_once_in_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    """Ten row groups, of which few fit into what is held: the splits and the rows are the same."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": np.arange(400.0), "label": np.arange(400) % 2}), path, row_group_size=40)
    expected = {split: rows_of(open_task(spec("parquet", str(path), batch=16)), split) for split in Split}
    monkeypatch.setattr("secateur.engine.tasks.tables.parquet.HELD", held)
    task: Any = open_task(spec("parquet", str(path), batch=16))
    assert {split: rows_of(task, split) for split in Split} == expected
    (column,) = task._data._features[Split.TRAIN]
    read: list[int] = []
    real = column._read
    monkeypatch.setattr(column, "_read", lambda number: (read.append(number), real(number))[1])
    column._kept.clear()
    orders = []
    for seed in (1, 1, 2):
        read.clear()
        orders.append(torch.cat([x for x, _ in task.batches(Split.TRAIN, seed=seed)]).flatten().tolist())
        assert len(read) == len(set(read)) <= 10 and len(column._kept) * 80 <= max(held, 800)
    assert orders[0] == orders[1] != orders[2] and orders[0] != sorted(orders[0])
    assert sorted(orders[0]) == sorted(orders[2]) and len(orders[0]) == 320


def test_each_column_of_a_wide_file_is_found_without_a_look_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    names = [f"x{n}" for n in range(300)]
    pq.write_table(pa.table({name: np.arange(20.0) + n for n, name in enumerate(names)} | {"label": [0, 1] * 10}), path)
    looked, real = list[int](), pq.ParquetFile

    class Group:
        def __init__(self, group: Any) -> None:
            self._group, self.num_rows = group, group.num_rows

        def column(self, place: int) -> Any:
            looked.append(place)
            return self._group.column(place)

    class Metadata:
        def __init__(self, given: Any) -> None:
            self._given = given

        def __getattr__(self, name: str) -> Any:
            return getattr(self._given, name)

        def row_group(self, number: int) -> Any:
            return Group(self._given.row_group(number))

    class Watched:
        def __init__(self, *given: Any, **named: Any) -> None:
            self._file = real(*given, **named)
            self.metadata = Metadata(self._file.metadata)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    monkeypatch.setattr(pq, "ParquetFile", Watched)
    task = open_task(spec("parquet", str(path), batch=16))
    assert len(looked) <= 2 * 301
    x, _ = next(iter(task.batches(Split.TRAIN)))
    assert x.shape[1] == 300 and torch.allclose(x[:, 1:] - x[:, :-1], torch.ones(1))


def test_rows_of_one_part_are_mixed_with_those_of_others(tmp_path: Path) -> None:
    """Files are often sorted by class: parts are drawn, and as many as are held are mixed."""

    class Sorted:
        def size(self, split: Split) -> int:
            return 100

        def parts(self, split: Split) -> RowParts:
            return RowParts(np.arange(100) // 10, 4)

    order = shuffled_rows(Sorted(), Split.TRAIN, 3)  # type: ignore[arg-type]
    assert sorted(order) == list(range(100))
    windows = [set((order[start : start + 40] // 10).tolist()) for start in (0, 40, 80)]
    assert [len(window) for window in windows] == [4, 4, 2] and not windows[0] & windows[1]
    assert len(set((order[:10] // 10).tolist())) > 2


def test_a_feature_with_an_empty_cell_in_a_later_group_is_refused_in_words(tmp_path: Path) -> None:
    cells = pa.array([*(["text"] * 50), None, *(["text"] * 49)])
    pq.write_table(pa.table({"text": cells, "label": np.arange(100) % 2}), tmp_path / "a.parquet", row_group_size=10)
    task = open_task(spec("parquet", str(tmp_path / "a.parquet"), options=(("tokenizer", "bytes"),)))
    with pytest.raises(TaskError, match=r"Column text .* has 1 empty cells"):
        list(task.batches(Split.TRAIN))
