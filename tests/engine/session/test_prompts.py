"""A language model's prompt and its further token are measured apart, in PyTorch and on exported files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from secateur.engine.cli.main import main
from secateur.engine.cli.measure import _outcome
from secateur.engine.export.onnx import export_onnx
from secateur.engine.export.protocol import ExportRequest
from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.session.state_history import StateHistory
from secateur.engine.sharing.session_files import save_project
from secateur.engine.sources.open import open_model
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind
from secateur.engine.targets.protocol import Latency, TargetSpec, Timing
from secateur.engine.targets.token_step import step_inputs
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.workflows.measure import measure_states

pytestmark = pytest.mark.end_to_end

CODE = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def make():
    torch.manual_seed(0)
    sizes = dict(vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=1)
    heads = dict(num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads)).eval()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("lm") / "net.py"
    file.write_text(CODE)
    return f"{file}:make"


@pytest.mark.slow  # an export, in processes that load transformers
def test_the_file_of_a_step_takes_the_cache_and_any_batch(model: str, tmp_path: Path) -> None:
    spec = ModelSpec(model)
    live, ids = open_model(spec).model, torch.randint(0, 256, (2, 12))
    inputs, path = step_inputs(live, (ids,)), str(tmp_path / "step.onnx")
    finish(export_onnx(ExportRequest(live, inputs, path, spec, step=True)))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()][:3] == ["input_ids", "past.0.0", "past.0.1"]
    other = torch.randint(0, 256, (5, 12))
    given: Any = step_inputs(live, (other,))
    feed = {"input_ids": given["input_ids"].numpy()}
    feed |= {f"past.{n}.{k}": one.numpy() for n, pair in enumerate(given["past"]) for k, one in enumerate(pair)}
    with torch.inference_mode():
        expected = live(torch.cat([other, other[:, -1:]], 1)).logits[:, -1:]
    assert np.abs(session.run(None, feed)[0] - expected.numpy()).max() < 1e-4


@pytest.fixture(scope="module")
def project(model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved one, with a cut."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "text.txt").write_text("a text that is long enough. " * 10)
    options = (("tokenizer", "bytes"), ("length", "16"))
    session = Session()
    opened = finish(session.open(ModelSpec(model, task=TaskSpec("text", str(folder / "text.txt"), options=options))))
    removed = opened.analysis.empty()
    neurons = next(one for one in opened.analysis.sets if one.kind is Kind.NEURON)
    removed[neurons.first : neurons.first + 16] = True
    cut = finish(session.cut("s0", removed))
    saved = finish(save_project(session, str(folder / "saved"), cut.id))
    session.close()
    return saved


# Two processes that load transformers.
@pytest.mark.parametrize("runtime", ["torch", pytest.param("onnxruntime", marks=pytest.mark.slow)])  # four exports
def test_both_numbers_of_both_states_are_measured_and_kept(project: str, runtime: str) -> None:
    session = Session(Path(project))
    finish(session.restore())
    target = TargetSpec(runtime, tokens=24, seconds=0.1)
    timings = finish(measure_states(session, ("s0", "s1"), target))
    session.close()
    history = StateHistory(Path(project))
    history.read()
    for timing, state in zip(timings, history.states.values(), strict=True):
        assert timing.target == target and timing.median > 0 and timing in state.timings
        assert 0 < timing.step.low <= timing.step.median <= timing.step.high and timing.step.runs >= 5


def test_the_command_line_shows_two_rows_a_state(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    history = StateHistory(Path(project))
    history.read()
    target = TargetSpec("torch", tokens=24)
    step, timing = Latency(2.0, 1.0, 3.0, 9), Timing(target, 8.0, 7.0, 9.0, 9, "2 cores")
    lines = _outcome(dict.fromkeys(history.states, replace(timing, step=step))).text.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["s0", "prompt"],
        ["s1", "prompt"],
        ["s0", "next"],
        ["s1", "next"],
    ]
    assert "8 ms" in lines[0] and "2 ms" in lines[3] and "prompt of 24 tokens" in lines[4]
    assert main(["measure", project, "--tokens", "24", "--bench", str(Path(project) / "away")]) == 1
    assert "measured on this machine only" in capsys.readouterr().err
