"""Settings live in one versioned file that is replaced as a whole; one that cannot be read never stops a start."""

import json
import subprocess
import sys
import threading

import pytest
from PySide6.QtCore import QByteArray

from secateur.app.storage import quarantine, settings
from secateur.app.window.main_window import MainWindow

from ..fake_link import FakeLink, workbench_on

STARTED_ANEW = "import sys\nfrom secateur.app.storage import settings\nprint(repr(settings.value('text', 'nothing')))"


@pytest.fixture(autouse=True)
def nothing_told():
    quarantine.told()


def in_file() -> dict:
    settings.flush()
    return json.loads(settings.path().read_text())


def forget_memory() -> None:
    """As another process would see it."""
    settings.flush()
    settings._files.clear()


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
    assert settings.load("geometry").isEmpty() and "geometry" not in in_file()["values"]


def test_a_value_of_another_type_than_is_expected_is_as_if_it_were_not_there():
    settings.store("font", "large")
    assert settings.value("font", 12) == 12
    settings.store("scale", 2)
    assert settings.value("scale", 1.5) == 2.0


def test_the_file_says_its_version_and_keeps_what_another_window_wrote():
    settings.store("mine", 1)
    written = in_file()
    assert written["version"] == settings.VERSION
    written["values"]["theirs"] = 2
    settings.path().write_text(json.dumps(written))
    settings.store("mine", 3)
    assert in_file()["values"] == {"mine": 3, "theirs": 2}


def test_what_other_windows_opened_stays_in_the_list():
    settings.remember("ResNet", "bundled:resnet")
    written = in_file()
    written["values"]["recent"].insert(0, ["ViT", "bundled:vit"])
    settings.path().write_text(json.dumps(written))
    settings.remember("other", "torchvision:resnet18")
    forget_memory()
    assert [title for title, _ in settings.recent()] == ["other", "ViT", "ResNet"]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe\x00", b"[1]", b'{"version": 1}', b'{"version": 99, "values": {"theme": "dark"}}']
)
def test_a_file_that_cannot_be_read_is_set_aside_and_named_and_the_window_starts(qtbot, dressed, damage):
    place = settings.path()
    place.parent.mkdir(parents=True)
    place.write_bytes(damage)
    assert settings.theme_choice() == "system"
    window = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: window.errors.isVisible(), timeout=10_000)
    (kept,) = [file for file in place.parent.iterdir() if file != place]
    assert kept.read_bytes() == damage
    assert str(kept) in window.errors.sentence.text()
    settings.store("theme", "dark")
    assert in_file()["values"]["theme"] == "dark" and kept.read_bytes() == damage
    window.close()


def test_a_second_damaged_file_does_not_overwrite_the_first():
    place = settings.path()
    place.parent.mkdir(parents=True)
    for damage in ("one", "two", "three"):
        place.write_text(damage)
        settings._files.clear()
        settings.theme_choice()
    assert sorted(file.read_text() for file in place.parent.iterdir()) == ["one", "three", "two"]


def test_a_folder_that_cannot_be_written_costs_a_sentence_and_nothing_else():
    settings.path().parent.parent.mkdir(parents=True)
    settings.path().parent.write_text("a file where the folder should be")
    settings.store("theme", "dark")
    settings.flush()
    assert settings.theme_choice() == "dark"
    assert any("could not be saved" in sentence for sentence in quarantine.told())


def test_the_file_is_written_in_another_thread(monkeypatch):
    threads = []
    write = settings.write
    monkeypatch.setattr(settings, "write", lambda *a: (threads.append(threading.current_thread()), write(*a)))
    settings.store("theme", "dark")
    settings.flush()
    assert threads and threading.main_thread() not in threads


def test_a_process_that_starts_reads_what_this_one_wrote():
    settings.store("text", "ä − ×")
    settings.flush()
    done = subprocess.run([sys.executable, "-c", STARTED_ANEW], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == repr("ä − ×"), done.stderr
