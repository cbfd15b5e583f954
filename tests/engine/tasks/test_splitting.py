"""Files of the splits are found by their names, whichever end says the split."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from secateur.engine.errors import DataError
from secateur.engine.tasks.open import kind_of
from secateur.engine.tasks.protocol import Split
from secateur.engine.tasks.splitting import domain_of, files_by_split

CSV = (".csv",)


def names(folder: Path, *files: str) -> dict[Split, list[str]]:
    """Names that are found in a folder of these files."""
    for name in files:
        (folder / name).touch()
    return {split: [file.name for file in found] for split, found in files_by_split(str(folder), CSV).items()}


def test_a_split_at_the_end_of_a_name_is_known(tmp_path: Path) -> None:
    files = ("reviews_test.csv", "reviews_train.csv", "reviews_val.csv", "reviews_train.txt", "latest.csv")
    assert names(tmp_path, *files) == {
        Split.TRAIN: ["reviews_train.csv"],
        Split.VAL: ["reviews_val.csv"],
        Split.TEST: ["reviews_test.csv"],
    }


def test_names_that_begin_with_the_split_come_first(tmp_path: Path) -> None:
    assert names(tmp_path, "train.csv", "dev.csv", "old_train.csv") == {
        Split.TRAIN: ["train.csv"],
        Split.VAL: ["dev.csv"],
    }


def test_two_data_sets_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not contain"):
        names(tmp_path, "reviews_train.csv", "tweets_train.csv")


@pytest.mark.parametrize(
    ("name", "domain"),
    [("train-wiki", "wiki"), ("train", ""), ("train-00001-of-00002", ""), ("wiki-train", ""), ("old-wiki_val", "")],
)
def test_only_a_name_behind_the_split_is_a_domain(name: str, domain: str) -> None:
    assert domain_of(Path(f"texts/{name}.txt"), "texts") == domain


def test_a_folder_is_opened_by_splits_at_the_end_of_names(tmp_path: Path) -> None:
    names(tmp_path, "reviews_train.csv", "reviews_test.csv")
    assert kind_of(str(tmp_path)) == "csv"
    (tmp_path / "cats").mkdir()
    assert kind_of(str(tmp_path)) == "folder"


def test_folders_of_images_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cats", "dogs", "owls"):
        (tmp_path / name).mkdir()
    seen, iterdir = set[str](), Path.iterdir

    def noted(folder: Path) -> Iterator[Path]:
        seen.add(folder.name)
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", noted)
    assert kind_of(str(tmp_path)) == "folder"
    assert not seen & {"dogs", "owls"}
