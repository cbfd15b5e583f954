"""A recovery leaves files that TensorBoard reads, with the points of its curve."""

from pathlib import Path

import pytest

from secateur.engine.cli.main import main
from secateur.engine.jobs import finish
from secateur.engine.recovery import training_curve
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.session import Session
from tests.engine.session.small import write_project


def test_tensorboard_reads_the_curve_of_the_state(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    session = Session(tmp_path / "session")
    session.log_folder = tmp_path / "log"
    finish(session.open(write_project(tmp_path / "mine")))
    state = finish(session.recover("s0", RecoverySettings(epochs=2, threads=1)))
    session.close()
    read = accumulators.EventAccumulator(str(tmp_path / "log" / "s0"))
    read.Reload()
    losses = {int(point["step"]): point["loss"] for point in state.curve if "loss" in point}
    written = {one.step: one.value for one in read.Scalars("loss")}
    assert losses and {step: written[step] for step in losses} == pytest.approx(losses)
    measured = [(int(point["step"]), point["metric"]) for point in state.curve if "metric" in point]
    assert [(one.step, pytest.approx(one.value)) for one in read.Scalars("metric")] == measured
    assert "| Epochs | 2 |" in read.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()


def test_a_missing_tensorboard_is_a_sentence_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_curve, "find_spec", lambda name: None)
    assert main(["prune", "bundled:resnet", "--log-dir", str(tmp_path / "log")]) == 1
    assert "TensorBoard is not installed. Install it with pip install" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training_curve, "find_spec", lambda name: object())
    (tmp_path / "file").write_text("")
    assert main(["prune", "bundled:resnet", "--log-dir", str(tmp_path / "file" / "log")]) == 1
    assert "cannot be made" in capsys.readouterr().err
