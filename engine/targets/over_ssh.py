"""Measures on another machine over the user's own `ssh`: a bench folder goes there, its results come back.

The other machine needs Python, numpy and onnxruntime. Nothing stays there, and what it sends is read as data.
"""

import re
import shlex
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from ..errors import Message, SecateurError
from ..jobs import CancelToken, Job, Progress, check
from ..model_inputs import Inputs
from ..storage.temporary_folders import temporary_folder
from ..subprocesses.ssh import Address, read_address, ssh_refusal, start_ssh
from ..subprocesses.ssh_conversation import SshConversation
from . import bench
from .protocol import TargetSpec
from .remote import RESULTS, BenchResults, provider_arguments, provider_device, read_results, write_bench

PYTHON = "python3"
MARK = b"secateur-bench-results"
"""The line behind which the results stand: a login shell may print before it."""
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
"""What Python runs there: it takes the folder from standard input, measures, answers, and removes the folder."""


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
    machine = f"{address.title}:{address.port}" if address.port else address.title  # boards behind one gateway differ
    return replace(spec, runtime=runtime, machine=machine, device=device, address=str(address))


def measured_over_ssh(
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
    named = ("--name", target.machine)  # as it was asked for: host names may be the same on many boards
    words = ("--seconds", f"{target.seconds:g}", *provider_arguments(target.device), *(("--blocks",) if blocks else ()))
    with temporary_folder() as place:
        folder, names = place / "bench", [str(number) for number in range(len(files))]
        write_bench(folder, dict(zip(names, map(Path, files), strict=True)), inputs, target)
        path = yield from bench_over_ssh(folder, there, (*named, *words), token)
        try:
            results = read_results(path)
        except SecateurError as error:
            raise no_results(there.title) from error
    if [Path(one.file).stem for one in results.models] != names:
        raise no_results(there.title)
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
    return (yield from _run_there(folder, address, arguments, partial(_progress, address.title), token))


def _run_there(
    folder: Path,
    address: Address,
    arguments: Sequence[str],
    tell: Callable[[SshConversation], Progress],
    token: CancelToken,
) -> Job[Path]:
    check(token)
    python = address.program or PYTHON
    command = shlex.join(["exec", python, "-c", RECEIVE, *arguments])
    process = start_ssh(address, command, asks=False)
    talk = SshConversation(process, partial(_send_folder, folder), MOST)
    exitcode = yield from talk.follow(tell, token)
    _, marked, results = bytes(talk.answer).partition(b"\n" + MARK + b"\n")
    if exitcode or not marked or len(talk.answer) > MOST:
        raise _failed(address, python, exitcode, talk.log)
    path = folder / RESULTS
    path.write_bytes(results)
    return path


def _send_folder(folder: Path, sink: IO[bytes]) -> None:
    with tarfile.open(fileobj=sink, mode="w|") as files:
        for path in sorted(folder.iterdir()):
            files.add(path, path.name)


def _progress(host: str, talk: SshConversation) -> Progress:
    if not talk.sent:
        return Progress(Message("progress.sending_bench", "Sending the models to {host}", {"host": host}))
    done = PERCENT.findall(talk.log)
    words = Message("progress.measuring_there", "Measuring on {host}", {"host": host})
    return Progress(words, min(int(done[-1]), 100) if done else 0, 100)


def no_results(host: str) -> SecateurError:
    """The other machine has answered, but not with what `bench.py` writes."""
    template = "{host} sent no results of bench.py. Write a benchmark folder and run it there by hand to see why."
    return SecateurError("target.no_results_there", template, host=host)


def _failed(address: Address, python: str, exitcode: int, log: str) -> SecateurError:
    """Why there are no results."""
    host = address.title
    if (said := ssh_refusal(host, exitcode, log)) is not None:
        return SecateurError(said.code, said.template, log, **said.arguments)
    if exitcode == NOT_FOUND:
        template = "There is no {python} on {host}. Name its path: ssh://{host}/path/of/python3."
        return SecateurError("target.no_python_there", template, log, python=python, host=host)
    if (found := re.search(r"No module named '(numpy|onnxruntime)'", log)) is not None:
        template = "{python} on {host} has no {module}. Run {command} there."
        command = f"{python} -m pip install numpy onnxruntime"
        return SecateurError(
            "target.no_module_there", template, log, python=python, host=host, module=found[1], command=command
        )
    if not exitcode:
        return no_results(host)
    lines = [line.strip() for line in re.split(r"[\r\n]", log) if line.strip() and not PERCENT.fullmatch(line.strip())]
    template = "The measurement on {host} failed: {reason}"
    reason = lines[-1][:300] if lines else f"exit code {exitcode}"
    return SecateurError("target.failed_there", template, log, host=host, reason=reason)
