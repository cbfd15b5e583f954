"""An export says what was written, and the command of its receipt runs it where Secateur is not needed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from secateur.engine.export.protocol import Exported
from secateur.engine.export.usage import command_line, place_of, sample_inputs
from secateur.engine.jobs import finish
from secateur.engine.session.session import Session
from secateur.engine.sources.protocol import InputSpec
from secateur.engine.workflows.export import export_state

from ..session.small import write_project


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("small")
    made = Session(folder / "session")
    finish(made.open(write_project(folder / "mine")))
    return made


def run(command: str, folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("format", "name", "told"),
    [("onnx", "net.onnx", "[(1, 3)]"), ("pytorch", "folder", "Net("), ("program", "net.pt2", "tensor([[")],
)
def test_the_command_of_a_receipt_runs_what_was_written(session: Session, tmp_path, format: str, name: str, told: str):
    place = tmp_path / "it's here" / name  # a quote in a path ends no command
    place.parent.mkdir()
    exported = finish(export_state(session, "s0", format, str(place)))
    assert place_of(exported) == place
    assert told in run(command_line(exported), tmp_path)
    given = onnx.load(place).opset_import[0].version if format == "onnx" else 0
    assert exported.opset == given and exported.inputs == sample_inputs(session.prepared.inputs)
    assert session.history.state("s0").exports[-1] == exported


def test_inputs_by_name_are_given_by_name(tmp_path: Path):
    x, mask = onnx.helper.make_tensor_value_info("x", 1, ["n", 4]), onnx.helper.make_tensor_value_info("mask", 7, ["n"])
    out = onnx.helper.make_tensor_value_info("out", 1, ["n", 4])
    nodes = [onnx.helper.make_node("Identity", ["x"], ["out"]), onnx.helper.make_node("Identity", ["mask"], ["unused"])]
    graph = onnx.helper.make_graph(nodes, "g", [mask, x], [out])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "g.onnx")
    inputs = sample_inputs({"x": np.ones((2, 4), np.float32), "mask": np.ones(2, np.int64)})
    assert inputs == (InputSpec((1, 4), "float32", "x"), InputSpec((1,), "int64", "mask"))
    exported = Exported("onnx", (str(tmp_path / "g.onnx"),), 0.0, None, 1, inputs=inputs)
    assert run(command_line(exported), tmp_path).strip() == "[(1, 4)]"
