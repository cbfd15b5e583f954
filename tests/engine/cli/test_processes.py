"""Commands in several processes: one writes, and a run that loses a process ends, and goes on with another number."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from secateur.engine.cli.main import main
from secateur.engine.session.state_history import StateHistory
from tests.engine.session.parallel_work import write_files
from tests.engine.session.test_parallel import HERE, environment, free_port
from tests.warm_start import python

pytestmark = pytest.mark.end_to_end


def recovered(folder: Path) -> dict[str, Any]:
    """Weights of the last state of a project."""
    history = StateHistory(folder)
    history.read()
    return load_file(folder / "weights" / f"{list(history.states.values())[-1].weights}.safetensors")


def test_a_run_that_loses_a_process_ends_and_goes_on_in_one_process_to_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path)
    words = ["prune", str(tmp_path / "llama"), "--task", str(tmp_path / "texts"), "--tokenizer", "bytes"]
    words += ["--length", "16", "--batch", "4", "--threads", "1", "--keep-macs", "0.7", "--steps", "12"]
    words += ["--repair", "none", "--teacher", "original"]
    whole, broken, port = tmp_path / "whole", tmp_path / "broken", free_port()
    assert main([*words, "--save", str(whole)]) == 0
    command = python("-m", "tests.engine.cli.lost_process", "7", *words, "--save", str(broken))
    both = [
        subprocess.Popen(
            command, cwd=HERE, env=environment(rank, 2, port), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    told = [one.communicate(timeout=120) for one in both]
    assert both[1].returncode == -signal.SIGKILL and both[0].returncode == 1
    assert "Another process of this run ended or cannot be reached." in told[0][1]
    assert told[1][0] == ""
    capsys.readouterr()
    assert main([*words, "--save", str(broken)]) == 0
    assert "Resuming at step 7" in capsys.readouterr().err
    for name, value in recovered(whole).items():
        assert float((recovered(broken)[name] - value).norm() / value.norm()) < 1e-3
