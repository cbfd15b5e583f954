"""The bench that stands alone: it runs without Secateur, and its results come back to the states."""

import ast
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from secateur.engine.errors import SecateurError
from secateur.engine.inference.model_inputs import at_size
from secateur.engine.targets import bench
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.remote import RESULTS, read_bench, write_bench

from .test_measure import matmuls


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the other machine does: Python, numpy and onnxruntime, nothing of ours."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "bench.py", "--seconds", "0.05", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    files = {name: Path(matmuls(tmp_path / f"{name}.onnx", count)) for name, count in (("s0-abc", 20), ("s2-def", 2))}
    target = TargetSpec(batch=3, threads=2)
    folder, command = write_bench(tmp_path / "away", files, (np.ones((2, 256), np.float32),), target)
    assert command == "python bench.py --out results.json"
    return Path(folder)


def test_it_imports_nothing_but_numpy_and_onnxruntime() -> None:
    names = set[str]()
    for node in ast.walk(ast.parse(Path(bench.__file__).read_text())):
        assert not (isinstance(node, ast.ImportFrom) and node.level), "a relative import"
        names |= {one.name for one in node.names} if isinstance(node, ast.Import) else set[str]()
        names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set[str]()
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"numpy", "onnxruntime"}


def test_results_come_back_as_timings_of_another_machine(written: Path) -> None:
    assert run(written, "--out", RESULTS).returncode == 0
    timings = read_bench(written / RESULTS)
    assert set(timings) == {"s0-abc", "s2-def"}
    for timing in timings.values():
        assert 0 < timing.low <= timing.median <= timing.high and timing.runs >= 5
        assert (timing.target.threads, timing.target.batch, timing.target.precision) == (2, 3, "fp32")
        assert timing.target.machine and timing.target.place != TargetSpec(threads=2, batch=3).place
        assert bench.processor() in timing.machine and "onnxruntime" in timing.machine
    assert timings["s0-abc"].median > timings["s2-def"].median


def test_models_that_an_earlier_bench_left_in_the_folder_are_not_measured(written: Path, tmp_path: Path) -> None:
    files = {"s7-new": Path(matmuls(tmp_path / "s7-new.onnx", 3))}
    write_bench(written, files, (np.ones((2, 256), np.float32),), TargetSpec())
    assert run(written, "--out", RESULTS).returncode == 0
    assert (written / "s0-abc.onnx").is_file() and set(read_bench(written / RESULTS)) == {"s7-new"}


def test_machines_of_one_host_name_are_told_apart_by_the_names_given_to_them(written: Path) -> None:
    assert run(written, "--name", "left board", "--out", RESULTS).returncode == 0
    assert {timing.target.machine for timing in read_bench(written / RESULTS).values()} == {"left board"}


@pytest.mark.parametrize("wrong", [{"machine": {"name": ""}}, {"models": {"median": 0.0}}])
def test_results_of_no_machine_or_of_no_time_are_refused(written: Path, wrong: dict[str, dict[str, Any]]) -> None:
    assert run(written, "--out", RESULTS).returncode == 0
    content = json.loads((written / RESULTS).read_text())
    content["machine"] |= wrong.get("machine", {})
    content["models"][0] |= wrong.get("models", {})
    (written / RESULTS).write_text(json.dumps(content))
    with pytest.raises(SecateurError, match="names no machine or holds invalid times"):
        read_bench(written / RESULTS)


def sums(path: Path, **shapes: list[int | str]) -> Path:
    """A file that adds up its inputs."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    made = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("Sum", list(shapes), ["sum"])], "g", given, made)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_results_say_the_size_and_the_batch_that_were_asked_for(tmp_path: Path) -> None:
    files = {"s0-abc": sums(tmp_path / "free.onnx", x=["batch", "n"])}
    asked = TargetSpec(threads=2, batch=3, size=(32,))
    folder, command = write_bench(tmp_path / "away", files, (np.ones((2, 8), np.float32),), asked)

    def place(*arguments: str) -> TargetSpec:
        done = run(Path(folder), *arguments, "--out", RESULTS)
        assert done.returncode == 0, done.stderr
        return replace(read_bench(Path(folder) / RESULTS)["s0-abc"].target, machine="")

    assert place(*command.split()[2:]).place == place().place == asked.place
    assert place("--batch", "1").place == replace(asked, batch=1).place
    assert place("--size", "16", "--batch", "2").place == replace(asked, batch=2, size=(16,)).place
    assert place("--inputs", "inputs.npz").size == ()  # of one's own: nobody knows


@pytest.mark.parametrize("shared_first", [False, True])
@pytest.mark.parametrize(("length", "batch"), [(5, 3), (1, 1)])
def test_an_input_without_a_batch_is_fed_as_it_is(tmp_path: Path, shared_first: bool, length: int, batch: int) -> None:
    shapes: dict[str, list[int | str]] = {"x": ["batch", 5], "shared": [length]}
    names = sorted(shapes, reverse=not shared_first)
    files = {"s0-abc": sums(tmp_path / "two.onnx", **{name: shapes[name] for name in names})}
    inputs = {"x": np.ones((2, 5), np.float32), "shared": np.ones(length, np.float32)}
    folder, command = write_bench(tmp_path / "away", files, inputs, TargetSpec(batch=batch))
    for further in ([], ["--batch", "8"], ["--inputs", "inputs.npz", "--batch", "2"]):
        done = run(Path(folder), *command.split()[2:], *further)
        assert done.returncode == 0, done.stderr


def test_a_file_of_a_fixed_batch_is_not_measured_as_one_of_another(tmp_path: Path) -> None:
    files = {"s0-abc": sums(tmp_path / "fixed.onnx", x=[1, 5])}
    folder, _ = write_bench(tmp_path / "away", files, (np.ones((2, 5), np.float32),), TargetSpec())
    assert run(Path(folder)).returncode == 0
    assert "takes batches of 1 only: give --batch 1." in run(Path(folder), "--batch", "8").stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"precision": "int8"}, "bench.py measures only in fp32, not in int8"), ({"tokens": 8}, "on this machine only")],
)
def test_what_a_bench_cannot_measure_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SecateurError, match=sentence):
        write_bench(tmp_path / "away", {}, (), replace(TargetSpec(), **changes))
    assert not (tmp_path / "away").exists()


def test_a_file_of_ones_own_is_measured_on_random_inputs_and_printed(tmp_path: Path) -> None:
    (tmp_path / "bench.py").write_text(Path(bench.__file__).read_text())
    done = run(tmp_path, matmuls(tmp_path / "mine.onnx", 2), "--batch", "4")
    (model,) = json.loads(done.stdout)["models"]
    assert model["file"] == "mine.onnx" and len(model["sha256"]) == 64
    assert run(tmp_path, "absent.onnx").returncode != 0
    (tmp_path / "mine.onnx").unlink()
    assert "no .onnx file beside this script" in run(tmp_path).stderr


def test_a_provider_that_is_not_there_or_does_not_start_is_refused(written: Path) -> None:
    done = run(written, "--provider", "CUDAExecutionProvider")
    assert done.returncode == 1 and "no CUDAExecutionProvider; it has" in done.stderr
    assert "--option: fast is not NAME=VALUE" in run(written, "--option", "fast").stderr
    source = (written / "bench.py").read_text()  # as where CUDA's libraries are of another version: it falls back
    broken = source.replace("library.get_available_providers()", '["CPUExecutionProvider", "CUDAExecutionProvider"]')
    (written / "bench.py").write_text(broken)
    done = run(written, "--provider", "CUDAExecutionProvider")
    assert done.returncode == 1 and not done.stdout and "could not start CUDAExecutionProvider" in done.stderr


def test_what_computed_there_is_part_of_the_target(written: Path) -> None:
    assert run(written, "--option", "use_arena=1", "--out", RESULTS).returncode == 0
    assert all(timing.target.device == "cpu" for timing in read_bench(written / RESULTS).values())
    text = (written / RESULTS).read_text()
    (written / RESULTS).write_text(text.replace("CPUExecutionProvider", "TensorrtExecutionProvider"))
    places = [timing.target for timing in read_bench(written / RESULTS).values()]
    assert {place.device for place in places} == {"Tensorrt use_arena=1"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text[:-9], "cannot be read, or bench.py did not write it"),
        (lambda text: text.replace('"median"', '"mean"'), "bench.py did not write it"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "another version of bench.py"),
    ],
)
def test_files_that_are_no_results_are_refused(tmp_path: Path, change, sentence: str) -> None:
    facts = {"name": "a", "processor": "b", "cores": 2, "onnxruntime": "1"}
    model = {"file": "a.onnx", "median": 2.0, "low": 1.0, "high": 3.0, "runs": 9}
    target = {"runtime": "onnxruntime", "threads": 1, "batch": 1, "size": []}
    whole = json.dumps({"schema": 1, "machine": facts, "target": target, "models": [model]})
    (tmp_path / RESULTS).write_text(whole)
    assert read_bench(tmp_path / RESULTS)["a"].median == 2.0
    (tmp_path / RESULTS).write_text(change(whole))
    with pytest.raises(SecateurError, match=sentence):
        read_bench(tmp_path / RESULTS)


def test_inputs_are_repeated_or_cut_to_a_size() -> None:
    inputs = {"x": np.arange(24).reshape(2, 3, 2, 2), "mask": np.ones(2)}
    sized = at_size(inputs, (3, 1))
    assert sized["x"].shape == (2, 3, 3, 1) and sized["mask"].shape == (2,)  # type: ignore[index]
    assert np.array_equal(sized["x"][..., :2, :], inputs["x"][..., :1])  # type: ignore[index]
    assert at_size(inputs, ())["x"] is inputs["x"]  # type: ignore[index]
