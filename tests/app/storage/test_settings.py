"""Settings live in one versioned file that other windows share; one that cannot be read never stops a start."""

import json
import subprocess
import sys
import threading

import pytest
from PySide6.QtCore import QByteArray, QSettings
from PySide6.QtWidgets import QApplication

from secateur.app.storage import quarantine, settings
from secateur.app.window.main_window import MainWindow
from tests.waiting import PATIENCE

from ..fake_link import FakeLink, workbench_on

STARTED_ANEW = "import sys\nfrom secateur.app.storage import settings\nprint(repr(settings.value('text', 'nothing')))"


@pytest.fixture(autouse=True)
def nothing_told():
    quarantine.take_notices()


def lines() -> list[str]:
    assert settings.flush(PATIENCE)
    return settings.path().read_text().splitlines()


def written_elsewhere(*changed: str) -> None:
    """Another window writes these lines into the file."""
    names = [line.partition("=")[0] for line in changed]
    kept = [line for line in lines() if line.partition("=")[0] not in names]
    settings.path().write_text("\n".join([*kept, *changed]) + "\n")


def forget_memory() -> None:
    """As another process would see it."""
    assert settings.flush(PATIENCE)
    settings._opened.clear()


@pytest.mark.parametrize("kept", ["a word", 3, 2.5, True, ["a", 1], {"x": 1}, b"\x00\xffgeometry"])
def test_a_value_comes_back_in_the_next_start(kept):
    settings.store("kept", kept)
    assert settings.value("kept", type(kept)()) == kept
    forget_memory()
    assert settings.value("kept", type(kept)()) == kept


def test_a_geometry_comes_back_and_what_was_forgotten_is_gone():
    settings.store("geometry", QByteArray(b"\x01\x02"))
    forget_memory()
    assert settings.load("geometry").data() == b"\x01\x02"
    settings.store("geometry", None)
    forget_memory()
    assert settings.load("geometry").isEmpty()
    assert not any(line.startswith("geometry") for line in lines())


def test_a_value_of_another_type_than_is_expected_is_as_if_it_were_not_there():
    settings.store("font", "large")
    assert settings.value("font", 12) == 12
    settings.store("scale", 2)
    assert settings.value("scale", 1.5) == 2.0


def test_the_file_says_its_version_and_keeps_what_another_window_wrote():
    settings.store("mine", 1)
    assert f"version={settings.VERSION}" in lines()
    written_elsewhere("theirs=2")
    settings.store("mine", 3)
    assert {"mine=3", "theirs=2"} < set(lines())


def test_what_other_windows_opened_stays_in_the_list():
    settings.remember("ResNet", "bundled:resnet")
    theirs = json.dumps([["ViT", "bundled:vit", None], ["ResNet", "bundled:resnet", None]]).replace('"', '\\"')
    written_elsewhere(f'recent="{theirs}"')
    settings.remember("other", "torchvision:resnet18")
    forget_memory()
    assert [title for title, _ in settings.recent()] == ["other", "ViT", "ResNet"]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe\x00", b"[1]", b"version", b"[General]\nversion=99\ntheme=dark\n"]
)
def test_a_file_that_cannot_be_read_is_set_aside_and_named_and_the_window_starts(qtbot, dressed, damage):
    place = settings.path()
    place.parent.mkdir(parents=True)
    place.write_bytes(damage)
    assert settings.theme_choice() == "system"
    window = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.errors.isVisible())
    (kept,) = [file for file in place.parent.iterdir() if file != place]
    assert kept.read_bytes() == damage
    assert str(kept) in window.errors.sentence.text()
    settings.store("theme", "dark")
    assert "theme=dark" in lines() and kept.read_bytes() == damage
    window.close()


def test_a_second_damaged_file_does_not_overwrite_the_first():
    place = settings.path()
    place.parent.mkdir(parents=True)
    for damage in ("one", "two", "three"):
        place.write_text(damage)
        settings._opened.clear()
        settings.theme_choice()
    assert sorted(file.read_text() for file in place.parent.iterdir()) == ["one", "three", "two"]


def test_a_folder_that_cannot_be_written_costs_a_sentence_and_nothing_else():
    settings.path().parent.parent.mkdir(parents=True)
    settings.path().parent.write_text("a file where the folder should be")
    settings.store("theme", "dark")
    assert settings.flush(PATIENCE)
    assert settings.theme_choice() == "dark"
    assert any("could not be saved" in sentence for sentence in quarantine.take_notices())


def test_the_file_is_written_in_another_thread(qapp, monkeypatch):
    threads = []
    sync = QSettings.sync
    monkeypatch.setattr(QSettings, "sync", lambda file: (threads.append(threading.current_thread()), sync(file)))
    settings.store("theme", "dark")
    QApplication.processEvents()  # Qt asks to write what is not written
    assert settings.flush(PATIENCE)
    assert threads and threading.main_thread() not in threads
    assert "theme=dark" in lines()


def test_the_interfaces_thread_never_writes(qapp, monkeypatch):
    monkeypatch.setattr(settings, "_write", lambda place: None)
    settings.store("theme", "dark")
    QApplication.processEvents()
    assert settings.flush(PATIENCE)
    assert not settings.path().exists() and settings.theme_choice() == "dark"


def test_a_process_that_starts_reads_what_this_one_wrote():
    settings.store("text", "ä − ×")
    assert settings.flush(PATIENCE)
    done = subprocess.run([sys.executable, "-c", STARTED_ANEW], capture_output=True, text=True, timeout=180)
    assert done.stdout.strip() == repr("ä − ×"), done.stderr
