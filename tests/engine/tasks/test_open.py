"""Which task a path is opened as."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.errors import DataError, TaskError
from secateur.engine.tasks.open import OPENERS, kind_of, open_task, require_place, with_kind
from secateur.engine.tasks.protocol import BATCHES, TaskSpec


def test_the_kind_follows_from_the_path(tmp_path: Path) -> None:
    for name in ("data.npz", "task.py", "a.parquet", "a.csv", "a.tsv", "a.txt"):
        (tmp_path / name).touch()
    assert kind_of("") == "bundled"
    assert kind_of(str(tmp_path)) == "folder"
    assert kind_of(str(tmp_path / "data.npz")) == "arrays"
    assert kind_of(str(tmp_path / "task.py")) == "file"
    kinds = [kind_of(str(tmp_path / f"a.{ending}")) for ending in ("parquet", "csv", "tsv", "txt")]
    assert kinds == ["parquet", "csv", "csv", "text"]


@pytest.mark.parametrize(
    ("holds", "kind"),
    [
        (["train.csv", "dev.csv", "test.csv"], "csv"),
        (["train-00000-of-00001.parquet"], "parquet"),
        (["train.txt", "notes.csv"], "text"),
        (["raw/train-images-idx3-ubyte.gz"], "idx"),
        (["data_batch_1.bin"], "cifar"),
        (["data_batch_1"], "cifar"),
        (["images/1.png", "masks/1.png"], "masks"),
        (["train/images/1.png", "train/masks/1.png"], "masks"),
        (["cat/1.png", "dog/1.png"], "folder"),
    ],
)
def test_the_kind_of_a_folder_follows_from_what_it_holds(tmp_path: Path, holds: list[str], kind: str) -> None:
    for name in holds:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert kind_of(str(tmp_path)) == kind


def test_a_kind_that_was_left_open_is_found_where_the_data_lies(tmp_path: Path) -> None:
    arrays, boxes = tmp_path / "data.npz", tmp_path / "boxes.json"
    for file in (arrays, boxes):
        file.touch()
    (tmp_path / "images").mkdir()
    left = TaskSpec("", str(tmp_path / "images"), mean=(0.5,), size=(32, 32), batch=0, options=(("seed", "1"),))
    folder = TaskSpec("folder", left.path, mean=(0.5,), size=(32, 32), options=(("seed", "1"),))
    assert with_kind(left) == folder and with_kind(folder) is folder
    assert with_kind(replace(left, path=str(arrays))) == replace(folder, kind="arrays", path=str(arrays), size=None)
    found = with_kind(replace(left, path=str(boxes)))
    assert (found.kind, found.batch) == ("coco", BATCHES["coco"])
    assert with_kind(replace(left, batch=8)).batch == 8


def test_a_path_that_is_no_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.doc").touch()
    with pytest.raises(TaskError, match="not a kind of data"):
        kind_of(str(tmp_path / "notes.doc"))
    with pytest.raises(TaskError, match="does not exist"):
        kind_of(str(tmp_path / "absent.npz"))


def test_a_place_of_no_images_is_seen_by_names_alone(tmp_path: Path) -> None:
    right, wrong = tmp_path / "images", tmp_path / "wrong"
    for name in ("train/cat/deep/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png"):
        (right / name).parent.mkdir(parents=True)
        (right / name).touch()  # what is in it does not matter yet
    require_place(TaskSpec("folder", str(right)))
    (wrong / "notes").mkdir(parents=True)
    (wrong / "notes" / "a.doc").touch()
    (tmp_path / "empty").mkdir()
    for path, words in (
        (wrong, "no images in sub-folders"),
        (tmp_path / "empty", "no images"),
        (tmp_path / "x", "exist"),
    ):
        with pytest.raises(DataError, match=words):
            require_place(TaskSpec("folder", str(path)))
    with pytest.raises(DataError, match="is not a folder"):
        require_place(TaskSpec("folder", str(wrong / "notes" / "a.doc")))
    require_place(TaskSpec("bundled"))


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TaskError, match="bundled, arrays, folder, file"):
        open_task(TaskSpec("pickle"))


@pytest.mark.parametrize("kind", [kind for kind in OPENERS if kind != "bundled"])
def test_a_missing_path_is_refused_with_its_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="absent"):
        open_task(TaskSpec(kind, str(tmp_path / "absent")))


def test_the_table_loads_no_torch() -> None:
    code = "import sys, secateur.engine.tasks.open; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
