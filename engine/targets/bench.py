"""Measures ONNX files on this machine and writes the results as JSON: `python bench.py a.onnx b.onnx`.

Stands alone: a copy of this file, the models, Python, numpy and onnxruntime are all that it needs. Every model is run
in turns with the others, so that a machine that slows down slows all of them down. Where another provider than the CPU
computes, a run includes what goes to it and comes back. `--blocks` also times the fused blocks of each model, as the
provider for the CPU runs them: the others run a whole model as one block, or do not wait for each.
"""

import argparse
import gc
import hashlib
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
WARM_UP = 0.2
"""Seconds each model runs before anything counts."""
TURN = 0.02
"""Seconds of one model's turn: long against what the model before left in the caches, short against drift."""
LEAST = 5
"""Turns each model gets at least, however slow it is."""

LOWER = 0.6
"""Share of the runs of a block that count, the fastest: the others had to wait for something else on the machine."""
MOST = 200
"""Runs that are profiled at most."""
KERNEL = "_kernel_time"
"""How onnxruntime ends the name of a node where it means the time of its kernel."""

Run = Callable[[], object]
Sizes = tuple[tuple[int, ...], ...]
BlockTime = tuple[str, str, Sizes, float]
"""Name, kind, shapes of all that goes in and comes out, and seconds of a fused block."""
TYPES = {"float": "float32", "float16": "float16", "double": "float64", "bool": "bool"} | {
    kind: kind for kind in ("int64", "int32", "int16", "int8", "uint8")
}
"""What onnxruntime calls types that are called otherwise elsewhere."""
CPU = "CPUExecutionProvider"
INPUTS, ASKED = "inputs.npz", "asked.json"
"""Files in the folder of this one: the inputs; what they were made for, which the results name, and the models."""
PRECISION = "fp32"
"""What files are written in: nothing here quantises them."""


class CpuTimedRun:
    """A run that also notes the processor's time of its process.

    Attributes:
        own: Seconds of the processor of each run, all threads together.
    """

    def __init__(self, run: Run) -> None:
        """Take what is run."""
        self.own: list[float] = []
        self._run = run

    def __call__(self) -> None:
        """Run once."""
        start = time.process_time()
        self._run()
        self.own.append(time.process_time() - start)


class BlockTimes:
    """Times of blocks by name, which is another for each block of a run, in execution order."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._times: dict[str, list[float]] = {}
        self._about: dict[str, tuple[str, Sizes]] = {}

    def add(self, name: str, kind: str, sizes: Sequence[tuple[int, ...]], seconds: float) -> None:
        """One run of a block; kind and sizes are those of its first."""
        self._about.setdefault(name, (kind, tuple(sizes)))
        self._times.setdefault(name, []).append(seconds)

    def blocks(self) -> list[BlockTime]:
        """Each block once, with the mean of its fastest runs: a mean, because runtimes count whole microseconds."""
        found: list[BlockTime] = []
        for name, about in self._about.items():
            ordered = np.sort(self._times[name])
            typical = float(ordered[: max(math.ceil(LOWER * len(ordered)), 1)].mean())
            found.append((name, *about, typical))
        return found


def repeat(run: Run, seconds: float) -> None:
    """Run once, then for about that long."""
    start = time.perf_counter()
    run()
    once = max(time.perf_counter() - start, 1e-6)
    for _ in range(min(max(math.ceil(seconds / once), 1), MOST)):
        run()


def profiled_blocks(profile: str) -> list[BlockTime]:
    """The fused blocks in a profile that onnxruntime wrote, to whole microseconds.

    https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html
    """
    gathered = BlockTimes()
    for event in json.loads(Path(profile).read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            about = event["args"]
            # Each as {"float": [1, 64]}.
            shapes = [*about["input_type_shape"], *about["output_type_shape"]]
            sizes = [tuple(next(iter(one.values()), ())) for one in shapes]
            gathered.add(event["name"][: -len(KERNEL)], about["op_name"], sizes, event["dur"] * 1e-6)
    return gathered.blocks()


def warm(run: Run) -> tuple[Run, float]:
    """Run for a while; returns the run and its seconds."""
    count, start = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - start < WARM_UP:
        run()
        count += 1
    return run, (time.perf_counter() - start) / count


def in_turns(ready: Sequence[tuple[Run, float]], times: list[list[float]], seconds: float) -> Iterator[float]:
    """Time every model in rounds, each round beginning with another one, until each had its `seconds`.

    Args:
        ready: Runs, and about how many seconds each takes.
        times: Seconds of the runs of each are appended here.
        seconds: For each.

    Yields:
        The share that is done, after every round.
    """
    start, rounds, budget = time.perf_counter(), 0, seconds * len(ready)
    # A collection would count to the run that it happens in.
    gc.disable()
    try:
        while rounds < LEAST or time.perf_counter() - start < budget:
            for place in range(len(ready)):
                number = (place + rounds) % len(ready)
                run, per_run = ready[number]
                times[number] += turn(run, math.ceil(TURN / per_run))
            rounds += 1
            yield min(1.0, (time.perf_counter() - start) / budget, rounds / LEAST)
    finally:
        gc.enable()


def turn(run: Run, count: int) -> list[float]:
    """`count` timed runs in seconds; before several short ones, one that only fills the caches again."""
    if count > 1:
        run()
    times: list[float] = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def processor() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def machine(name: str) -> dict[str, Any]:
    """What this machine is, under the name that its results get."""
    import onnxruntime

    facts = {"name": name, "processor": processor(), "cores": os.cpu_count(), "system": platform.platform()}
    versions = {"python": platform.python_version(), "numpy": np.__version__, "onnxruntime": onnxruntime.__version__}
    return facts | versions


def require_provider(name: str) -> None:
    """End where onnxruntime cannot compute with a provider."""
    import onnxruntime

    # The library has no type stubs.
    library: Any = onnxruntime
    there = library.get_available_providers()
    if name not in there:
        sys.exit(f"onnxruntime has no {name}; it has {', '.join(there)}.")


def bench(files: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Measure files; the result is what JSON holds."""
    given = dict(np.load(options.inputs, allow_pickle=False)) if options.inputs else {}
    ready = [warm(_load_run(file, given, options)) for file in files]
    clocked = [CpuTimedRun(run) for run, _ in ready]
    times: list[list[float]] = [[] for _ in files]
    turns = [(run, once) for run, (_, once) in zip(clocked, ready)]
    for share in in_turns(turns, times, options.seconds):
        sys.stderr.write(f"\r{100 * share:3.0f} %")
    sys.stderr.write("\n")
    models: list[dict[str, Any]] = []
    for file, some in zip(files, times):
        # In milliseconds a batch.
        low, median, high = (float(value) * 1e3 for value in np.percentile(some, [10, 50, 90]))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        models.append(
            {"file": file.name, "sha256": digest, "median": median, "low": low, "high": high, "runs": len(some)}
        )
    # Where another device computes, the processor only waits.
    if options.provider == CPU:
        for one, run in zip(models, clocked):
            one["own"] = float(np.median(run.own)) * 1e3
    del ready, clocked, turns
    if options.blocks:
        for one, file in zip(models, files):
            one["blocks"] = _time_blocks(file, given, options)
    target = {"runtime": "onnxruntime", "threads": options.threads, "batch": options.batch, "size": list(options.size)}
    target |= {"provider": options.provider, "options": dict(options.option), "precision": PRECISION}
    return {"schema": SCHEMA, "machine": machine(options.name), "target": target, "models": models}


def _time_blocks(file: Path, given: Mapping[str, Any], options: argparse.Namespace) -> list[BlockTime]:
    """The fused blocks of a file as the CPU provider runs them."""
    import onnxruntime

    wanted = session_options(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        wanted.enable_profiling, wanted.profile_file_prefix = True, str(Path(folder, "profile"))
        session: Any = onnxruntime.InferenceSession(str(file), wanted, providers=[CPU])
        feed = _feed_for(session, given, options)
        repeat(lambda: session.run(None, feed), options.seconds)
        return profiled_blocks(session.end_profiling())


def session_options(threads: int) -> Any:
    """Options of a session with pinned threads, quiet."""
    import onnxruntime

    # The library has no type stubs.
    library: Any = onnxruntime
    wanted = library.SessionOptions()
    wanted.intra_op_num_threads, wanted.inter_op_num_threads, wanted.log_severity_level = threads, 1, 3
    # Threads that wait for work would take the cores from the model whose turn is next.
    wanted.add_session_config_entry("session.force_spinning_stop", "1")
    return wanted


def _feed_for(session: Any, given: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The given arrays at the batch size, or random ones of the inputs' shapes: free are the batch, then the sizes."""
    feed: dict[str, Any] = {}
    for one in session.get_inputs():
        if one.name in given:
            array = given[one.name]
            # An array that all samples share is no batch, and has its own length in the file.
            shared = array.ndim == 0 or one.shape[:1] == [len(array)]
            feed[one.name] = array if shared else array[np.arange(int(options.batch)) % len(array)]
            continue
        sizes = iter((options.batch, *options.size))
        try:
            shape = [size if isinstance(size, int) else next(sizes) for size in one.shape]
        except StopIteration:
            sys.exit(
                f"The input {one.name} has the dynamic sizes {one.shape}: give those after the batch with "
                "--size 224x224."
            )
        kind = np.dtype(TYPES[one.type[len("tensor(") : -1]])
        random = np.random.default_rng(0)
        feed[one.name] = random.normal(size=shape).astype(kind) if kind.kind == "f" else np.ones(shape, kind)
    return feed


def _load_run(file: Path, given: Mapping[str, Any], options: argparse.Namespace) -> Run:
    """A run of a file on the given inputs, or on random ones."""
    import onnxruntime

    # The library has no type stubs.
    library: Any = onnxruntime
    wanted = session_options(options.threads)
    require_provider(options.provider)
    providers = [(options.provider, dict(options.option))]
    session = library.InferenceSession(str(file), wanted, providers=providers)
    # It goes on with the CPU and says nothing.
    if options.provider not in session.get_providers():
        sys.exit(f"onnxruntime could not start {options.provider}; its own messages above say why.")
    first = [one.shape[0] for one in session.get_inputs() if one.shape]
    if all(isinstance(size, int) for size in first) and options.batch not in (first or [options.batch]):
        sys.exit(f"{file.name} takes batches of {first[0]} only: give --batch {first[0]}.")
    feed = _feed_for(session, given, options)
    return lambda: session.run(None, feed)


def _sizes_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("x"))


def _provider_option(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name and found):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the files that are named, or all in this script's folder."""
    parser = argparse.ArgumentParser(description="Latency of ONNX files on this machine, as JSON.")
    here = Path(__file__).parent
    asked: dict[str, Any] = {}
    if (here / ASKED).is_file():
        asked = json.loads((here / ASKED).read_text(encoding="utf-8"))
    beside = [here / one for one in asked["files"]] if "files" in asked else sorted(here.glob("*.onnx"))
    parser.add_argument("files", nargs="*", type=Path, default=beside, help="default: the files beside this script")
    parser.add_argument(
        "--inputs",
        type=Path,
        help=".npz with an array for each input (default: inputs.npz beside this script, else random)",
    )
    parser.add_argument("--threads", type=int, default=asked.get("threads", 1), help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=asked.get("batch", 1), help="default: %(default)s")
    parser.add_argument("--size", type=_sizes_of, default=(), metavar="224x224", help="dynamic sizes after the batch")
    parser.add_argument(
        "--provider", default=CPU, help=f"execution provider, for example CUDAExecutionProvider (default: {CPU})"
    )
    parser.add_argument(
        "--option",
        type=_provider_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the provider: trt_fp16_enable=True with TensorrtExecutionProvider",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="for each file")
    parser.add_argument("--blocks", action="store_true", help="also time the fused blocks of each file, on the CPU")
    machines = "name of this machine in the results, where several share one host name (default: %(default)s)"
    parser.add_argument("--name", default=platform.node(), help=machines)
    parser.add_argument("--check", action="store_true", help="only say what this machine is, where it can measure")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    options = parser.parse_args(arguments)
    given = here / INPUTS
    if options.inputs is None and not options.size and given.is_file():
        options.inputs, options.size = given, tuple(asked.get("size", ()))
    if options.check:
        require_provider(options.provider)
    elif not options.files:
        parser.error("there is no .onnx file beside this script; name some")
    results = machine(options.name) if options.check else bench(options.files, options)
    text = json.dumps(results, indent=2) + "\n"
    options.out.write_text(text, encoding="utf-8") if options.out else sys.stdout.write(text)


if __name__ == "__main__":
    main()
