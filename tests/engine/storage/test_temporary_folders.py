"""Temporary folders go with their session, and those of a run that was killed at the next start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.engine.session.session import Session
from secateur.engine.storage import temporary_folders
from secateur.engine.storage.temporary_folders import LOCK, PREFIX, TemporaryFolder, remove_leftovers, temporary_folder

WORK = """
import sys, time
from secateur.engine.session.session import Session

session = Session()
(session.folder / "large").write_bytes(bytes(1000))
print(session.folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; this process has not looked yet."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    temporary_folders.remove_leftovers.cache_clear()
    return tmp_path


def test_the_folder_of_a_killed_run_is_removed_at_the_next_start(place: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(place)}
    run = subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, text=True, env=environment)
    assert run.stdout is not None
    folder = Path(run.stdout.readline().strip())
    try:
        assert folder.parent == place and remove_leftovers() == 0 and folder.is_dir()  # it still runs
        run.send_signal(signal.SIGKILL)
    finally:
        run.kill()
        run.wait()
        run.stdout.close()
    temporary_folders.remove_leftovers.cache_clear()
    session = Session()
    assert not folder.exists() and session.folder.is_dir()
    session.close()
    assert not list(place.iterdir())


def test_what_is_kept_or_of_others_stays(place: Path) -> None:
    kept = TemporaryFolder().keep()
    (place / f"{PREFIX}by-hand").mkdir()
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / LOCK).touch()
    (place / f"{PREFIX}link").symlink_to(place / "elsewhere")
    temporary_folders.remove_leftovers.cache_clear()
    with temporary_folder() as folder:
        assert folder.is_dir() and kept.is_dir()
    assert not folder.exists() and len(list(place.iterdir())) == 4 and (place / "elsewhere" / LOCK).exists()


def test_a_session_that_stays_is_not_removed(place: Path) -> None:
    session = Session()
    folder = session.location.stay()
    session.close()
    temporary_folders.remove_leftovers.cache_clear()
    assert remove_leftovers() == 0 and folder.is_dir()
