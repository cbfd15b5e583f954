"""Preferences are used at once, kept for the next start, and left as they were by Cancel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from secateur.app import theme
from secateur.app.dialogs import preferences
from secateur.app.dialogs.closing import jobs_to_confirm
from secateur.app.dialogs.preferences import Preferences
from secateur.app.jobs import job_runner
from secateur.app.storage import settings
from secateur.app.window.main_window import MainWindow
from secateur.engine.errors import EngineLost
from secateur.engine.jobs import Cancelled
from secateur.engine.process.remote.remote_folders import SESSIONS, engine_folder
from secateur.engine.session.measurement_cache import TRAININGS, clear_cache, size_of_cache, user_cache
from secateur.engine.session.states import OpenedModel
from tests.app.fake_link import FakeLink, workbench_on
from tests.app.playing import Player, play
from tests.app.stand_in import SPEC
from tests.waiting import PATIENCE

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def usual_text() -> Iterator[None]:
    yield
    theme.theme().resize(theme.Sizes().body)


def dialog_of(main: MainWindow, qtbot) -> Preferences:
    main.run_command("edit.preferences")
    dialog = main.findChildren(Preferences)[-1]
    qtbot.waitUntil(lambda: dialog.cache.text() != "looking")
    return dialog


def test_look_text_and_threads_are_used_and_kept(main: MainWindow, player: Player, qtbot) -> None:
    dialog = dialog_of(main, qtbot)
    dialog.look.setCurrentText("Dark")
    dialog.text.setValue(14)
    dialog.threads.setValue(2)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    qtbot.waitUntil(lambda: theme.theme().tokens.dark and theme.sizes().body == 14)
    assert player.link.asked("use_threads") == (2,) and player.document.recovery.threads == 2
    player.answer("use_threads", 2)
    assert player.document.engine.processor == "CPU, 2 threads"
    assert settings.flush(PATIENCE)
    kept = settings.theme_choice(), settings.value("text", 0), settings.value(settings.THREADS, 0)
    assert kept == ("dark", 14, 2)


def test_threads_are_chosen_again_at_the_next_start_and_after_a_loss(qtbot, dressed) -> None:
    settings.store(settings.THREADS, 3)
    link = FakeLink()
    workbench = workbench_on(link)
    window = MainWindow(workbench)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(lambda: any(method == "use_threads" for method, _ in link.calls.values()))
    first = link.last("use_threads")
    assert link.asked("use_threads") == (3,)
    link.finished.emit(first, 3)
    link.restored.emit()
    assert link.last("use_threads") > first
    link.finished.emit(link.last("use_threads"), 3)
    qtbot.waitUntil(lambda: window.area is not None)
    window.close()


def test_what_is_opened_before_the_engine_is_ready_computes_with_the_chosen_threads(dressed) -> None:
    settings.store(settings.THREADS, 3)
    link = FakeLink()
    workbench = workbench_on(link)
    workbench.begin()
    workbench.model.open(SPEC)
    assert link.cancelled == [] and [link.calls[number] for number in link.sent] == [("use_threads", (3,))]
    link.ready.emit(8)
    link.finished.emit(link.last("use_threads"), 3)
    assert link.sent[-1] == link.last("open") and workbench.document.engine.processor == "CPU, 3 threads"
    error, lost = EngineLost("engine.lost", "The engine stopped."), link.last("open")
    link.lost.emit(error, False, True, False)
    link.failed.emit(lost, error)
    assert link.last("use_threads") == link.sent[-1] > lost, "nothing was open, so nothing is restored"
    link.lost.emit(error, False, False, False)
    link.failed.emit(link.last("use_threads"), error)
    assert not workbench.runner.queue.jobs()
    workbench.close()


def opened(player: Player) -> None:
    """Another model is opened, on a machine with a graphics card."""
    before = player.document
    assert before.analysis is not None and before.original is not None
    player.workbench.model.open(SPEC)
    devices = ("cpu", "cuda:0")
    player.answer("open", OpenedModel("net", before.analysis, before.original, (), before.task, SPEC, devices=devices))


def test_the_device_stays_where_it_was_put_when_another_model_is_opened(
    main: MainWindow, player: Player, qtbot
) -> None:
    opened(player)
    player.workbench.model.set_device("cuda:0")
    dialog = dialog_of(main, qtbot)
    assert dialog.device is not None and dialog.device.currentText() == "cuda:0"
    dialog.text.setValue(14)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert settings.value(settings.DEVICE, "") == "", "only the text size was changed"
    dialog = dialog_of(main, qtbot)
    assert dialog.device is not None
    dialog.device.setCurrentText("cpu")
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert settings.value(settings.DEVICE, "") == player.document.contents.device == "cpu"
    player.workbench.model.set_device("cuda:0")
    opened(player)
    assert player.document.contents.device == "cuda:0"
    for job in player.workbench.runner.queue.jobs():
        player.link.failed.emit(job.id, Cancelled())


def test_the_first_model_is_computed_with_on_the_preferred_device(dressed) -> None:
    settings.store(settings.DEVICE, "cuda:0")
    other = play(devices=("cpu", "cuda:0"))
    assert other.document.contents.device == "cuda:0" and other.link.asked("use_device") == ("cuda:0",)
    other.workbench.close()


def test_cancel_changes_nothing(main: MainWindow, player: Player, qtbot) -> None:
    dialog = dialog_of(main, qtbot)
    dialog.look.setCurrentText("Dark")
    dialog.ask_close.setChecked(False)
    qtbot.mouseClick(dialog.cancel_button, LEFT)
    QTest.qWait(20)
    assert not theme.theme().tokens.dark and settings.value(settings.ASK_CLOSE, True)


def test_who_wants_no_questions_is_asked_none(main: MainWindow, player: Player, qtbot, monkeypatch) -> None:
    asked: list[object] = []
    player.workbench.runner.unsure.connect(asked.append)
    player.workbench.states.evaluate("s0")
    player.workbench.states.export("onnx", "net.onnx")
    number = player.link.last("evaluate")
    job = player.workbench.runner.queue.get(number)
    assert job is not None
    monkeypatch.setattr(job_runner, "WORTH_ASKING", 0.0)
    job.started = 0.001
    player.workbench.runner.request_cancel(number)
    assert len(asked) == 1 and player.link.cancelled == []
    for dialog in main.findChildren(preferences.FormDialog):
        dialog.reject()
    dialog = dialog_of(main, qtbot)
    dialog.ask_cancel.setChecked(False)
    dialog.ask_close.setChecked(False)
    qtbot.mouseClick(dialog.accept_button, LEFT)
    player.workbench.runner.request_cancel(number)
    assert len(asked) == 1 and player.link.cancelled == [number]
    assert jobs_to_confirm(player.document) and main.close()


def test_the_cache_is_shown_with_its_size_and_emptied(main: MainWindow, qtbot) -> None:
    folder = user_cache()
    (folder / "ablation").mkdir(parents=True)
    (folder / "ablation" / "a.jsonl").write_bytes(b"x" * 2500)
    (folder / "b.jsonl").write_bytes(b"x" * 500)
    (folder / TRAININGS).mkdir()
    (folder / TRAININGS / "a.pt").write_bytes(b"x" * 7000)
    draft = engine_folder("abcdefgh") / SESSIONS / "one" / "events.jsonl"  # of a window on another machine
    draft.parent.mkdir()
    draft.write_bytes(b"x" * 900)
    assert size_of_cache(folder) == 3000
    dialog = dialog_of(main, qtbot)
    assert dialog.cache.text().startswith("3.00 kB in ") and str(folder) in dialog.cache.text()
    qtbot.mouseClick(dialog.clear, LEFT)
    qtbot.waitUntil(lambda: dialog.cache.text().startswith("0 B"))
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {f"{TRAININGS}/a.pt", draft.relative_to(folder).as_posix()}, "what cannot be measured again"
    assert not dialog.clear.isEnabled()
    dialog.reject()


def test_clearing_follows_no_link_out_of_the_cache(tmp_path: Path) -> None:
    cache, other = tmp_path / "cache", tmp_path / "other"
    cache.mkdir()
    other.mkdir()
    (other / "kept").write_text("kept")
    (cache / "link").symlink_to(other)
    clear_cache(cache)
    assert not list(cache.iterdir()) and (other / "kept").exists()
    clear_cache(tmp_path / "nowhere")
