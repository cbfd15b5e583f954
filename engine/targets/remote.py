"""Measuring on another machine: writes the folder to copy there, and reads the results, or does both over `ssh`.

A folder with `bench.py`, ONNX files, inputs and what these were made for is all that the other machine gets. It needs
Python, numpy and onnxruntime. Each file is named by its state and the content of its weights, so that the results find
their states again. Over the user's own `ssh` nothing stays there, and what the machine sends is read as data.
"""

import math
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Annotated

import msgspec
import numpy as np

from ..errors import Message, OpenError, SecateurError
from ..inference.model_inputs import Inputs, at_batch, at_size, call
from ..jobs import CancelToken, Job, Progress
from ..machine.devices import CPU
from ..storage.file_limits import read_whole
from ..storage.serialization import from_json
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.ssh import Address, RemoteRun, read_address, run_over_ssh, ssh_refusal
from . import bench
from .onnxruntime_target import feed_by
from .protocol import TargetSpec, Timing

RESULTS = "results.json"
SUFFIX = "ExecutionProvider"
"""How onnxruntime ends the name of what computes."""
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
PYTHON = "python3"
MARK = b"secateur-bench-results"
"""The line before the results: a login shell may print something first."""
MOST = 1 << 24
"""Bytes of results."""
PERCENT = re.compile(r"(\d{1,3}) %")
NOT_FOUND = 127
RECEIVE = f"""
import subprocess, sys, tarfile, tempfile
from pathlib import Path
with tempfile.TemporaryDirectory() as folder:
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as files:
        if hasattr(tarfile, "data_filter"):
            files.extraction_filter = tarfile.data_filter
        files.extractall(folder)
    command = [sys.executable, "bench.py", "--out", "{RESULTS}", *sys.argv[1:]]
    code = subprocess.call(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if code == 0:
        sys.stdout.write("\\n{MARK.decode()}\\n" + Path(folder, "{RESULTS}").read_text(encoding="utf-8"))
sys.exit(code)
"""
"""What Python runs there: it takes the folder from standard input, measures, sends the results, removes the folder."""


class MachineFacts(msgspec.Struct, frozen=True):
    """The facts of a machine."""

    name: str
    processor: str
    cores: int
    onnxruntime: str


class BenchSettings(msgspec.Struct, frozen=True):
    """What was asked of the bench."""

    runtime: str
    threads: int
    batch: int
    size: tuple[int, ...] = ()
    provider: str = bench.CPU
    options: dict[str, str] = {}
    precision: str = bench.PRECISION


class BenchedModel(msgspec.Struct, frozen=True):
    """What was measured of a file.

    Attributes:
        file: Its name.
        median: Milliseconds a batch, as `low` and `high`, its 10th and 90th percentiles.
        runs: How many there were.
        own: Milliseconds of the processor, 0 where that is not known.
        blocks: Name, kind, shapes and seconds of its fused blocks on the CPU there, where they were asked for.
    """

    file: str
    median: float
    low: float
    high: float
    runs: int
    own: float = 0.0
    blocks: tuple[tuple[str, str, tuple[tuple[Size, ...], ...], float], ...] = ()


class BenchResults(msgspec.Struct, frozen=True):
    """What `bench.py` writes."""

    schema: int
    machine: MachineFacts
    target: BenchSettings
    models: tuple[BenchedModel, ...]


def provider_device(provider: str, options: Sequence[str] = ()) -> str:
    """A provider ("" for the CPU's) and its options as a device is called: "Tensorrt trt_fp16_enable=True"."""
    return CPU if provider in ("", bench.CPU) else " ".join([provider.removesuffix(SUFFIX), *options])


def provider_arguments(device: str) -> tuple[str, ...]:
    """Arguments of `bench.py` for a device that `provider_device` has named."""
    if device == CPU:
        return ()
    name, *options = re.split(r" (?=[^ =]+=)", device)
    return ("--provider", name + SUFFIX, *(word for one in options for word in ("--option", one)))


def write_bench(folder: Path, files: Mapping[str, Path], inputs: Inputs, target: TargetSpec) -> tuple[str, str]:
    """Write what another machine needs; returns the folder and the command to run there.

    Args:
        folder: Made, or written into; of the models in it those written now are measured.
        files: ONNX files by the names that they get.
        inputs: Example inputs of the models.
        target: Threads, batch and sizes to measure at.
    """
    import onnx

    check_bench(target)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bench.__file__, folder / "bench.py")
    for name, file in files.items():
        shutil.copyfile(file, folder / f"{name}.onnx")
    names = [one.name for one in onnx.load(str(next(iter(files.values()))), load_external_data=False).graph.input]
    feed = call(feed_by(names), at_batch(at_size(inputs, target.size), target.batch))
    np.savez(folder / bench.INPUTS, **feed)  # pyright: ignore[reportArgumentType] - numpy reads its own flags into **
    asked = {name: getattr(target, name) for name in ("threads", "batch", "size")}
    asked |= {"files": [f"{name}.onnx" for name in files]}
    (folder / bench.ASKED).write_bytes(msgspec.json.encode(asked))
    return str(folder), f"python bench.py --out {RESULTS}"


def not_a_bench(folder: Path) -> list[Path]:
    """A folder with files of another kind, among which a bench would replace some; nothing for a new or empty one."""
    there = folder.is_dir() and any(folder.iterdir()) and not (folder / bench.ASKED).is_file()
    return [folder] if there else []


def check_bench(target: TargetSpec) -> None:
    """Raise SecateurError for what `bench.py` cannot measure: it feeds arrays to files, and both stay as they are."""
    if target.tokens:
        template = "A prompt and its next token can be measured on this machine only. Give the size {tokens} instead."
        raise SecateurError("target.bench_tokens", template, tokens=target.tokens)
    if target.precision != bench.PRECISION:
        template = "bench.py measures only in {known}, not in {given}. Choose {known} for the target."
        raise SecateurError("target.bench_precision", template, known=bench.PRECISION, given=target.precision)


def read_bench(path: Path) -> dict[str, Timing]:
    """Timings by the names of the files; raises OpenError where they are no results of `bench.py`."""
    results = read_results(path)
    asked, there = results.target, results.machine
    target = TargetSpec(
        runtime=asked.runtime,
        threads=asked.threads,
        batch=asked.batch,
        precision=asked.precision,
        size=asked.size,
        machine=there.name,
        device=provider_device(asked.provider, [f"{name}={value}" for name, value in asked.options.items()]),
    )
    words = machine_words(there)
    return {Path(m.file).stem: timing_of_bench(m, target, words) for m in results.models}


def machine_words(there: MachineFacts) -> str:
    """Processor, cores and runtime version of another machine in words."""
    return f"{there.processor}, {there.cores} cores, onnxruntime {there.onnxruntime}"


def timing_of_bench(one: BenchedModel, target: TargetSpec, machine: str) -> Timing:
    """What was measured of a file as a latency on a target."""
    return Timing(target, one.median, one.low, one.high, one.runs, machine, own=one.own)


def read_results(path: Path) -> BenchResults:
    """What `bench.py` wrote; raises OpenError where it did not."""
    try:
        results = from_json(read_whole(path), BenchResults)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        template = "{path} cannot be read, or bench.py did not write it. Choose another file."
        raise OpenError("target.results", template, details=str(error), path=str(path)) from error
    possible = bool(results.machine.name)
    for one in results.models:
        times = (one.low, one.high, one.own, *(seconds for *_, seconds in one.blocks))
        possible &= 0 < one.median < math.inf and all(0 <= time < math.inf for time in times)
    if not possible:
        template = "{path} names no machine or holds invalid times. Measure again."
        raise OpenError("target.no_times", template, path=str(path))
    if results.schema != bench.SCHEMA:
        template = "{path} was written by another version of bench.py ({given}, not {known}). Measure again."
        raise OpenError("target.schema", template, path=str(path), given=results.schema, known=bench.SCHEMA)
    return results


def target_over_ssh(spec: TargetSpec, address: Address, provider: str = "", options: Sequence[str] = ()) -> TargetSpec:
    """The target on another machine: onnxruntime there; threads, batch, precision and sizes as in `spec`.

    Args:
        spec: A target of this machine.
        address: Where; its program is the Python there.
        provider: Of onnxruntime, "" for the CPU's.
        options: Of the provider, as NAME=VALUE.
    """
    device = provider_device(provider, options)
    runtime = TargetSpec().runtime
    # Boards behind one gateway differ.
    machine = f"{address.title}:{address.port}" if address.port else address.title
    return replace(spec, runtime=runtime, machine=machine, device=device, address=str(address))


def measure_over_ssh(
    files: Sequence[str | Path], inputs: Inputs, target: TargetSpec, token: CancelToken, blocks: bool = False
) -> Job[BenchResults]:
    """Time ONNX files in turns on the machine of a target; the results have them in this order.

    Args:
        files: What is measured.
        inputs: Example inputs of all of them.
        target: Has an address.
        token: Ends the connection; the machine there ends the measurement with it.
        blocks: Also time their fused blocks.

    Raises:
        SecateurError: As `bench_over_ssh` and `check_bench`; the machine sends something else.
    """
    there = read_address(target.address)
    # As it was asked for: many boards may have one host name.
    named = ("--name", target.machine)
    words = ("--seconds", f"{target.seconds:g}", *provider_arguments(target.device), *(("--blocks",) if blocks else ()))
    with temporary_folder() as place:
        folder, names = place / "bench", [str(number) for number in range(len(files))]
        write_bench(folder, dict(zip(names, map(Path, files), strict=True)), inputs, target)
        path = yield from bench_over_ssh(folder, there, (*named, *words), token)
        try:
            results = read_results(path)
        except SecateurError as error:
            raise _no_results(there.title) from error
    if [Path(one.file).stem for one in results.models] != names:
        raise _no_results(there.title)
    return results


def require_measurable(target: TargetSpec, token: CancelToken) -> Job[None]:
    """Find out whether the machine of a target can measure, before models are written for it.

    Args:
        target: Has an address.
        token: Ends the connection.

    Raises:
        SecateurError: As `bench_over_ssh`.
    """
    there = read_address(target.address)
    connecting = Progress(Message("progress.connecting_there", "Connecting to {host}", {"host": there.title}))
    with temporary_folder() as place:
        shutil.copyfile(bench.__file__, place / "bench.py")
        arguments = ("--check", *provider_arguments(target.device))
        yield from _run_there(place, there, arguments, lambda _: connecting, token)


def bench_over_ssh(folder: Path, address: Address, arguments: Sequence[str], token: CancelToken) -> Job[Path]:
    """Run the bench of a folder on another machine; returns the file with its results, which is put into the folder.

    Args:
        folder: As `write_bench` has made it.
        address: Where; its program is the Python there.
        arguments: Of `bench.py`.
        token: Ends the connection; the machine there ends the bench with it.

    Raises:
        SecateurError: No `ssh`, no connection, no Python or no onnxruntime there, or what `bench.py` says itself.
    """

    def progress(ran: RemoteRun) -> Progress:
        host = {"host": address.title}
        if not ran.sent:
            return Progress(Message("progress.sending_bench", "Sending the models to {host}", host))
        done = PERCENT.findall(ran.log)
        words = Message("progress.measuring_there", "Measuring on {host}", host)
        return Progress(words, min(int(done[-1]), 100) if done else 0, 100)

    return (yield from _run_there(folder, address, arguments, progress, token))


def _run_there(
    folder: Path,
    address: Address,
    arguments: Sequence[str],
    progress: Callable[[RemoteRun], Progress],
    token: CancelToken,
) -> Job[Path]:
    """Send a folder, run its bench there and receive the file with the results; raises as `bench_over_ssh`."""

    def send_folder(sink: IO[bytes]) -> None:
        with tarfile.open(fileobj=sink, mode="w|") as files:
            for path in sorted(folder.iterdir()):
                files.add(path, path.name)

    python, host = address.program or PYTHON, address.title
    ran = yield from run_over_ssh(address, [python, "-c", RECEIVE, *arguments], send_folder, progress, token, MOST)
    exitcode, log = ran.exitcode, ran.log
    _, marked, results = ran.answer.partition(b"\n" + MARK + b"\n")
    if exitcode or not marked or len(ran.answer) > MOST:
        if (said := ssh_refusal(host, exitcode, log)) is not None:
            failure = SecateurError(said.code, said.template, log, **said.arguments)
        elif exitcode == NOT_FOUND:
            template = "There is no {python} on {host}. Name its path: ssh://{host}/path/of/python3."
            failure = SecateurError("target.no_python_there", template, log, python=python, host=host)
        elif (found := re.search(r"No module named '(numpy|onnxruntime)'", log)) is not None:
            template = "{python} on {host} has no {module}. Run {command} there."
            command = f"{python} -m pip install numpy onnxruntime"
            failure = SecateurError(
                "target.no_module_there",
                template,
                log,
                python=python,
                host=host,
                module=found[1],
                command=command,
            )
        elif not exitcode or len(ran.answer) > MOST:
            failure = _no_results(host)
        else:
            lines = [
                line.strip()
                for line in re.split(r"[\r\n]", log)
                if line.strip() and not PERCENT.fullmatch(line.strip())
            ]
            template = "The measurement on {host} failed: {reason}"
            reason = lines[-1][:300] if lines else f"exit code {exitcode}"
            failure = SecateurError("target.failed_there", template, log, host=host, reason=reason)
        raise failure
    path = folder / RESULTS
    path.write_bytes(results)
    return path


def _no_results(host: str) -> SecateurError:
    """The other machine has answered, but not with what `bench.py` writes."""
    template = "{host} sent no results of bench.py. Write a benchmark folder and run it there by hand to see why."
    return SecateurError("target.no_results_there", template, host=host)
