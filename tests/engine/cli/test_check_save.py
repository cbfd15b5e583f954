"""Where a project can be saved is known before the work, and what is made is saved as it is made."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.cli.autosave import run_with_autosave
from secateur.engine.cli.output import Reporter
from secateur.engine.cli.prune import check_save
from secateur.engine.errors import ExportError
from secateur.engine.jobs import Job, finish
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.session.session import Session
from secateur.engine.sharing import session_files
from secateur.engine.sharing.project_files import UNFINISHED, in_the_way
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.workflows.prune import PruneRequest, prune_state
from tests.engine.session.small import write_project


def test_folders_above_a_project_need_not_exist(tmp_path: Path) -> None:
    check_save(str(tmp_path / "new" / "deep" / "project"), "net.py:make")
    assert not any(tmp_path.iterdir())


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ExportError):
        check_save(str(tmp_path / "taken" / "deep" / "project"), "net.py:make")


def test_a_project_is_gone_on_with_or_left_alone(tmp_path: Path) -> None:
    session, folder = Session(tmp_path / "session"), str(tmp_path / "project")
    finish(session.open(write_project(tmp_path / "mine")))
    finish(save_project(session, folder, "s0"))
    check_save(folder, folder)
    check_save(folder, str(tmp_path / "mine" / ".." / "project"))
    with pytest.raises(ExportError, match="already holds a project"):
        check_save(folder, "net.py:make")


@pytest.mark.parametrize("name", ["write_script", "write_project", "take_window"])
def test_a_first_save_that_was_killed_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    session, folder, killed = Session(tmp_path / "session"), tmp_path / "project", tmp_path / "killed"
    finish(session.open(write_project(tmp_path / "mine")))
    real = getattr(session_files, name)

    def seen(*arguments: Any) -> Any:
        shutil.copytree(folder, killed)  # as a kill would leave it
        return real(*arguments)

    monkeypatch.setattr(session_files, name, seen)
    finish(save_project(session, str(folder), "s0"))
    monkeypatch.undo()
    assert (killed / "recipe.json").exists() and not (killed / "events.jsonl").exists()
    check_save(str(killed), "net.py:make")
    finish(save_project(session, str(killed), "s0"))
    assert sorted(path.name for path in killed.iterdir()) == sorted(path.name for path in folder.iterdir())
    assert not (killed / UNFINISHED).exists() and len(_states(killed, tmp_path / "again")) == 1


def test_a_first_save_that_was_killed_hands_nothing_of_others_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, folder, killed = Session(tmp_path / "session"), tmp_path / "project", tmp_path / "killed"
    finish(session.open(write_project(tmp_path / "mine")))
    folder.mkdir()
    (folder / "recipe.py").write_text("mine")
    monkeypatch.setattr(session_files, "write_script", lambda *_: shutil.copytree(folder, killed))
    finish(save_project(session, str(folder), "s0"))
    assert [path.name for path in in_the_way(killed)] == ["recipe.py"]
    with pytest.raises(ExportError, match=r"recipe\.py already exists"):
        check_save(str(killed), "net.py:make")


def test_every_state_is_in_the_project_as_soon_as_it_is_made(tmp_path: Path) -> None:
    session, folder, seen = Session(tmp_path / "session"), tmp_path / "project", list[int]()
    finish(session.open(write_project(tmp_path / "mine")))
    settings = PruneRequest(Goal((Limit(Cost.PARAMETERS, 0.5),)), "l1", rounds=2)

    def watched() -> Job[None]:
        for progress in prune_state(session, "s0", settings):
            yield progress
            if progress.made is not None:  # as a kill would find it now
                assert sorted(session.history.states) == sorted(_states(folder, tmp_path / f"again {len(seen)}"))
                seen.append(len(session.history.states))

    run_with_autosave(session, str(folder), Reporter(), watched())
    assert seen[:2] == [2, 3]


def test_a_project_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    session, taken = Session(tmp_path / "session"), tmp_path / "taken"
    finish(session.open(write_project(tmp_path / "mine")))
    taken.write_text("a file")
    job = prune_state(session, "s0", PruneRequest(Goal((Limit(Cost.PARAMETERS, 0.5),)), "l1"))
    assert run_with_autosave(session, str(taken), Reporter(), job)
    assert taken.read_text() == "a file"


def _states(project: Path, folder: Path) -> list[str]:
    again = Session(folder)
    finish(again.open(ModelSpec(str(project))))
    return [one.id for one in again.states()]
