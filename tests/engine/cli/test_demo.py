"""Where there is no display the demonstration leaves a report and a file that runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from secateur.engine.cli.demo import demo
from secateur.engine.cli.prune_request import DEFAULT
from secateur.engine.recovery.protocol import RecoverySettings


@pytest.mark.slow
def test_the_demonstration_says_why_and_writes_report_and_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(tmp_path / "demo", replace(DEFAULT, recovery=RecoverySettings(epochs=0, threads=1))) == 0
    assert "No display found" in capsys.readouterr().err
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert report["after"]["macs"] <= 0.5 * report["before"]["macs"] and len(report["timings"]) == 2
    text = (tmp_path / "demo" / "report.md").read_text()
    assert "cut verified" in text and "times as fast" in text
    session = onnxruntime.InferenceSession(report["export"]["files"][0])
    (logits,) = session.run(None, {session.get_inputs()[0].name: np.zeros((3, 1, 28, 28), np.float32)})
    assert np.asarray(logits).shape == (3, 10)
