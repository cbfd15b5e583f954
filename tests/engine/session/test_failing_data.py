"""A loader of the user's that raises late: the recovery goes on where it stopped, once the file is mended."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from secateur.engine.cli.main import main
from secateur.engine.errors import TaskError
from secateur.engine.jobs import finish
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from secateur.engine.tasks.protocol import TaskSpec

from .small import write_project

TASK = """
import numpy as np
import torch

data = np.load(FILE)
EPOCH = 7


def batches(split, seed=None):
    epoch = seed or 0
    x, y = (torch.from_numpy(data[f"{kind}_{split}"]) for kind in "xy")
    for start in range(0, len(x), 16):
        if epoch == EPOCH and start == 32:
            raise OSError("the share is gone")
        yield x[start : start + 16], y[start : start + 16].long()


def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
"""
SETTINGS = RecoverySettings(epochs=8, threads=1)


@pytest.fixture
def task(tmp_path: Path) -> TaskSpec:
    write_project(tmp_path)
    (tmp_path / "task.py").write_text(TASK.replace("FILE", repr(str(tmp_path / "data.npz"))))
    return TaskSpec("file", str(tmp_path / "task.py"))


def test_a_recovery_goes_on_once_the_users_file_is_mended(tmp_path: Path, task: TaskSpec) -> None:
    session = Session(tmp_path / "session")
    opened = finish(session.open(replace(write_project(tmp_path), task=task)))
    removed = opened.analysis.empty()
    removed[:4] = True
    cut = finish(session.cut("s0", removed))
    with pytest.raises(TaskError, match=r"epoch 7 after 2 batches: .*task.py, line 14: OSError.*Fix the data"):
        finish(session.recover(cut.id, SETTINGS))
    assert [one.id for one in session.states()] == ["s0", cut.id]
    file = Path(task.path)
    file.write_text(file.read_text().replace("EPOCH = 7", "EPOCH = -1"))
    finish(session.attach_task(task))
    said: list[str] = []
    recovered = finish(session.recover(cut.id, SETTINGS), lambda progress: said.append(str(progress.message)))
    assert "Resuming at step 20" in said and recovered.parent == cut.id
    left = list((tmp_path / "session" / "recovery").iterdir())
    assert all(one.name.endswith("teacher.pt") for one in left)  # for further recoveries
    session.close()


def test_what_was_cut_is_saved_where_the_recovery_fails(
    tmp_path: Path, task: TaskSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "project"
    argv = ["prune", f"{tmp_path / 'model.py'}:make", "--task", task.path, "--keep-params", "80%", "--epochs", "8"]
    assert main([*argv, "--multiple", "1", "--threads", "1", "--save", str(saved)]) == 1
    assert re.search("Work so far is saved in .*project", capsys.readouterr().err)
    session = Session(saved)
    finish(session.restore())
    assert [one.kind for one in session.states()] == ["original", "cut"]
    session.close()


def test_a_project_that_cannot_be_written_does_not_take_the_work_along(
    tmp_path: Path, task: TaskSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    file, saved, model = Path(task.path), tmp_path / "project", f"{tmp_path / 'model.py'}:make"
    taken = f"import shutil\n    shutil.rmtree({str(saved)!r}, ignore_errors=True)\n"
    taken += f"    open({str(saved)!r}, 'w').close()\n    return torch.nn"  # a file, where the project was to lie
    file.write_text(file.read_text().replace("EPOCH = 7", "EPOCH = -1").replace("return torch.nn", taken))
    argv = ["prune", model, "--task", task.path, "--keep-params", "80%", "--epochs", "1", "--multiple", "1"]
    assert main([*argv, "--save", str(saved)]) == 1
    err = capsys.readouterr().err
    found = re.search(r"Work so far is kept in (.*)\. Pass that folder as MODEL", err)
    assert found is not None and "Cannot write" in err
    assert main(["prune", found[1], "--keep-params", "60%", "--no-recover", "--multiple", "1"]) == 0
    session = Session(Path(found[1]))
    finish(session.restore())
    assert [one.kind for one in session.states()] == ["original", "cut", "recovered"]
    session.close()
    shutil.rmtree(found[1])


@pytest.mark.parametrize("project", [False, True])
def test_a_command_goes_on_where_the_data_failed(
    tmp_path: Path, task: TaskSpec, capsys: pytest.CaptureFixture[str], project: bool
) -> None:
    file, saved, model = Path(task.path), str(tmp_path / "project"), f"{tmp_path / 'model.py'}:make"
    rest = ["--task", task.path, "--keep-params", "80%", "--epochs", "8", "--multiple", "1", "--threads", "1"]
    assert main(["prune", model, *rest, "--save", saved]) == 1
    assert "Fix the data and recover again with the same settings to continue" in capsys.readouterr().err
    file.write_text(file.read_text().replace("EPOCH = 7", "EPOCH = -1"))
    # A project asks before code runs that it did not run when it was made.
    again = ["prune", saved, *rest[2:], "--save", saved, "--trust-code"] if project else ["prune", model, *rest]
    assert main(again) == 0
    said = capsys.readouterr().err
    assert "Resuming at step 20" in said and ("What it finished with the same settings" in said) is project
    assert main(["prune", model, *rest]) == 0  # once it is done, nothing of it is left to go on with
    assert "Resuming" not in capsys.readouterr().err
    if project:
        session = Session(Path(saved))
        finish(session.restore())
        assert [one.kind for one in session.states()] == ["original", "cut", "recovered"]
        session.close()


def test_a_loss_that_becomes_no_number_keeps_the_best_and_says_where(
    tmp_path: Path, task: TaskSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    file, saved = Path(task.path), tmp_path / "project"
    text = file.read_text().replace("EPOCH = 7", "EPOCH = -1\nsteps = 0")  # two of the steps are a trial of the layout
    lost = "global steps\n    steps += model.training\n    return (float('nan') if steps > 33 else 1.0) * torch.nn"
    file.write_text(text.replace("return torch.nn", lost))
    argv = ["prune", f"{tmp_path / 'model.py'}:make", "--task", task.path, "--keep-params", "80%", "--epochs", "12"]
    argv += ["--teacher", "original", "--no-mirror", "--learning-rate", "0.002"]
    assert main([*argv, "--multiple", "1", "--threads", "1", "--save", str(saved)]) == 1
    sentence = r"loss is nan at step 31\. .* Training ended in epoch 11\. The best weights, from epoch \d+, are kept"
    assert re.search(sentence, capsys.readouterr().err)
    session = Session(saved)
    finish(session.restore())
    last = session.states()[-1]
    assert last.kind == "recovered" and str(last.stopped).endswith("are kept.")
    assert max(one["metric"] for one in last.curve if "metric" in one) == last.metrics[0].value
    session.close()
