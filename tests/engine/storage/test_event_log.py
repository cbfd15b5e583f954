"""The event log survives torn lines, and says where it is damaged."""

import sys
import threading
from pathlib import Path

import pytest

from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.storage import event_log as log_module
from secateur.engine.storage.event_log import EventLog


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    log = EventLog(tmp_path / "deep" / "events.jsonl")
    log.append({"event": "a", "value": float("inf")})
    log.append({"event": "b"})
    return log


def test_records_come_back_in_order(log: EventLog) -> None:
    assert log.read() == [{"event": "a", "value": "inf"}, {"event": "b"}]
    assert EventLog(log.path).read() == log.read()


@pytest.mark.skipif(sys.platform == "win32", reason="locks of Unix")
def test_of_two_that_add_at_the_same_time_neither_loses_its_record(log: EventLog) -> None:
    class Slow(EventLog):
        """Another one begins while it looks where the file ends."""

        def _sound_size(self) -> int:
            size = super()._sound_size()
            other.start()
            other.join(0.3)
            return size

    other = threading.Thread(target=EventLog(log.path).append, args=({"event": "d"},))
    Slow(log.path).append({"event": "c"})
    other.join()
    assert [record["event"] for record in log.read()] == ["a", "b", "c", "d"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks of Unix")
def test_one_that_was_stopped_as_it_wrote_holds_up_nobody_for_ever(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "PATIENCE", 0.02)
    with log.path.open("ab") as stopped, log_module._lock_file(stopped.fileno()):
        log.append({"event": "c"})
    assert [record["event"] for record in log.read()] == ["a", "b", "c"]


def test_no_file_is_an_empty_log(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "nothing").read() == []


@pytest.mark.parametrize("torn", [b'{"event": "c", "val', b"{", b'{"event": "c"', b"\x00\x00\x00", b'{"event": "c"}'])
def test_a_torn_last_line_is_ignored_and_then_replaced(log: EventLog, torn: bytes) -> None:
    with log.path.open("ab") as file:
        file.write(torn)
    assert [r["event"] for r in log.read()] == ["a", "b"]
    log.append({"event": "d"})
    assert [r["event"] for r in log.read()] == ["a", "b", "d"]


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_log_cut_anywhere_in_its_last_line_keeps_the_lines_before(log: EventLog, cut: int) -> None:
    data = log.path.read_bytes()
    log.path.write_bytes(data[:-cut])
    assert [r["event"] for r in log.read()] == ["a"]


def test_damage_in_the_middle_names_the_line(log: EventLog) -> None:
    log.path.write_bytes(b"rubbish\n" + log.path.read_bytes())
    with pytest.raises(OpenError, match="damaged at line 1"):
        log.read()


def test_a_write_that_fails_leaves_the_log_as_it_was(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = log.path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_module.os, "fsync", full)
    with pytest.raises(SecateurError, match="No space left on device"):
        log.append({"event": "c"})
    assert log.path.read_bytes() == before
