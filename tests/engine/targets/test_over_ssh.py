"""A bench over ssh: the folder goes there, the results come back, nothing stays there; what fails is a sentence."""

import json
import shutil
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from secateur.engine.errors import OpenError, SecateurError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.subprocesses.ssh import Address, read_address
from secateur.engine.targets.bench import SCHEMA
from secateur.engine.targets.measure import measure, profile, profiles_over_ssh
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.targets.remote import (
    MARK,
    MOST,
    bench_over_ssh,
    provider_arguments,
    provider_device,
    read_bench,
    read_results,
    require_measurable,
    target_over_ssh,
    write_bench,
)
from tests.waiting import wait_until

from .stand_in_ssh import program, reach_this_machine
from .test_measure import matmuls

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell stands in for the other machine")
NEVER = threading.Event()


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files of the machine that `ssh` reaches."""
    return reach_this_machine(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {name: Path(matmuls(tmp_path / f"{name}.onnx", count)) for name, count in (("s0-abc", 20), ("s2-def", 2))}
    write_bench(tmp_path / "away", files, (np.ones((2, 256), np.float32),), TargetSpec(batch=3))
    return tmp_path / "away"


def _python(path: Path, text: str) -> Address:
    return Address("board", program=program(path, f"#!/bin/sh\n{text}\n"))


def left(folder: Path) -> list[Path]:
    """What lies there; onnxruntime keeps a file of its own."""
    return [path for path in folder.iterdir() if path.name != ".ses"]


OWN = Address("board", program=sys.executable)


def test_it_is_measured_there_and_nothing_stays(there: Path, folder: Path) -> None:
    job = bench_over_ssh(folder, OWN, ("--seconds", "0.05", "--name", "a board; no command"), NEVER)
    seen, path = list[str](), folder
    try:
        while True:
            seen.append(str(next(job).message))
    except StopIteration as stop:
        path = stop.value
    timings = read_bench(path)
    assert timings.keys() == {"s0-abc", "s2-def"}
    assert {(one.target.machine, one.target.batch) for one in timings.values()} == {("a board; no command", 3)}
    assert timings["s0-abc"].median > timings["s2-def"].median
    assert set(seen) <= {"Sending the models to board", "Measuring on board"} and seen
    assert left(there) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 127", "There is no {python} on board. Name its path: ssh://board/path/of/python3."),
        (
            "echo \"ModuleNotFoundError: No module named 'onnxruntime'\" >&2; exit 1",
            "has no onnxruntime. Run {python}",
        ),
        ("echo 'me@board: Permission denied (publickey).' >&2; exit 255", "board refused the login"),
        (
            "printf '  3 %%\\ronnxruntime has no TpuExecutionProvider '>&2; exit 1",
            "onnxruntime has no Tpu",
        ),
        ("exit 3", "failed: exit code 3"),
        ("exit 0", "board sent no results of bench.py"),
    ],
)
def test_what_fails_there_is_a_sentence(there: Path, folder: Path, tmp_path: Path, script: str, words: str) -> None:
    address = _python(tmp_path / "python", script)
    with pytest.raises(SecateurError) as caught:
        finish(bench_over_ssh(folder, address, (), NEVER))
    assert words.format(python=address.program) in str(caught.value)


@pytest.mark.parametrize(
    ("python", "provider", "words"),
    [
        (sys.executable, "", ""),
        (sys.executable, "NoSuchExecutionProvider", "onnxruntime has no NoSuchExecutionProvider; it has "),
        ("/no/python", "", "There is no /no/python on board."),
    ],
)
def test_whether_a_machine_can_measure_is_found_out_without_models(
    there: Path, python: str, provider: str, words: str
) -> None:
    target = target_over_ssh(TargetSpec(), Address("board", program=python), provider)
    with pytest.raises(SecateurError, match=words) if words else nullcontext():
        for one in require_measurable(target, NEVER):
            assert str(one.message) == "Connecting to board"
    assert left(there) == []


def test_without_ssh_it_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SecateurError, match="Install the OpenSSH client"):
        finish(bench_over_ssh(folder, OWN, (), NEVER))


def test_what_the_other_machine_sends_is_read_as_data(there: Path, folder: Path, tmp_path: Path) -> None:
    mark = MARK.decode()
    lies = _python(tmp_path / "lies", f"printf '\\n{mark}\\n{{\"schema\": []}}'")
    with pytest.raises(OpenError, match=r"bench.py did not write it"):
        read_bench(finish(bench_over_ssh(folder, lies, (), NEVER)))
    floods = _python(tmp_path / "floods", f"printf '\\n{mark}\\n'; head -c {2 * MOST} /dev/zero")
    with pytest.raises(SecateurError, match="board sent no results"):
        finish(bench_over_ssh(folder, floods, (), NEVER))


def test_models_are_profiled_beside_the_original_in_one_connection(there: Path, tmp_path: Path) -> None:
    files = [matmuls(tmp_path / f"{count}.onnx", count) for count in (20, 20, 2)]
    target = target_over_ssh(TargetSpec(batch=3, seconds=0.05), OWN)
    inputs = (np.ones((2, 256), np.float32),)
    same, small = finish(profiles_over_ssh(files[0], files[1:], inputs, target, NEVER))
    here = finish(profile(files[0], files[2], inputs, TargetSpec(batch=3, seconds=0.05), NEVER))
    assert [(one.kind, one.sizes) for one in small.kernels] == [(one.kind, one.sizes) for one in here.kernels]
    assert small.original == same.original > small.seconds and "cores, onnxruntime" in small.machine
    blocks = sum(one.seconds for one in same.kernels)
    assert 0.2 < blocks / same.seconds < 5
    assert left(there) == []


def test_where_something_else_computes_blocks_share_its_time_as_they_share_the_cpus(
    there: Path, tmp_path: Path
) -> None:
    """onnxruntime's own stand-in for another provider: Azure's is in every build, and leaves all to the CPU."""
    provider = "AzureExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has no other provider here")
    target = target_over_ssh(TargetSpec(seconds=0.05), OWN, provider)
    file = matmuls(tmp_path / "a.onnx", 8)
    (found,) = finish(profiles_over_ssh(file, [file], (np.ones((2, 256), np.float32),), target, NEVER))
    assert sum(one.seconds for one in found.kernels) == pytest.approx(found.seconds)


@pytest.mark.parametrize("options", [(), ("trt_fp16_enable=True",), ("cache_dir=a folder", "device_id=1")])
def test_a_device_is_a_provider_with_its_options(options: tuple[str, ...]) -> None:
    words = provider_arguments(provider_device("TensorrtExecutionProvider", options))
    assert words[:2] == ("--provider", "TensorrtExecutionProvider") and words[3::2] == options
    assert provider_arguments(provider_device("CPUExecutionProvider")) == ()


def test_what_another_machine_says_of_blocks_is_checked(tmp_path: Path) -> None:
    def told(**changes: object) -> Path:
        machine = {"name": "board", "processor": "a", "cores": 1, "onnxruntime": "1"}
        block = {"name": "n", "kind": "Conv", "sizes": [[1, 8]], "seconds": 1e-3} | changes
        model = {"file": "0.onnx", "median": 1.0, "low": 1.0, "high": 1.0, "runs": 1, "blocks": [[*block.values()]]}
        asked = {"runtime": "onnxruntime", "threads": 1, "batch": 1}
        text = json.dumps({"schema": SCHEMA, "machine": machine, "target": asked, "models": [model]})
        (tmp_path / "results.json").write_text(text)
        return tmp_path / "results.json"

    assert read_results(told()).models[0].blocks[0][3] == 1e-3
    for lie in ({"sizes": [[-1]]}, {"sizes": [[1 << 60]]}, {"seconds": -1.0}, {"name": 1}):
        with pytest.raises(OpenError):
            read_results(told(**lie))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"runtime": "torch"}, "in onnxruntime only, not in torch"), ({"precision": "int8"}, "only in fp32, not in int8")],
)
def test_what_no_bench_measures_is_refused_before_a_connection(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    target = replace(target_over_ssh(TargetSpec(), Address("nobody")), **changes)
    with pytest.raises(SecateurError, match=words):
        finish(measure([tmp_path], (np.ones((2, 256), np.float32),), target))


def test_a_cancelled_one_ends_there_too(there: Path, folder: Path) -> None:
    token = threading.Event()
    job = bench_over_ssh(folder, OWN, ("--seconds", "600"), token)
    while not next(job).done:
        pass
    assert left(there)
    token.set()
    with pytest.raises(Cancelled):
        next(job)
    wait_until(lambda: left(there) == [])
    shutil.rmtree(folder)


def test_boards_behind_one_gateway_are_different_machines() -> None:
    first, second, alias = (
        target_over_ssh(TargetSpec(), read_address(f"ssh://me@gateway{port}")) for port in (":2201", ":2202", "")
    )
    assert len({first.place, second.place, alias.place}) == 3
    assert (first.machine, alias.machine) == ("gateway:2201", "gateway")
