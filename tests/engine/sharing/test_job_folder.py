"""A recovery as a job for another machine: written as a folder, run there by its own lines, read back as a state."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split as SplitAt

from secateur.engine.cli.main import main
from secateur.engine.errors import ExportError, OpenError, PlanError
from secateur.engine.foreign_code.consent import FULL_CONSENT
from secateur.engine.foreign_code.import_file import import_file
from secateur.engine.jobs import finish
from secateur.engine.recipes.recipe import read_recipe
from secateur.engine.recipes.replay import replay
from secateur.engine.recipes.steps import Attach, Cut, Open, Plan, Recover
from secateur.engine.recovery.protocol import RecoverySettings, Repair
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import StateHistory
from secateur.engine.session.states import StateKind
from secateur.engine.sharing.job_folder import write_job
from secateur.engine.sharing.job_results import save_job, take_job
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec, option

from ..session.small import write_project

SETTINGS = RecoverySettings(epochs=1, repair=Repair.NONE, seed=3)


def cut_session(folder: Path) -> Session:
    """The small project, its model imported from beside the file that is named, opened and cut."""
    session, spec = Session(folder / "session"), write_project(folder / "mine")
    (folder / "mine" / "model.py").rename(folder / "mine" / "parts.py")
    (folder / "mine" / "model.py").write_text("from parts import *\n")
    opened = finish(session.open(spec))
    removed = opened.analysis.empty()
    for one in opened.analysis.sets:
        removed[one.first : one.first + one.count // 3] = True
    finish(session.cut("s0", removed))
    return session


def run_here(job: Path) -> None:
    """What the job makes, made in this process."""
    session = Session(job.parent / "elsewhere")
    done = finish(replay(read_recipe(job / "recipe.json"), session, consent=FULL_CONSENT))
    finish(save_project(session, str(job / "results"), done.states[-1].id))
    session.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Path]:
    """A session, and the folder of a job of its cut that has run."""
    folder = tmp_path_factory.mktemp("job")
    session = cut_session(folder)
    place, left = finish(save_job(session, "s1", str(folder / "job"), SETTINGS, "cpu"))
    assert place == str(folder / "job") and left == (str(folder / "mine" / "data.npz"),)
    run_here(folder / "job")
    return session, folder / "job"


def test_the_folder_says_all_that_the_other_machine_needs(made: tuple[Session, Path]) -> None:
    session, job = made
    assert sorted(one.name for one in job.iterdir() if one.name != "results") == [
        "README.md", "constraints.txt", "files", "job.json", "recipe.json", "run.sh", "slurm.sbatch",
    ]  # fmt: skip
    assert sorted(one.name for one in (job / "files").glob("*.*")) == ["model.py", "parts.py"]
    opening, plan, cut, recover = read_recipe(job / "recipe.json").steps
    assert isinstance(opening, Open) and isinstance(cut, Cut) and isinstance(recover, Recover)
    assert opening.intent.model.source == f"{job / 'files' / 'model.py'}:make"
    assert opening.intent.model.task is not None and opening.intent.model.task.path == str(job.parent / "mine/data.npz")
    assert isinstance(plan, Plan) and plan.outcome.removed == session.history.state("s1").removed
    assert recover.intent == SETTINGS
    assert "data.npz" in (readme := (job / "README.md").read_text()) and "All that it needs" not in readme
    assert os.access(job / "run.sh", os.X_OK)
    assert any(line.startswith("torch==") for line in (job / "constraints.txt").read_text().splitlines())
    assert not any("gpu" in line for line in (job / "slurm.sbatch").read_text().splitlines())


def test_an_automatic_repair_is_the_one_that_would_be_made_here(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, _ = made
    for epochs, repair in ((0, Repair.DISTILLATION), (1, Repair.AUTO)):
        finish(save_job(session, "s1", str(tmp_path / "job"), RecoverySettings(epochs=epochs), "cpu"))
        recover = read_recipe(tmp_path / "job" / "recipe.json").steps[-1]
        assert isinstance(recover, Recover) and recover.intent == RecoverySettings(epochs=epochs, repair=repair)
        assert session.suited(RecoverySettings(epochs=epochs)) == recover.intent


def test_modules_from_the_root_of_a_project_are_found_again(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, _ = made
    for name, text in {
        "setup.cfg": "",
        "tools/sizes.py": "width = 3",
        "task/task.py": "from tools.sizes import width",
    }.items():
        (tmp_path / "net" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "net" / name).write_text(text)
    opening = read_recipe(made[1] / "recipe.json").steps[0]
    assert isinstance(opening, Open)
    before = session.history.task
    session.history.task = TaskSpec("file", str(tmp_path / "net" / "task" / "task.py"))
    try:
        finish(write_job(session.history, opening, "s1", tmp_path / "job", SETTINGS, "cpu", session.store.folder))
    finally:
        session.history.task = before
    (moved,) = (tmp_path / "job" / "files").glob("*/task/task.py")
    assert vars(import_file(moved, FULL_CONSENT))["width"] == 3
    assert {one.name for one in (tmp_path / "job" / "files").iterdir()} >= {"model.py", "parts.py"}


def test_results_become_a_state_of_the_same_history_once(made: tuple[Session, Path]) -> None:
    session, job = made
    (state,) = finish(take_job(session, str(job)))
    assert (state.parent, state.kind, state.removed) == ("s1", StateKind.RECOVERED, session.history.state("s1").removed)
    assert (
        state.recovery == SETTINGS
        and state.metrics
        and state.curve
        and state.edits == session.history.state("s1").edits
    )
    there = load_file(next(job.glob(f"results/weights/{state.weights}.safetensors")))
    assert all((session.model(state.id).state_dict()[name] == one).all() for name, one in there.items())
    count = len(session.states())
    assert finish(take_job(session, str(job))) == (state,) and len(session.states()) == count
    here = finish(session.recover("s1", SETTINGS))  # the job computes what this machine would
    assert here.weights == state.weights


def test_a_trained_state_is_taken_by_its_weights(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, job = made
    (trained,) = finish(take_job(session, str(job)))
    finish(save_job(session, trained.id, str(tmp_path / "again"), SETTINGS, "cuda"))
    steps = read_recipe(tmp_path / "again" / "recipe.json").steps
    assert [type(one) for one in steps] == [Open, Plan, Cut, Attach, Recover]
    stored = session.store.path(trained.weights)
    assert (tmp_path / "again" / "files" / stored.name).read_bytes() == stored.read_bytes()
    assert "--gres=gpu:1" in (tmp_path / "again" / "slurm.sbatch").read_text()


def test_what_a_job_cannot_be_made_of_is_said(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, job = made
    with pytest.raises(PlanError, match="Nothing is removed in this state"):
        finish(save_job(session, "s0", str(tmp_path / "a"), SETTINGS, "cpu"))
    with pytest.raises(ExportError, match="already holds other files"):
        finish(save_job(session, "s1", str(job), SETTINGS, "cpu"))
    assert (job / "results").is_dir() and not any(tmp_path.iterdir())


def test_only_a_job_that_nothing_was_added_to_is_replaced(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, _ = made
    place = tmp_path / "thesis"
    place.mkdir()
    (place / "job.json").write_text("{}")
    (place / "thesis.tex").write_text("Chapter 1")

    def refused() -> None:
        with pytest.raises(ExportError, match="already holds other files"):
            finish(save_job(session, "s1", str(place), SETTINGS, "cpu"))
        assert (place / "thesis.tex").read_text() == "Chapter 1"

    refused()
    (place / "job.json").unlink()
    (place / "thesis.tex").unlink()
    finish(save_job(session, "s1", str(place), SETTINGS, "cpu"))
    finish(save_job(session, "s1", str(place), SETTINGS, "cuda"))
    assert "DEVICE:-cuda" in (place / "run.sh").read_text()
    (place / "thesis.tex").write_text("Chapter 1")
    refused()


def test_results_of_strangers_damaged_ones_and_none_are_refused(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, job = made
    finish(take_job(session, str(job)))
    count = len(session.states())

    def refused(folder: Path, words: str) -> None:
        with pytest.raises(OpenError, match=words):
            finish(take_job(session, str(folder)))
        assert len(session.states()) == count

    refused(tmp_path, "is not the folder of a job")
    (tmp_path / "empty").mkdir()
    told = json.loads((job / "job.json").read_text())
    (tmp_path / "empty" / "job.json").write_text(json.dumps(told))
    refused(tmp_path / "empty", "has no results yet")
    (tmp_path / "empty" / "results").symlink_to(job / "results")
    refused(tmp_path / "empty", "results is a link that leads out of the folder")
    (tmp_path / "empty" / "results").unlink()
    (tmp_path / "empty" / "results").mkdir()
    (tmp_path / "empty" / "results" / "events.jsonl").symlink_to(job / "results" / "events.jsonl")
    refused(tmp_path / "empty", "events.jsonl is a link that leads out of the folder")
    (tmp_path / "empty" / "results" / "events.jsonl").unlink()
    (tmp_path / "empty" / "job.json").unlink()
    (tmp_path / "empty" / "job.json").symlink_to(job / "job.json")
    refused(tmp_path / "empty", "job.json is a link that leads out of the folder")
    (tmp_path / "empty" / "job.json").unlink()
    (tmp_path / "empty" / "job.json").symlink_to("job.json")
    refused(tmp_path / "empty", "job.json is a link that leads out of the folder")
    (tmp_path / "empty" / "job.json").unlink()
    (tmp_path / "empty" / "job.json").write_text(json.dumps(told | {"weights": "0" * 64}))
    refused(tmp_path / "empty", "a state that this project does not have")
    (tmp_path / "empty" / "job.json").write_text("[1")
    refused(tmp_path / "empty", "Cannot read")

    other = tmp_path / "other"
    shutil.copytree(job, other)
    weights = other / "results" / "weights"
    known = {one.weights for one in session.states()}
    log = (other / "results" / "events.jsonl").read_text()
    digest = next(one.stem for one in weights.iterdir() if one.stem in log and one.stem in known - {told["weights"]})
    wrong = {name: one + 1 for name, one in load_file(weights / f"{digest}.safetensors").items()}
    save_file(wrong, weights / f"{digest[::-1]}.safetensors")
    (other / "results" / "events.jsonl").write_text(log.replace(digest, digest[::-1]))
    refused(other, "incomplete or damaged")


def edited(job: Path, folder: Path, **fields: object) -> Path:
    """A copy of a job that has run, with other fields of its recovered state."""
    shutil.copytree(job, folder)
    log = folder / "results" / "events.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    (state,) = (one["state"] for one in records if one["event"] == "state" and one["state"]["kind"] == "recovered")
    state |= fields
    log.write_text("".join(f"{json.dumps(one)}\n" for one in records))
    return folder


@pytest.mark.parametrize(
    "fields",
    [
        {"stopped": {"code": "a", "template": "{missing}"}},
        {"repaired": [{"code": "a", "template": "{one:x}", "arguments": {"one": "text"}}]},
        {"recovery": {"epochs": -1}},
        {"recovery": None},
        {"curve": [{"step": 1.0, "loss": "nan"}]},
        {"curve": [{"loss": 1.0}]},
        {"metrics": [{"name": "top-1", "value": 1.0, "count": 10**30, "error": 0.0, "split": "val"}]},
    ],
)
def test_a_state_that_no_recovery_makes_is_refused(
    made: tuple[Session, Path], tmp_path: Path, fields: dict[str, object]
) -> None:
    session, job = made
    log = (session.history.folder / "events.jsonl").read_bytes()
    with pytest.raises(OpenError, match="holds invalid values for state"):
        finish(take_job(session, str(edited(job, tmp_path / "job", weights="c" * 64, **fields))))
    assert (session.history.folder / "events.jsonl").read_bytes() == log


def test_a_pipe_among_the_weights_is_refused_at_once(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, job = made
    place = edited(job, tmp_path / "job", weights="c" * 64)
    os.mkfifo(place / "results" / "weights" / f"{'c' * 64}.safetensors")
    with pytest.raises(OpenError, match="is a named pipe"):
        finish(take_job(session, str(place)))


def test_a_recovery_that_returned_its_input_is_a_state_of_its_own(made: tuple[Session, Path], tmp_path: Path) -> None:
    session, job = made
    told, count = json.loads((job / "job.json").read_text()), len(session.states())
    place = edited(job, tmp_path / "job", weights=told["weights"])
    (state,) = finish(take_job(session, str(place)))
    assert (state.parent, state.kind, state.weights) == ("s1", StateKind.RECOVERED, told["weights"])
    assert finish(take_job(session, str(place))) == (state,) and len(session.states()) == count + 1
    (place / "job.json").write_text(json.dumps(told | {"state": state.id}))  # a job of that one, of the same weights
    (next_one,) = finish(take_job(session, str(place)))
    assert next_one.parent == state.id and len(session.states()) == count + 2


SBATCH = """#!/bin/sh
# As Slurm does it: a copy of the script, started from a folder of its own, with the variables of a job.
spool=$(mktemp -d)
cp "$1" "$spool/slurm_script"
shift
export SLURM_SUBMIT_DIR="$PWD" SLURM_JOB_ID=7 SLURM_JOB_NODELIST=here SLURM_NNODES=1 SLURM_NTASKS=1
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_CPUS_PER_TASK=8
cd "$spool"
bash slurm_script "$@" > "$SLURM_SUBMIT_DIR/slurm-7.log" 2>&1
code=$?
cat "$SLURM_SUBMIT_DIR/slurm-7.log" >&2
exit $code
"""
"""Stands in the place of `sbatch`, and waits for the end of the job."""


READER = """
import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.one, self.two = nn.Embedding(8, 12), nn.Linear(12, 24), nn.Linear(24, 8)

    def forward(self, input_ids, attention_mask=None):
        return self.two(self.one(self.table(input_ids)).relu())


def make():
    torch.manual_seed(0)
    return Reader()
"""
TOKENS = {"a": 0, "b": 1, "c": 2, "d": 3, "<hole>": 4, "[MASK]": 5, "[UNK]": 6, "[PAD]": 7}


def reader_session(folder: Path) -> Session:
    """A reader of masked text with a checkpoint and a tokenizer whose neighbour names the mask; opened and cut."""
    mine = folder / "mine"
    mine.mkdir(parents=True)
    (mine / "parts.py").write_text(READER)
    (mine / "model.py").write_text("from parts import *\n")
    torch.manual_seed(1)
    made = vars(import_file(mine / "parts.py", FULL_CONSENT))["Reader"]()
    (mine / "run 3").mkdir()
    save_file({name: one.clone() for name, one in made.state_dict().items()}, mine / "run 3" / "model.safetensors")
    tokenizer = Tokenizer(WordLevel(TOKENS, "[UNK]"))
    tokenizer.pre_tokenizer = SplitAt("", "isolated")
    tokenizer.save(str(mine / "tokenizer.json"))
    (mine / "special_tokens_map.json").write_text(json.dumps({"mask_token": "<hole>"}))
    (mine / "text").mkdir()
    for split in ("train", "val", "test"):
        (mine / "text" / f"{split}.txt").write_text("abcd" * 200)
    options = (("tokenizer", str(mine / "tokenizer.json")), ("length", "8"), ("purpose", "masked"))
    task = TaskSpec("text", str(mine / "text"), batch=16, options=options)
    session = Session(folder / "session")
    checkpoint = str(mine / "run 3" / "model.safetensors")
    opened = finish(session.open(ModelSpec(f"{mine / 'model.py'}:make", weights=checkpoint, task=task)))
    removed = opened.analysis.empty()
    for one in opened.analysis.sets:
        removed[one.first : one.first + one.count // 3] = True
    finish(session.cut("s0", removed))
    return session


def test_checkpoint_and_tokenizer_go_along_with_what_is_read_beside_them(tmp_path: Path) -> None:
    session = reader_session(tmp_path)
    _, left = finish(save_job(session, "s1", str(tmp_path / "job"), SETTINGS, "cpu"))
    session.close()
    assert left == (str(tmp_path / "mine" / "text"),)
    opening = read_recipe(tmp_path / "job" / "recipe.json").steps[0]
    assert isinstance(opening, Open) and opening.intent.model.task is not None
    task = opening.intent.model.task
    copies = tmp_path / "job" / "files"
    for copied, mine in (
        (opening.intent.model.weights, "run 3/model.safetensors"),
        (option(task, "tokenizer"), "tokenizer.json"),
    ):
        assert Path(copied).is_relative_to(copies)
        assert Path(copied).read_bytes() == (tmp_path / "mine" / mine).read_bytes()
    beside = Path(option(task, "tokenizer")).with_name("special_tokens_map.json")
    assert beside.read_bytes() == (tmp_path / "mine" / "special_tokens_map.json").read_bytes()


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("begin", "data", "way", "processes"),
    [
        (cut_session, "data.npz", "run.sh", 1),
        (cut_session, "data.npz", "slurm.sbatch", 1),
        (cut_session, "data.npz", "run.sh", 2),
        (reader_session, "text", "run.sh", 1),
    ],
)
def test_a_job_is_written_run_by_its_script_elsewhere_and_read_by_the_command_line(
    tmp_path: Path, capsys, begin: Callable[[Path], Session], data: str, way: str, processes: int
) -> None:
    session, mine, moved = begin(tmp_path), tmp_path / "mine", tmp_path / "another machine"
    finish(save_project(session, str(tmp_path / "project"), "s1"))
    here = finish(session.recover("s1", replace(SETTINGS, seed=0)))
    session.close()
    asked = ["job", str(tmp_path / "project"), "--out", str(tmp_path / "job"), "--epochs", "1", "--device", "cpu"]
    assert main([*asked, "--repair", "none", *["--shard"] * (processes > 1)]) == 0
    recover = read_recipe(tmp_path / "job" / "recipe.json").steps[-1]
    assert isinstance(recover, Recover) and recover.intent.epochs == 1
    assert ("is divided among them" in (tmp_path / "job" / "README.md").read_text()) == (processes > 1)
    (tmp_path / "job").rename(moved)
    mine.rename(tmp_path / "gone")  # there is nothing of this machine there, but for the data
    (tmp_path / "gone" / data).rename(there := tmp_path / f"there{Path(data).suffix}")
    words = ["--moved", f"{mine / data}={there}"]
    command, cwd = [str(moved / way), *words], Path("/")
    if way == "slurm.sbatch":
        (tmp_path / "sbatch").write_text(SBATCH)
        command, cwd = ["sh", str(tmp_path / "sbatch"), way, *words], moved
    environment = {**os.environ, "SECATEUR": f"{sys.executable} -P -m secateur.engine.cli.main"}
    environment |= {"PROCESSES": str(processes), "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    there.rename(tmp_path / "gone" / data)
    (tmp_path / "gone").rename(mine)
    capsys.readouterr()
    assert main(["job", str(tmp_path / "project"), "--results", str(moved), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["id"], one["parent"]) for one in told["states"]] == [("s2", "s1")] and told["metrics"]["s2"]["n"]
    read = StateHistory(tmp_path / "project")
    read.read()
    assert processes > 1 or read.state("s2").weights == here.weights  # as this machine makes it
