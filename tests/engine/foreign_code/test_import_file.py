"""The user's folders are left as they are."""

import sys
from pathlib import Path

import pytest

from secateur.engine.foreign_code.import_file import import_file
from secateur.engine.sources.named_code import by_hand


def test_no_bytecode_is_left_and_an_edit_within_the_second_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "helper_of_mine.py").write_text("width = 24\n")
    file = tmp_path / "net_of_mine.py"
    file.write_text("from helper_of_mine import width\n")
    assert import_file(file, by_hand(str(file)), afresh=True).width == 24
    (tmp_path / "helper_of_mine.py").write_text("width = 20\n")
    assert import_file(file, by_hand(str(file)), afresh=True).width == 20
    assert {p.name for p in tmp_path.iterdir()} == {"helper_of_mine.py", "net_of_mine.py"}
    assert not sys.dont_write_bytecode
