"""An export that fails on a cut model says whether the original exports."""

import errno
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from secateur.engine.errors import ExportError, SecateurError, VerificationError
from secateur.engine.export import original_trial
from secateur.engine.export.original_trial import export_or_compare
from secateur.engine.export.protocol import Exported, ExportRequest
from secateur.engine.jobs import CancelToken, Job, NeverCancelled, Progress, check, finish
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.workflows.export import export_state

from .nets import cut_by_hand, request

BRANCH = """
import torch
from torch import nn


class Net(nn.Module):
    '''Stops early where it is sure: what follows depends on values, which no exporter can follow.'''

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x):
        x = self.first(x).relu()
        if float(x.max()) < 1e9:
            x = self.second(x).relu()
        return self.head(x)
"""


@dataclass
class Picky:
    """An exporter that refuses some models."""

    refused: tuple[Any, ...]
    code: str = "export.onnx"
    tried: list[ExportRequest] = field(default_factory=list[ExportRequest])

    def refusal(self, request: ExportRequest) -> None:
        """Nothing stands against a request before the work."""

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Refuse, or write a file."""
        self.tried.append(request)
        yield Progress("Exporting")
        check(token)
        if any(request.model is one for one in self.refused):
            raise ExportError(self.code, "{name} cannot be written.", "all of it", name=type(request.model).__name__)
        Path(request.path).write_bytes(b"written")
        return Exported("onnx", (request.path,), 0.0, None, 7)

    def predictor(self, path: str) -> None:
        """None, as of a text."""


def told(picky: Picky, asked: ExportRequest, original: Any, token: CancelToken | None = None) -> ExportError:
    with pytest.raises(ExportError) as caught:
        finish(export_or_compare(picky, asked, lambda: original, token or NeverCancelled()))
    return caught.value


@pytest.fixture
def asked(tmp_path: Path) -> ExportRequest:
    made = request(tmp_path, tmp_path / "net.onnx")
    return replace(made, model=cut_by_hand(made.model), onnx="of the cut model")


def test_the_trial_is_the_same_export_of_the_original(asked, tmp_path: Path):
    whole = request(tmp_path, tmp_path / "net.onnx").model
    picky = Picky((asked.model,))
    error = told(picky, asked, whole)
    assert str(error) == "The original exports, the cut model does not: Net cannot be written."
    assert error.details == "all of it"
    _, trial = picky.tried
    assert trial == replace(asked, model=whole, path=trial.path, onnx="") and Path(trial.path).name == "net.onnx"
    assert not Path(trial.path).exists() and not Path(asked.path).exists()


def test_the_original_that_does_not_export_either_is_said(asked, tmp_path: Path):
    whole = request(tmp_path, tmp_path / "net.onnx").model
    assert str(told(Picky((asked.model, whole)), asked, whole)) == (
        "The original does not export either: Net cannot be written."
    )


def test_nothing_is_tried_where_the_model_is_not_at_fault_or_is_the_original(asked, tmp_path: Path):
    disk = Picky((asked.model,), "export.disk_full")
    assert str(told(disk, asked, None)) == "Net cannot be written." and len(disk.tried) == 1
    given = Picky((asked.model,))
    assert str(told(given, replace(asked, spec=None), None)) == "Net cannot be written." and len(given.tried) == 1
    alone = Picky((asked.model,))
    with pytest.raises(ExportError, match=r"^Net cannot be written\.$"):
        finish(export_or_compare(alone, asked, None, NeverCancelled()))
    assert len(alone.tried) == 1


def test_a_trial_is_bounded_and_can_be_stopped(asked, tmp_path: Path, monkeypatch):
    whole = request(tmp_path, tmp_path / "net.onnx").model
    stop = Event()
    trial = export_or_compare(Picky((asked.model,)), asked, lambda: whole, stop)
    assert "original" in str([next(trial).message for _ in range(2)][-1])
    stop.set()
    with pytest.raises(ExportError, match=r"^Net cannot be written\. \(Whether .* the trial was stopped\)$"):
        finish(trial)
    monkeypatch.setattr(original_trial, "MINUTES", 0)
    assert str(told(Picky((asked.model,)), asked, whole)).endswith("the trial was stopped after 0 minutes)")
    monkeypatch.setattr(original_trial, "free_memory", lambda: 1000.0)
    picky = Picky((asked.model,))
    assert str(told(picky, asked, whole)).endswith("too little memory is free to try it)") and len(picky.tried) == 1


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (VerificationError("verify.some", "The check did not end."), "The check did not end."),
        (SecateurError("engine.some", "Nothing goes."), "Nothing goes."),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot be written: No space left on device"),
    ],
)
@pytest.mark.parametrize("place", ["export", "rebuild", "folder"])
def test_a_trial_that_fails_itself_hides_no_reason(asked, tmp_path: Path, monkeypatch, failure, words, place):
    whole = request(tmp_path, tmp_path / "net.onnx").model

    def fails(*_: Any) -> Any:
        raise failure

    class Failing(Picky):
        def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
            if place == "export" and request.model is whole:
                raise failure
            return (yield from super().export(request, token))

    if place == "folder":
        monkeypatch.setattr(original_trial, "temporary_folder", fails)
    with pytest.raises(ExportError) as caught:
        original = fails if place == "rebuild" else lambda: whole
        finish(export_or_compare(Failing((asked.model,)), asked, original, NeverCancelled()))
    told = str(caught.value)
    assert told.startswith("Net cannot be written. (Whether the original exports is unknown: ") and words in told


def test_a_real_exporter_is_tried_on_a_real_original(tmp_path: Path):
    (tmp_path / "net.py").write_text(BRANCH)
    session = Session(tmp_path / "session")
    opened = finish(session.open(ModelSpec(f"{tmp_path / 'net.py'}:Net", input_shape=(2, 6))))
    removed = opened.analysis.empty()
    for one in opened.analysis.sets:
        removed[one.first : one.first + one.count // 2] = True
    cut = finish(session.cut("s0", removed))
    place = tmp_path / "out"
    place.mkdir()
    with pytest.raises(ExportError) as caught:
        finish(export_state(session, cut.id, "program", str(place / "net.pt2")))
    assert str(caught.value).startswith("The original does not export either: PyTorch cannot export this model: ")
    assert not any(place.iterdir())
