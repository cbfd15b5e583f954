"""What the next start offers: sessions that were not closed, as long as nobody works in them; and what it deletes."""

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton

from secateur.app.commands.registry import command_named
from secateur.app.storage import settings
from secateur.app.storage.autosave import session_folders
from secateur.app.storage.autosave.remote_engine import RemoteEngine, remote_engine_of
from secateur.app.storage.user_folders import sessions_folder
from secateur.app.window.file_menus import DraftsMenu, time_ago
from secateur.app.window.main_window import MainWindow
from secateur.engine.jobs import Cancelled
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage.folder_lock import ENGINE, WINDOW, FolderLock
from secateur.engine.structures.analysis import identities
from tests.waiting import PATIENCE

from ...document.test_document import ANALYSIS, FIRST, Desk
from ...fake_link import FakeLink, workbench_on
from ...stand_in import state_of, task_info

LEFT = Qt.MouseButton.LeftButton


def session(name: str, states: int = 2) -> Desk:
    """A window's document that works in a session's folder, as the engine would have it."""
    folder = sessions_folder() / name
    link = FakeLink()
    desk = Desk(workbench_on(link), link, [], [])
    original = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    log = StateHistory(folder)
    log.open(ModelSpec("net.py:make"), None, original)
    desk.workbench.model.adopt(
        OpenedModel("net", ANALYSIS, original, (), task_info(), folder=str(folder)), ModelSpec("net")
    )
    removed = ANALYSIS.empty()
    for number in range(1, states):
        removed = removed.copy()
        removed[FIRST + 20 + number] = True
        made = state_of(ANALYSIS, f"s{number}", f"s{number - 1}", StateKind.CUT, removed)
        log.put(made)
        desk.document.add_state(made, f"cut {number}")
    return desk


def killed(desk: Desk) -> Path:
    """End as `kill -9` ends: the system lets the lock go, and nothing else happens."""
    keeper = desk.workbench.autosave
    keeper.save()
    assert keeper._background.flush(PATIENCE)
    assert keeper._lock is not None
    folder = keeper._lock.path.parent
    keeper._lock.release(clean=False)
    keeper._lock = None
    desk.workbench.close()
    return folder


def age(folder: Path, seconds: float) -> None:
    before = time.time() - seconds
    for place in (folder, *folder.iterdir()):
        os.utime(place, (before, before))


@pytest.fixture
def window(qtbot, dressed):
    window = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(window)
    yield window
    window.close()


def show(window: MainWindow, qtbot) -> None:
    with qtbot.waitSignal(window.workbench.sessions.found):
        window.show()


def words_of(window: MainWindow) -> str:
    return " | ".join(one.text() for one in window.restore_bar.findChildren(QLabel) if one.isVisible())


def press(window: MainWindow, qtbot, text: str) -> None:
    def found() -> QPushButton | None:
        buttons = window.restore_bar.findChildren(QPushButton)
        return next((b for b in buttons if b.text() == text and b.isVisible()), None)

    qtbot.waitUntil(lambda: found() is not None)
    qtbot.mouseClick(found(), LEFT)


def answer_restore(window: MainWindow, qtbot, states: int = 2) -> None:
    """What the engine answers when it is asked to restore."""
    link: FakeLink = window.workbench.runner.link
    qtbot.waitUntil(lambda: any(m == "restore" for m, _ in link.calls.values()))
    folder = link.asked("restore")[0]
    log = StateHistory(Path(folder))
    log.read()
    found = tuple(log.states.values())
    link.finished.emit(link.last("restore"), OpenedModel("net", ANALYSIS, found[0], (), task_info(), folder=folder))
    link.finished.emit(link.last("states"), found)
    assert len(found) == states


def test_a_session_that_was_killed_is_offered_and_comes_back_as_it_was(window, qtbot) -> None:
    desk = session("one")
    desk.document.plan.mark([FIRST, FIRST + 1], True)
    desk.document.plan.lock([FIRST + 3], True)
    marked, history = desk.document.marked.copy(), [e.text for e in desk.document.history.entries]
    killed(desk)
    show(window, qtbot)
    assert window.restore_bar.isVisible()
    assert "net" in words_of(window) and "2 states, 2 filters marked, 1 locked" in words_of(window)
    press(window, qtbot, "Restore")
    answer_restore(window, qtbot)
    document = window.document
    assert (document.marked == marked).all() and document.locked[FIRST + 3] and document.contents.present == "s1"
    assert [e.text for e in document.history.entries] == history
    assert not window.restore_bar.isVisible()
    assert FolderLock(sessions_folder() / "one").taken()
    document.plan.mark([FIRST + 2], True)
    document.plan.undo()
    assert (document.marked == marked).all()


def test_what_was_closed_or_is_open_elsewhere_is_not_offered(window, qtbot) -> None:
    session("closed").workbench.close()
    working = session("working")
    show(window, qtbot)
    assert not window.restore_bar.isVisible() and window.workbench.sessions.crashed == ()
    assert (sessions_folder() / "working" / WINDOW).exists() and not (sessions_folder() / "closed" / WINDOW).exists()
    working.workbench.close()


def test_an_open_in_another_model_is_not_blocked_and_later_asks_at_the_next_start(window, qtbot) -> None:
    killed(session("one"))
    show(window, qtbot)
    window.open(ModelSpec("bundled:resnet"))
    assert window.workbench.runner.link.asked("open")[0] == ModelSpec("bundled:resnet")
    press(window, qtbot, "Later")
    assert not window.restore_bar.isVisible()
    assert [draft.folder.name for draft in session_folders.drafts(sessions_folder())] == ["one"]
    window.commands.run(command_named("file.restore"))
    assert window.restore_bar.isVisible()


def test_without_a_model_by_name_the_sample_opens_unless_there_is_something_to_restore(window, qtbot) -> None:
    window.begin_with(ModelSpec("bundled:resnet"))
    show(window, qtbot)
    assert window.workbench.runner.link.asked("open")[0] == ModelSpec("bundled:resnet")
    killed(session("one"))
    other = MainWindow(workbench_on(FakeLink()))
    qtbot.addWidget(other)
    other.begin_with(ModelSpec("bundled:resnet"))
    show(other, qtbot)
    assert other.restore_bar.isVisible() and not other.workbench.runner.link.calls
    other.close()


def test_discarded_is_deleted_at_the_next_start_and_not_before_and_can_be_undone(window, qtbot) -> None:
    one, two = killed(session("one")), killed(session("two"))
    show(window, qtbot)
    press(window, qtbot, "Discard")
    qtbot.waitUntil(lambda: "Discarded" in words_of(window))
    press(window, qtbot, "Undo")
    qtbot.waitUntil(lambda: "Discarded" not in words_of(window))
    press(window, qtbot, "Discard")
    assert window.workbench.autosave._background.flush(PATIENCE)
    assert one.exists() and two.exists()
    (kept,) = session_folders.drafts(sessions_folder())
    session_folders.tidy(sessions_folder())
    assert [kept.folder] == [folder for folder in (one, two) if folder.exists()]


def test_a_recovery_that_was_running_goes_on_with_the_settings_that_it_had(window, qtbot) -> None:
    desk = session("one")
    settings = RecoverySettings(epochs=9, learning_rate=0.00123)
    desk.workbench.states.recover(settings)
    killed(desk)
    show(window, qtbot)
    assert "Unfinished: Recover, 9 epochs; it resumes." in words_of(window)
    press(window, qtbot, "Restore")
    answer_restore(window, qtbot)
    assert window.workbench.runner.link.asked("recover") == ("s1", settings)
    assert window.document.busy
    link: FakeLink = window.workbench.runner.link
    link.failed.emit(link.last("recover"), Cancelled())


def test_a_result_that_the_window_did_not_live_to_see_becomes_the_step_that_it_was_to_be(window, qtbot) -> None:
    desk = session("one")
    desk.document.plan.mark([FIRST], True)
    desk.workbench.states.cut()
    folder = killed(desk)
    log = StateHistory(folder)
    log.read()
    log.put(state_of(ANALYSIS, "s2", "s1", StateKind.CUT, desk.document.removed | desk.document.marked))
    show(window, qtbot)
    press(window, qtbot, "Restore")
    answer_restore(window, qtbot, 3)
    assert window.document.contents.present == "s2" and window.document.history.undo_text == "cut 1 structure"
    window.workbench.runner.queue.take(window.workbench.runner.link.last("score"))
    window.document.plan.undo()
    assert window.document.contents.present == "s1" and window.document.marked[FIRST]


def test_a_restore_that_fails_leaves_the_session_to_be_offered_again(window, qtbot) -> None:
    from secateur.engine.errors import OpenError

    folder = killed(session("one"))
    show(window, qtbot)
    press(window, qtbot, "Restore")
    link = window.workbench.runner.link
    qtbot.waitUntil(lambda: any(m == "restore" for m, _ in link.calls.values()))
    link.failed.emit(link.last("restore"), OpenError("open.gone", "model.py is gone."))
    assert "model.py is gone" in window.errors.sentence.text()
    assert [draft.folder for draft in session_folders.drafts(sessions_folder())] == [folder]
    assert window.restore_bar.isVisible()


def test_a_damaged_file_is_set_aside_and_named_and_what_is_left_is_restored(window, qtbot) -> None:
    desk = session("one")
    for number in range(4):
        desk.document.plan.mark([FIRST + number], True)
    folder = killed(desk)
    log = folder / "window.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    lines[-3] = b'{"do":"entry"}\n'
    log.write_bytes(b"".join(lines))
    show(window, qtbot)
    press(window, qtbot, "Restore")
    answer_restore(window, qtbot)
    (aside,) = folder.glob("window damaged*.jsonl")
    assert window.document.marked.sum() == 2
    qtbot.waitUntil(lambda: str(aside) in window.errors.sentence.text())


def test_what_is_only_rubbish_never_stops_a_start(window, qtbot) -> None:
    for number, content in enumerate((b"", b"\x00" * 100, b"{}\n[]\n", b'{"do":"begin"}\n')):
        folder = sessions_folder() / str(number)
        folder.mkdir(parents=True)
        for name in ("events.jsonl", "window.jsonl", "window.lock"):
            (folder / name).write_bytes(content)
    (sessions_folder() / "a file").write_text("no folder")
    show(window, qtbot)
    assert window.workbench.sessions.crashed == ()


def test_old_sessions_are_deleted_unless_somebody_may_want_them() -> None:
    root = sessions_folder()
    open_now, crashed = session("open now"), killed(session("crashed"))
    closed = {name: session(name) for name in ("saved", "unsaved", "saved now")}
    for name, desk in closed.items():
        if name != "unsaved":
            desk.document.saved(f"/projects/{name}", desk.document.history.position)
        desk.workbench.close()
    session("only opened", states=1).workbench.close()
    for name in ("saved", "unsaved", "only opened", "open now"):
        age(root / name, session_folders.KEPT + 100)
    age(crashed, session_folders.KEPT + 100)
    gone = session_folders.tidy(root)
    assert {folder.name for folder in gone} == {"saved", "only opened"}
    assert {folder.name for folder in root.iterdir()} == {"open now", "crashed", "unsaved", "saved now"}
    open_now.workbench.close()


def test_an_event_log_that_cannot_be_read_does_not_cost_the_marks_beside_it() -> None:
    desk = session("one", states=1)
    desk.document.plan.mark([FIRST], True)
    desk.workbench.close()
    folder = sessions_folder() / "one"
    (folder / "events.jsonl").write_bytes(b"damaged")
    age(folder, 3600)
    assert session_folders.tidy(sessions_folder()) == [] and session_folders.drafts(sessions_folder()) == []


def page_of(window: MainWindow) -> str:
    parts = (*window.start_page.findChildren(QLabel), *window.start_page.findChildren(QPushButton))
    return " | ".join(one.text() for one in parts if one.isVisible())


def test_unsaved_work_that_was_closed_is_a_draft_on_the_start_page_and_opens_as_it_was(window, qtbot) -> None:
    desk = session("one")
    desk.document.plan.mark([FIRST, FIRST + 1], True)
    desk.document.expect(91.5)
    marked = desk.document.marked.copy()
    desk.workbench.close()
    saved = session("two")
    saved.document.saved("/projects/two", saved.document.history.position)
    saved.workbench.close()
    window.begin_with(ModelSpec("bundled:resnet"))
    show(window, qtbot)
    assert not window.restore_bar.isVisible() and not window.workbench.runner.link.calls
    assert [draft.folder.name for draft in window.workbench.sessions.closed] == ["one"]
    qtbot.waitUntil(lambda: "2 states, 2 filters marked, just now" in page_of(window))
    (made,) = (b for b in window.start_page.findChildren(QPushButton) if b.text() == "net")
    qtbot.mouseClick(made, LEFT)
    answer_restore(window, qtbot)
    assert (window.document.marked == marked).all() and window.document.contents.expected == 91.5
    assert window.workbench.sessions.drafts == ()


def test_the_curve_of_a_recovery_comes_back_with_its_session(window, qtbot) -> None:
    desk = session("one")
    made = state_of(ANALYSIS, "s2", "s1", StateKind.RECOVERED, desk.document.removed)
    made = replace(made, curve=({"step": 1.0, "loss": 0.5}, {"step": 2.0, "accuracy": 0.9}))
    log = StateHistory(sessions_folder() / "one")
    log.read()
    log.put(made)
    desk.document.add_state(made, "recover, 1 epoch")
    desk.workbench.close()
    show(window, qtbot)
    window.workbench.sessions.restore(sessions_folder() / "one", "net")
    answer_restore(window, qtbot, 3)
    assert window.document.contents.training.state == "s1"
    assert (window.document.curve[0].step, window.document.curve[0].loss) == (1, 0.5)
    assert window.document.curve[1].metric == 0.9


def test_drafts_of_this_machine_are_counted_beside_an_engine_elsewhere_and_not_offered(qtbot, dressed) -> None:
    session("one").workbench.close()
    killed(session("two"))
    settings.remember("mine", "bundled:vit")
    settings.remember("theirs", "/data/net.py:make", place="me@gpu")
    link = FakeLink()
    link.place = "me@gpu"
    window = MainWindow(workbench_on(link))
    qtbot.addWidget(window)
    show(window, qtbot)
    said = "2 drafts on this computer. To open them, disconnect from me@gpu."
    qtbot.waitUntil(lambda: said in page_of(window))
    page = page_of(window)
    assert "theirs" in page and "mine" not in page and "Discard" not in page
    assert window.workbench.sessions.drafts == () and not window.restore_bar.isVisible()
    menu = DraftsMenu(window, window.menuBar().addMenu("x"))
    menu.fill()
    assert [(action.text(), action.isEnabled()) for action in menu.actions()] == [(said, False)]
    window.close()


def test_a_draft_is_discarded_on_the_start_page_and_that_can_be_undone(window, qtbot) -> None:
    session("one").workbench.close()
    show(window, qtbot)

    def click(text: str) -> None:
        qtbot.waitUntil(lambda: text in page_of(window))
        (made,) = (b for b in window.start_page.findChildren(QPushButton) if b.text() == text and b.isVisible())
        qtbot.mouseClick(made, LEFT)

    click("Discard")
    qtbot.waitUntil(lambda: "It will be deleted at the next start" in page_of(window))
    click("Undo")
    qtbot.waitUntil(lambda: "just now" in page_of(window))
    assert window.workbench.autosave._background.flush(PATIENCE)
    assert [draft.folder.name for draft in session_folders.drafts(sessions_folder())] == ["one"]


def test_what_another_model_takes_the_place_of_stands_in_the_menu_of_drafts(window, qtbot) -> None:
    show(window, qtbot)
    document, link = window.document, window.workbench.runner.link
    original = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())

    def opens(name: str, number: str) -> None:
        window.open(ModelSpec(name))
        folder = sessions_folder() / number
        StateHistory(folder).open(ModelSpec(name), None, original)
        opened = OpenedModel(name, ANALYSIS, original, (), task_info(), folder=str(folder))
        link.finished.emit(link.last("open"), opened)

    opens("first", "1")
    document.plan.mark([FIRST], True)
    with qtbot.waitSignal(window.workbench.sessions.found):
        opens("second", "2")
    assert "Your work on first is kept: File > Drafts." in " ".join(map(str, document.messages.lines()))
    menu = DraftsMenu(window, window.menuBar().addMenu("x"))
    qtbot.waitUntil(lambda: bool(window.workbench.sessions.closed))
    menu.fill()
    assert [action.text() for action in menu.actions()] == ["first: 1 filter marked, just now"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (61, "1 minute ago"), (7_300, "2 hours ago"), (90_000, "1 day ago"), (6 * 86_400, "6 days ago")],
)
def test_how_long_ago_a_draft_was_written(seconds: int, words: str) -> None:
    assert time_ago(1_000_000.0, 1_000_000.0 + seconds) == words


def test_a_session_that_an_engine_still_works_in_is_not_deleted() -> None:
    desk = session("one", states=1)
    desk.workbench.close()
    folder = sessions_folder() / "one"
    age(folder, session_folders.KEPT + 100)
    lock = FolderLock(folder, ENGINE)
    lock.take()
    age(folder, session_folders.KEPT + 100)
    assert session_folders.tidy(sessions_folder()) == []
    lock.release()
    age(folder, session_folders.KEPT + 100)
    assert session_folders.tidy(sessions_folder()) == [folder]


def test_opening_another_model_closes_the_session_before_in_order() -> None:
    desk = session("one")
    state = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    other = OpenedModel("other", ANALYSIS, state, (), task_info(), folder=str(sessions_folder() / "two"))
    desk.workbench.model.adopt(other, ModelSpec("other"))
    assert desk.workbench.autosave._background.flush(PATIENCE)
    assert not (sessions_folder() / "one" / WINDOW).exists() and FolderLock(sessions_folder() / "two").taken()
    begun = (sessions_folder() / "one" / "window.jsonl").read_bytes().splitlines()[0]
    assert json.loads(begun)["name"] == "net"
    desk.workbench.close()


def _hold(folder: str, ready, end) -> None:
    lock = FolderLock(Path(folder))
    assert lock.take()
    ready.set()
    end.wait()


def test_the_system_lets_a_lock_go_when_its_process_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(str(tmp_path), ready, end))
    process.start()
    assert ready.wait(PATIENCE)
    lock = FolderLock(tmp_path)
    assert lock.taken() and not lock.take()
    process.kill()
    process.join()
    assert not lock.taken() and lock.path.exists()
    assert lock.take()
    lock.release()
    assert not lock.path.exists()


def test_identities_of_a_session_survive(qapp) -> None:
    desk = session("one")
    desk.document.plan.mark([FIRST], True)
    folder = killed(desk)
    from secateur.app.storage.autosave.window_file import read

    kept = read(folder)
    assert kept is not None
    fitted = kept.fit(ANALYSIS, {"s0", "s1"})
    assert identities(ANALYSIS, fitted.now.marked) == identities(ANALYSIS, desk.document.marked)


# Sessions whose states are on another machine.

FAR = RemoteEngine("ssh://me@gpu", "abcdefgh")


def far_session(name: str) -> Desk:
    """A window's document whose engine is elsewhere: of the session only the window's part is here."""
    folder = sessions_folder() / name
    link = FakeLink()
    link.engine = FAR
    desk = Desk(workbench_on(link), link, [], [])
    original = state_of(ANALYSIS, "s0", "", StateKind.ORIGINAL, ANALYSIS.empty())
    opened = OpenedModel("net", ANALYSIS, original, (), task_info(), folder=str(folder))
    desk.workbench.model.adopt(opened, ModelSpec("net"))
    desk.document.plan.mark([FIRST, FIRST + 1], True)
    return desk


def test_a_session_elsewhere_is_a_draft_until_its_window_closes_normally(window, qtbot) -> None:
    folder = killed(far_session("one"))
    far_session("two").workbench.close()
    assert session_folders.drafts(sessions_folder())[0].engine == FAR
    for place in sessions_folder().iterdir():
        age(place, 100)
    assert [gone.name for gone in session_folders.tidy(sessions_folder())] == ["two"]
    assert [draft.folder for draft in session_folders.drafts(sessions_folder())] == [folder]


def test_a_session_elsewhere_is_restored_by_a_window_with_its_engine_alone(window, qtbot) -> None:
    folder, asked = killed(far_session("one")), list[tuple[Path, str, RemoteEngine | None]]()
    window.workbench.sessions.elsewhere.disconnect()
    window.workbench.sessions.elsewhere.connect(lambda *told: asked.append(told))
    show(window, qtbot)
    qtbot.waitUntil(lambda: "2 filters marked, on gpu" in words_of(window))
    press(window, qtbot, "Restore")
    assert asked == [(folder, "net", FAR)]
    window.workbench.autosave.engine = replace(FAR, address="ssh://me@gpu.example.org")  # edited before it connected
    press(window, qtbot, "Restore")
    link: FakeLink = window.workbench.runner.link
    qtbot.waitUntil(lambda: any(m == "restore" for m, _ in link.calls.values()))
    assert link.asked("restore")[0] == str(folder) and len(asked) == 1
    link.failed.emit(link.last("restore"), Cancelled())


def test_a_session_of_this_machine_is_not_restored_by_an_engine_elsewhere(window, qtbot) -> None:
    session("one").workbench.close()
    asked = list[object]()
    window.workbench.autosave.engine = FAR
    window.workbench.sessions.elsewhere.disconnect()
    window.workbench.sessions.elsewhere.connect(lambda _folder, _name, engine: asked.append(engine))
    window.workbench.sessions.restore(sessions_folder() / "one", "net")
    assert asked == [None]


def test_a_session_elsewhere_that_another_window_has_is_said_to_be_in_use(window, qtbot) -> None:
    desk = far_session("one")
    assert desk.workbench.autosave._background.flush(PATIENCE)
    said: list[str] = []
    window.document.announced.connect(said.append)
    window.workbench.sessions.restore(sessions_folder() / "one", "net")
    assert len(said) == 1 and "is in use by" in said[0]
    desk.workbench.close()


@pytest.mark.parametrize("content", [b"", b"{", b'{"address": "ssh://-oProxyCommand=evil", "name": "a"}', b"[]", b"1"])
def test_a_damaged_note_of_an_engine_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "engine.json").write_bytes(content)
    assert remote_engine_of(tmp_path) is None
