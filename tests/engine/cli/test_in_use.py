"""Commands that write to a project are refused, before their work, while another process works in it."""

import subprocess
from pathlib import Path

import pytest

from secateur.engine.cli.main import main
from secateur.engine.session.state_history import StateHistory
from tests.engine.session.small import write_project
from tests.engine.storage.test_folder_lock import held
from tests.waiting import COURSE
from tests.warm_start import python

pytestmark = pytest.mark.end_to_end

FAST = ["--criterion", "l1", "--multiple", "4", "--threads", "1"]


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    write_project(tmp_path / "mine")
    made = tmp_path / "project"
    assert main(["prune", *model(tmp_path), *FAST, "--epochs", "1", "--save", str(made)]) == 0
    capsys.readouterr()
    return made


def model(folder: Path) -> list[str]:
    return [f"{folder / 'mine' / 'model.py'}:make", "--task", str(folder / "mine" / "data.npz")]


def test_every_command_that_writes_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    name = str(project)
    with held(project):
        for command in (
            ["baselines", name, "--no-timing"],
            ["measure", name],
            ["measure", name, "--results", "none.json"],
            ["sweep", name, "--save", name],
            ["prune", name, "--save", name],
            ["prune", *model(project.parent), "--save", str(project.parent / "project")],
        ):
            assert main(command) != 0
            said = capsys.readouterr().err
            assert "in use by secateur sweep (process" in said or "already holds a project" in said
        assert main(["report", name, "--out", str(project.parent / "report.html")]) == 0  # to read is no harm
    after = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and "lock" not in path.name}
    assert after == before


def test_a_project_that_another_one_is_about_to_write_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path / "mine")
    with held(tmp_path / "new"):
        for command in (["prune", *FAST], ["sweep", *FAST, "--budgets", "80%"]):
            assert main([command[0], *model(tmp_path), *command[1:], "--save", str(tmp_path / "new")]) != 0
            said = capsys.readouterr().err
            assert "in use by secateur sweep" in said and "Cutting" not in said


def test_a_sweep_and_baselines_at_once_lose_nothing(project: Path) -> None:
    """Both at the same time, as two terminals would: one is refused, and what the other says is done is there."""
    start = python("-m", "secateur.app.main")
    sweep = ["sweep", str(project), "--budgets", "80%,60%", "--epochs", "1", *FAST, "--save", str(project)]
    baselines = ["baselines", str(project), "--kind", "random", "--no-timing", "--threads", "1"]
    before = _counts(project)
    both = [subprocess.Popen([*start, *words], stderr=subprocess.PIPE, text=True) for words in (sweep, baselines)]
    said = [one.communicate(timeout=COURSE)[1] for one in both]
    swept, compared = (one.returncode == 0 for one in both)
    assert swept or compared
    for done, words in ((swept, said[0]), (compared, said[1])):
        assert done or "in use by secateur" in words
    states, beside = _counts(project)
    assert states == before[0] + 4 * swept and beside == before[1] + compared


def _counts(project: Path) -> tuple[int, int]:
    history = StateHistory(project)
    history.read()
    return len(history.states), len(history.baselines)
