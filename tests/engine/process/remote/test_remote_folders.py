"""Files that a window elsewhere sends: what belongs to another file is no part of one."""

from pathlib import Path

import pytest

from secateur.engine.process.remote.protocol import FileBegins, Part
from secateur.engine.process.remote.remote_folders import ReceivedFiles


def test_parts_go_to_the_file_of_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    received = ReceivedFiles()
    received.begin(FileBegins(1, "a.bin"))
    received.add(Part(1, b"first"))
    received.begin(FileBegins(2, "b.bin"))
    received.add(Part(1, b"late"))
    received.add(Part(2, b"second"))
    assert received.finish(1).error and not received.finish(1).path
    kept = received.finish(2)
    assert Path(kept.path).name == "b.bin" and Path(kept.path).read_bytes() == b"second"
    assert [path.name for path in Path(kept.path).parent.iterdir()] == ["b.bin"]
