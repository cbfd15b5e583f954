"""A project says what has changed since it was saved, and finds files that have moved."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from secateur.engine.cli.main import main
from secateur.engine.errors import OpenError
from secateur.engine.jobs import Cancelled, NeverCancelled, Progress, finish
from secateur.engine.scoring.score_options import Choices
from secateur.engine.session.project_file import PROJECT, WINDOW, Role, digest_of, read_project
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import LOG, StateHistory
from secateur.engine.session.states import OpenedModel
from secateur.engine.sharing import session_files
from secateur.engine.sharing.read_shared import handed
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.storage import atomic_files, folder_lock
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.protocol import Split
from secateur.engine.workflows.measure import measure_states

from .small import keep, restored, write_project


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project beside the user's files, with a cut, and its session."""
    work = tmp_path_factory.mktemp("saved") / "work"
    spec = write_project(work / "mine")
    session = Session(work / "session")
    opened = finish(session.open(spec))
    marked = opened.analysis.empty()
    marked[:4] = True
    cut = finish(session.cut("s0", marked))
    (work / "session" / WINDOW).write_text("the window's own")
    finish(save_project(session, str(work / "project"), cut.id))
    session.close()
    return keep(work)


@pytest.fixture
def saved(kept: Path) -> Path:
    return restored(kept) / "project"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session(tmp_path / "other session")
    yield session
    session.close()


def opened(session: Session, project: Path, **fields) -> OpenedModel:
    return finish(session.open(ModelSpec(str(project), **fields)))


def test_the_file_names_what_it_was_made_of_by_relative_paths_and_content(saved: Path) -> None:
    content = json.loads((saved / PROJECT).read_text())
    assert content["schema"] == 1 and content["state"] == "s1"
    parts = {part["role"]: part for part in content["parts"]}
    assert {role: part["path"] for role, part in parts.items()} == {
        "model": "../mine/model.py",
        "data": "../mine/data.npz",
    }
    assert parts["data"]["digest"] == finish(digest_of(saved.parent / "mine" / "data.npz", NeverCancelled()))
    assert (saved / WINDOW).read_text() == "the window's own"


def test_what_has_not_changed_is_not_spoken_of(session: Session, saved: Path) -> None:
    assert opened(session, saved).changed == ()
    assert not any(state.stale for state in session.states())
    assert [state.id for state in session.states()] == ["s0", "s1"]


def test_data_that_changed_is_named_and_metrics_are_stale_until_they_are_measured_anew(
    session: Session, saved: Path
) -> None:
    data = saved.parent / "mine" / "data.npz"
    with np.load(data) as arrays:
        np.savez(data, **{name: value[:-3] if name[0] in "xy" else value for name, value in arrays.items()})
    changed = [*map(str, opened(session, saved).changed)]
    assert len(changed) == 2 and "data.npz has changed" in changed[0] and "stale" in changed[1]
    assert session.history.state("s0").stale and session.history.state("s0").metrics
    again = finish(session.evaluate_once("s0", session.history.state("s0").metrics[0].split))
    assert not session.history.state("s0").stale and session.history.state("s0").metrics == (again,)
    reread = StateHistory(session.folder)
    reread.read()
    assert not reread.state("s0").stale


def test_code_that_changed_is_named_and_another_comment_is_a_change_too(session: Session, saved: Path) -> None:
    code = saved.parent / "mine" / "model.py"
    code.write_text(code.read_text() + "\n# a comment\n")
    (first, _) = map(str, opened(session, saved, trust_code=True).changed)
    assert "model.py has changed" in first
    assert session.history.state("s0").stale
    another = finish(session.open(ModelSpec(f"{saved.parent / 'mine' / 'model.py'}:make", input_shape=(1, 1, 8, 8))))
    assert another.changed == ()  # nothing is said of it that was said of a project


def test_latencies_of_code_that_changed_are_measured_anew_by_files_of_that_code(session: Session, saved: Path) -> None:
    target = TargetSpec("torch", seconds=0.02)
    finish(session.open(ModelSpec(str(saved)), evaluate=False))
    finish(measure_states(session, ("s0", "s1"), target))
    finish(save_project(session, str(saved), "s1"))
    before = {path.name for path in (session.folder / "artifacts").iterdir()}
    code = saved.parent / "mine" / "model.py"
    code.write_text(code.read_text().replace("(x + self.bn2", "(2 * x + self.bn2"))
    finish(session.open(ModelSpec(str(saved), trust_code=True), evaluate=False))
    assert not any(state.timings for state in session.states())
    finish(measure_states(session, ("s0",), target))
    now = {path.name for path in (session.folder / "artifacts").iterdir()}
    assert len(before) == 2 and len(now - before) == 1


def test_points_of_a_module_that_changed_beside_the_file_are_not_taken(tmp_path: Path) -> None:
    spec, names = write_project(tmp_path / "mine"), list[str]()
    code = (tmp_path / "mine" / "model.py").read_text()
    (tmp_path / "mine" / "model.py").write_text("from blocks_of_mine import make\n")
    for text in (code, code, code.replace("(x + self.bn2", "(2 * x + self.bn2")):
        (tmp_path / "mine" / "blocks_of_mine.py").write_text(text)
        sys.modules.pop("blocks_of_mine", None)
        with closing(Session(tmp_path / "session")) as session:
            finish(session.open(spec, evaluate=False))
            session.loaded.opened = 2e9  # nothing has changed since
            names.append(session._ablation_file(session.history.state("s0"), Choices(), 0).name)
    assert names[0] == names[1] != names[2]


def test_a_file_that_moved_is_asked_for_and_what_lay_beside_it_is_found_with_it(session: Session, saved: Path) -> None:
    mine, elsewhere = saved.parent / "mine", saved.parent / "somewhere else"
    shutil.move(mine, elsewhere)
    with pytest.raises(OpenError, match=r"model\.py is missing") as caught:
        opened(session, saved)
    assert caught.value.message.code == "project.moved"
    assert str(caught.value.message.arguments["role"]) == "model"
    old = str(caught.value.message.arguments["path"])
    found = opened(session, saved, moved=((old, str(elsewhere / "model.py")),), trust_code=True)
    assert found.changed == ()
    assert session.history.task is not None and session.history.task.path == str(elsewhere / "data.npz")
    finish(save_project(session, str(saved.parent / "again"), "s1"))
    project, _ = read_project(saved.parent / "again")
    assert project is not None
    assert {part.role: Path(part.path).parent for part in project.parts} == {
        Role.MODEL: elsewhere,
        Role.DATA: elsewhere,
    }


def test_code_that_moved_needs_consent_once_more(session: Session, saved: Path) -> None:
    mine, elsewhere = saved.parent / "mine", saved.parent / "somewhere else"
    shutil.move(mine, elsewhere)
    with pytest.raises(OpenError) as caught:
        opened(session, saved, moved=((str(mine / "model.py"), str(elsewhere / "model.py")),))
    assert caught.value.message.code == "source.code"


def test_the_command_line_says_what_is_missing_and_takes_where_it_is(saved: Path, capsys) -> None:
    mine, elsewhere = saved.parent / "mine", saved.parent / "somewhere else"
    shutil.move(mine, elsewhere)
    assert main(["inspect", str(saved)]) != 0
    assert "--moved" in capsys.readouterr().err
    where = f"{mine / 'model.py'}={elsewhere / 'model.py'}"
    assert main(["inspect", str(saved), "--moved", where, "--trust-code"]) == 0


def test_a_project_that_was_moved_with_its_files_opens_as_ever(session: Session, saved: Path) -> None:
    (saved.parent / "new place").mkdir()
    for folder in ("mine", "project"):
        shutil.move(saved.parent / folder, saved.parent / "new place" / folder)
    assert opened(session, saved.parent / "new place" / "project", trust_code=True).changed == ()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b'{"state": 3}', b'{"parts": [{"role": "soul"}]}'])
def test_a_damaged_project_file_costs_a_sentence(session: Session, saved: Path, content: bytes) -> None:
    (saved / PROJECT).write_bytes(content)
    (said,) = map(str, opened(session, saved).changed)
    assert said.startswith("Cannot read ") and "project.json" in said
    assert [state.id for state in session.states()] == ["s0", "s1"]


@pytest.mark.parametrize("name", ["weights", "artifacts", "recovery", LOG, WINDOW])
def test_a_link_out_of_a_project_in_place_of_a_part_of_it_is_refused(session: Session, saved: Path, name: str) -> None:
    part, outside = saved / name, saved.parent / f"outside {name}"
    if part.exists():
        part.rename(outside)
    else:
        outside.mkdir()
        (outside / "mine.pt").write_bytes(b"1")
        os.utime(outside / "mine.pt", (1, 1))
    before = [*outside.iterdir()] if outside.is_dir() else outside.read_bytes()
    part.symlink_to(outside)
    for use in (
        lambda: opened(session, saved),
        lambda: opened(Session(saved), saved),
        lambda: finish(Session(saved).restore()),
        lambda: handed(saved),
    ):
        with pytest.raises(OpenError, match=f"{name} is a link that leads out of the folder"):
            use()
    assert ([*outside.iterdir()] if outside.is_dir() else outside.read_bytes()) == before
    part.unlink()
    outside.rename(saved / "elsewhere")
    part.symlink_to("elsewhere")  # within the project it may lie wherever it likes
    opened(session, saved)


def test_a_save_into_a_folder_with_a_link_in_place_of_its_weights_is_refused(session: Session, saved: Path) -> None:
    opened(session, saved)
    (saved.parent / "new").mkdir()
    (saved.parent / "new" / "weights").symlink_to(saved.parent / "mine")
    before = {*(saved.parent / "mine").iterdir()}
    with pytest.raises(OpenError, match="weights is a link"):
        finish(save_project(session, str(saved.parent / "new"), "s1"))
    assert {*(saved.parent / "mine").iterdir()} == before


def test_a_later_version_is_not_misread(session: Session, saved: Path) -> None:
    content = json.loads((saved / PROJECT).read_text()) | {"schema": 2}
    (saved / PROJECT).write_text(json.dumps(content))
    with pytest.raises(OpenError, match="newer version"):
        opened(session, saved)


def weights_of(project: Path, state: str) -> Path:
    """The file of a state's weights."""
    history = StateHistory(project)
    history.read()
    return project / "weights" / f"{history.state(state).weights}.safetensors"


def zero_half_a_layer(file: Path, name: str = "block.conv1.weight") -> None:
    """In place, and as the file was before to all that does not read it."""
    before, content = file.stat(), bytearray(file.read_bytes())
    header = int.from_bytes(content[:8], "little")
    begin, end = json.loads(content[8 : 8 + header])[name]["data_offsets"]
    content[8 + header + begin : 8 + header + (begin + end) // 2] = bytes((begin + end) // 2 - begin)
    file.write_bytes(content)
    assert (before.st_ino, before.st_size) == (file.stat().st_ino, file.stat().st_size)


def test_damaged_weights_of_a_state_are_named_and_the_other_states_stay_open(
    session: Session, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zero_half_a_layer(weights_of(saved, "s1"))
    assert not opened(session, saved).changed
    for use in (session.model, lambda state: finish(session.evaluate(state, Split.TEST))):
        with pytest.raises(OpenError, match=r"The weights of s1 are missing or damaged: .*safetensors"):
            use("s1")
    whole = finish(session.evaluate("s0", Split.TEST))
    assert whole.value == session.history.state("s0").metrics[0].value
    out = saved.parent / "out"
    asked = ["export", str(saved), "--to", "onnx", "--out", str(out), "--state"]
    out.mkdir()
    assert main([*asked, "s1"]) == 2 and not any(out.iterdir())
    assert main(["bundle", str(saved), "--with-weights", "--out", str(saved.parent / "b.zip")]) == 2
    assert capsys.readouterr().err.count("The weights of s1 are missing or damaged") == 2
    assert not (saved.parent / "b.zip").exists()
    assert main([*asked, "s0"]) == 0 and any(out.iterdir())


def test_a_damaged_original_is_written_again_where_its_source_still_gives_it(session: Session, saved: Path) -> None:
    file = weights_of(saved, "s0")
    whole = file.read_bytes()
    zero_half_a_layer(file)
    opened(session, saved)
    assert file.read_bytes() == whole and session.model("s1") is not None
    zero_half_a_layer(file)
    code = saved.parent / "mine" / "model.py"
    code.write_text(code.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    count = len(list((saved / "weights").iterdir()))
    with pytest.raises(OpenError, match="The weights of s0 are missing or damaged"):
        opened(session, saved, trust_code=True)
    assert len(list((saved / "weights").iterdir())) == count


def test_a_state_whose_weights_are_gone_is_named_and_the_others_open_and_are_saved(
    session: Session, saved: Path
) -> None:
    weights_of(saved, "s1").unlink()
    (note,) = opened(session, saved).changed
    assert str(note).startswith("The weights of s1 are missing.")
    assert session.model("s0") is not None
    finish(save_project(session, str(saved.parent / "again"), "s0"))
    assert weights_of(saved.parent / "again", "s0").is_file() and not weights_of(saved.parent / "again", "s1").exists()


def test_a_damaged_history_is_opened_as_far_as_it_can_be_read(session: Session, saved: Path) -> None:
    log = saved / LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + b"rubbish\n" + lines[1].replace(b'"s1"', b'"s2"').replace(b'"s0"', b'"s1"'))
    changed = [*map(str, opened(session, saved).changed)]
    assert "damaged at line 2" in changed[0] and "Lost: s2" in changed[1]
    assert [state.id for state in session.states()] == ["s0"]
    assert b"rubbish" in log.read_bytes()  # a project is the user's own: it is left as it was


def test_a_damaged_history_of_a_session_is_set_aside_and_written_anew(tmp_path: Path) -> None:
    one = Session(tmp_path / "session")
    finish(one.open(write_project(tmp_path / "mine")))
    state = one.history.state("s0")
    one.history.put(replace(state, parameters=5))
    log = one.folder / LOG
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(lines[0] + b"\x00\x00\n" + lines[1])
    one.close()
    two = Session(tmp_path / "two")
    found = finish(two.restore(str(one.folder)))
    (aside,) = one.folder.glob("events damaged*.jsonl")
    assert aside.read_bytes() == lines[0] + b"\x00\x00\n" + lines[1]
    assert any(str(aside) in sentence for sentence in map(str, found.changed))
    assert found.state.parameters == 5 and two.folder == one.folder
    reread = StateHistory(one.folder)
    reread.read()
    assert reread.notes == ()
    two.close()


def test_a_restore_that_fails_leaves_the_session_where_it_was(session: Session, saved: Path, tmp_path: Path) -> None:
    opened(session, saved)
    with pytest.raises(OpenError):
        finish(session.restore(str(saved.parent / "nothing here")))
    assert session.folder == tmp_path / "other session" and not (saved.parent / "nothing here").exists()
    assert [state.id for state in session.states()] == ["s0", "s1"]


def test_another_model_gets_a_folder_of_its_own_and_the_session_before_stays(session: Session, tmp_path: Path) -> None:
    spec = write_project(tmp_path / "mine")
    finish(session.open(spec))
    before = session.folder
    found = finish(session.open(spec, True, str(tmp_path / "next")))
    assert found.folder == str(tmp_path / "next") == str(session.folder)
    reread = StateHistory(before)
    reread.read()
    assert list(reread.states) == ["s0"]


def test_a_folder_that_another_engine_works_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.3)
    one = Session(tmp_path / "one", exclusive=True)
    finish(one.open(write_project(tmp_path / "mine")))
    two = Session(tmp_path / "two", exclusive=True)
    with pytest.raises(OpenError, match="is in use by"):
        finish(two.restore(str(tmp_path / "one")))
    one.close()
    assert finish(two.restore(str(tmp_path / "one"))).state.id == "s0"
    two.close()


def test_a_project_that_cannot_be_written_whole_is_not_there(
    session: Session, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(session, saved)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session_files, "analysis_to_json", full)  # the weights were written before
    with pytest.raises(OSError, match="No space"):
        finish(save_project(session, str(saved.parent / "half"), "s1"))
    assert not (saved.parent / "half").exists()


def test_a_project_with_results_of_another_session_is_not_written_over(session: Session, saved: Path) -> None:
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    finish(session.open(ModelSpec(f"{saved.parent / 'mine' / 'model.py'}:make", input_shape=(1, 1, 8, 8))))
    with pytest.raises(OpenError, match="another project, with 1 results"):
        finish(save_project(session, str(saved), "s0"))
    assert before == {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    opened(session, saved)
    finish(save_project(session, str(saved), "s1"))  # all that it has is here


@pytest.mark.parametrize("there", [False, True])
def test_saving_tells_how_far_it_is_and_leaves_nothing_when_it_is_cancelled(
    session: Session, saved: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(atomic_files, "PIECE", 1000)
    monkeypatch.setattr(atomic_files.os, "link", refused)  # another file system
    opened(session, saved)
    target, token = saved.parent / "mine too", Event()
    if there:
        target.mkdir()
        (target / "notes.txt").write_text("of another program")
    told = list[Progress]()

    def hear(progress: Progress) -> None:
        told.append(progress)
        if progress.message.template.startswith("Weights") and (target / "weights").exists():
            token.set()

    with pytest.raises(Cancelled):
        finish(save_project(session, str(target), "s1", token), hear)
    arguments = [one.message.arguments for one in told]
    names = [one.get("name", one.get("file")) for one in arguments]
    assert names.count("data.npz") > 10 and names.count("model.py") > 1
    assert [*map(str, target.rglob("*"))] == ([str(target / "notes.txt")] if there else [])
    assert target.exists() == there
    finish(save_project(session, str(target), "s1"))
    assert opened(session, target).changed == ()


def test_reading_a_large_file_or_folder_can_be_cancelled(tmp_path: Path) -> None:
    token = Event()
    token.set()
    (tmp_path / "data.npz").write_bytes(b"some")
    for path in (tmp_path / "data.npz", tmp_path):
        with pytest.raises(Cancelled):
            finish(digest_of(path, token))


def refused(*_paths: object) -> None:
    raise OSError("no links here")
