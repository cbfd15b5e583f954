"""Commands in several processes: one writes, and a run that loses a process ends, and goes on with another number."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from secateur.engine.cli.main import main
from secateur.engine.session.state_history import StateHistory
from tests.engine.session.parallel_work import write_files
from tests.engine.session.test_parallel import HERE, environment
from tests.free_port import free_port
from tests.waiting import COURSE
from tests.warm_start import python

pytestmark = pytest.mark.end_to_end


def recovered(folder: Path) -> dict[str, Any]:
    """Weights of the last state of a project."""
    history = StateHistory(folder)
    history.read()
    return load_file(folder / "weights" / f"{list(history.states.values())[-1].weights}.safetensors")


def started(command: list[str]) -> list[tuple[int, str, str]]:
    """(exit code, standard output, standard error) of two processes."""
    pipe = subprocess.PIPE
    with free_port() as port:
        both = [
            subprocess.Popen(command, cwd=HERE, env=environment(rank, 2, port), stderr=pipe, stdout=pipe, text=True)
            for rank in range(2)
        ]
        told = [one.communicate(timeout=COURSE) for one in both]
    return [(one.returncode, *words) for one, words in zip(both, told, strict=True)]


def words_of(folder: Path) -> list[str]:
    """A command that trains for twelve steps."""
    write_files(folder)
    words = ["prune", str(folder / "llama"), "--task", str(folder / "texts"), "--tokenizer", "bytes"]
    words += ["--length", "16", "--batch", "4", "--threads", "1", "--keep-macs", "0.7", "--steps", "12"]
    return [*words, "--repair", "none", "--teacher", "original"]


@pytest.mark.parametrize("divided", [False, True])
def test_a_run_that_loses_a_process_ends_and_goes_on_to_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], divided: bool
) -> None:
    """In one process, or divided among two again; what is written then loads."""
    words = words_of(tmp_path) + ["--shard"] * divided
    whole, broken, out = tmp_path / "whole", tmp_path / "broken", tmp_path / "out"
    assert main([*words, "--save", str(whole)]) == 0
    lost = started(python("-m", "tests.engine.cli.lost_process", "7", *words, "--save", str(broken)))
    assert [code for code, _, _ in lost] == [1, -signal.SIGKILL]
    assert "Another process of this run ended or cannot be reached." in lost[0][2]
    assert lost[1][1] == ""
    capsys.readouterr()
    words += ["--save", str(broken), "--export", str(out)]
    if divided:
        both = started(python("-m", "secateur.engine.cli.main", *words))
        assert [code for code, _, _ in both] == [0, 0]
        told = both[0][2]
    else:
        assert main(words) == 0
        told = capsys.readouterr().err
    assert "Resuming at step 7" in told
    for name, value in recovered(whole).items():
        assert float((recovered(broken)[name] - value).norm() / value.norm()) < 1e-3
    exported = load_file(out / "model.safetensors")
    assert exported and all(torch.equal(recovered(broken)[name], value) for name, value in exported.items())


def test_torchrun_starts_a_run_again_that_lost_a_process(tmp_path: Path) -> None:
    words = words_of(tmp_path)
    whole, again = tmp_path / "whole", tmp_path / "again"
    assert main([*words, "--save", str(whole)]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "--max-restarts", "1", "-m", "tests.engine.cli.lost_process", "7", *words]
    ended = subprocess.run(
        [*command, "--save", str(again)], cwd=HERE, capture_output=True, text=True, timeout=COURSE, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "Resuming at step 7" in ended.stderr
    for name, value in recovered(whole).items():
        assert float((recovered(again)[name] - value).norm() / value.norm()) < 1e-3
