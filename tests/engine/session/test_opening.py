"""The first look at data: how long a sample takes, which direction a metric has."""

from pathlib import Path

import pytest
import torch
from torch import nn

from secateur.engine.jobs import NeverCancelled, finish
from secateur.engine.session.opening import first_look, opened_task
from secateur.engine.tasks.protocol import TaskInfo, TaskSpec


class Reader(nn.Module):
    """Answers with as many numbers a token as there are bytes; takes half a second a sequence by the clock."""

    def __init__(self, clock: list[float]) -> None:
        """Put `clock` on."""
        super().__init__()
        self.tokens, self.clock = nn.Embedding(256, 256), clock

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map [N, T] to [N, T, 256]."""
        self.clock[0] += 0.5 * len(tokens)
        return self.tokens(tokens)


def looked_at(spec: TaskSpec, model: nn.Module) -> TaskInfo:
    return finish(first_look(opened_task(spec, model), model, NeverCancelled()))[1]


def test_a_language_model_takes_its_time_by_the_sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("a b c " * 300)
    clock = [100.0]
    monkeypatch.setattr("secateur.engine.session.opening.time.monotonic", lambda: clock[0])
    spec = TaskSpec("text", str(tmp_path / "a.txt"), options=(("tokenizer", "bytes"), ("length", "8")))
    assert looked_at(spec, Reader(clock)).seconds == pytest.approx(0.5)


def test_the_direction_that_a_metric_is_taken_to_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("def evaluate(model):\n    return {'nll': 0.5}\n")
    (note,) = looked_at(TaskSpec("file", str(tmp_path / "task.py")), nn.Identity()).notes
    assert str(note).startswith("A lower nll counts as better")
