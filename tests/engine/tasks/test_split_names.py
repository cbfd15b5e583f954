"""A `task.py` gets the names of the splits that it knows: those of today, those of version 0.1, or its own."""

from pathlib import Path

import pytest

from secateur.engine.errors import TaskError
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.storage.serialization import from_plain, to_plain
from secateur.engine.tasks.protocol import Metric, Split
from secateur.engine.tasks.user_task import UserFile, split_names

PRESENT = ("train", "val", "test")
FORMER = ("calibrate", "choose", "report")


def names(folder: Path, body: str, head: str = "") -> tuple[str, ...]:
    path = folder / "task.py"
    path.write_text(f"{head}\ndef batches(split):\n    {body}\n    return []\n")
    found = split_names(UserFile(str(path), FULL_CONSENT))
    assert tuple(found) == tuple(Split)
    return tuple(found.values())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("pass", PRESENT),
        ("print('calibrate')", PRESENT),
        ("'''For calibrate, choose or report.'''", PRESENT),
        ("part = 0 if split == 'train' else 1", PRESENT),
        ("part = {'train': 0, 'val': 1, 'test': 2}[split]", PRESENT),
        ("part = 0 if split == 'calibrate' else 1", FORMER),
        ("part = 1 if 'report' == split else 0", FORMER),
        ("held_out = split in ('choose', 'report')", FORMER),
        ("folder = {'calibrate': 'train', 'choose': 'val', 'report': 'test'}[split]", FORMER),
        ("folder = dict(calibrate='train', choose='val', report='test')[split]", FORMER),
        ("both = split in ('train', 'calibrate')", FORMER),
        ("match split:\n        case 'calibrate' | 'choose': pass", FORMER),
        ("match split:\n        case 'val' | 'test': pass", PRESENT),
        ("parts = {}\n    parts['choose'] = 1", FORMER),
    ],
)
def test_the_strings_that_a_file_compares_with_decide(tmp_path: Path, body: str, expected: tuple[str, ...]) -> None:
    assert names(tmp_path, body) == expected


def test_a_file_can_declare_its_names(tmp_path: Path) -> None:
    assert names(tmp_path, "pass", "SPLITS = ('calibrate', 'choose', 'report')") == FORMER
    assert names(tmp_path, "part = split == 'fit'", "SPLITS = ['fit', 'dev', 'holdout']") == ("fit", "dev", "holdout")
    for wrong in ("('train', 'test')", "'abc'", "('a', 'a', 'b')", "3"):
        with pytest.raises(TaskError, match="three different names"):
            names(tmp_path, "pass", f"SPLITS = {wrong}")


def test_what_can_mean_either_is_refused_unless_it_is_declared(tmp_path: Path) -> None:
    body = "part = 1 if split == 'report' else {'train': 0}"
    with pytest.raises(TaskError, match="both 'report' and 'train'"):
        names(tmp_path, body)
    assert names(tmp_path, body, f"SPLITS = {FORMER}") == FORMER


def test_modules_beside_the_file_count_where_it_says_nothing_itself(tmp_path: Path) -> None:
    (tmp_path / "former_loaders.py").write_text("LOADERS = {'calibrate': [], 'choose': [], 'report': []}\n")
    assert names(tmp_path, "return LOADERS[split]", "from former_loaders import LOADERS") == FORMER
    assert names(tmp_path, "part = split == 'train'", "import former_loaders") == PRESENT


def test_a_stored_metric_with_a_former_name_is_read() -> None:
    for split, name in zip(Split, FORMER, strict=True):
        metric = Metric("top-1", 0.5, 10, 0.1, split)
        stored = to_plain(metric)
        assert stored["split"] == split.value
        assert from_plain(stored | {"split": name}, Metric) == metric
    with pytest.raises(ValueError, match="dev"):
        Split("dev")
