"""What half of the MACs costs and brings: `python -m tests.benchmarks.recovery --data FOLDER --seeds 3 --json FILE`.

Each bundled network loses half of its MACs by the defaults (structured OBS, widths in multiples of 16), is verified,
recovered for the default number of epochs and exported. The exported files are judged on the full official test set and
timed in turns by onnxruntime on one thread. The uncut network gets the same extra epochs with the same settings; a copy
of its file, timed beside it, shows the spread of the measurement against itself.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import torch

from secateur.engine.export.onnx import OnnxExporter
from secateur.engine.jobs import NeverCancelled, Progress, finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, Limit
from secateur.engine.recovery.protocol import RecoverySettings, chosen_by_repair
from secateur.engine.scoring.criteria import default_criterion, ranked
from secateur.engine.session.session import Session
from secateur.engine.session.states import State
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.targets.measure import measure
from secateur.engine.targets.protocol import TargetSpec
from secateur.engine.tasks.arrays import Arrays
from secateur.engine.tasks.data_task import DataTask
from secateur.engine.tasks.protocol import Split, TaskSpec
from secateur.engine.tasks.purposes.table import purpose_named
from secateur.engine.workflows.export import export_state
from secateur.resources import fashion_mnist
from secateur.resources.samples import NETS

KEEP_MACS = 0.5
BATCHES = (64, 1)
NEVER = NeverCancelled()


@dataclass(frozen=True, slots=True)
class Run:
    """One seed.

    Attributes:
        seed: Of the recovery.
        pruned: Accuracy of the cut and recovered network.
        baseline: Accuracy of the uncut network after the same extra epochs.
    """

    seed: int
    pruned: float
    baseline: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of interleaved runs, milliseconds a batch.

    Attributes:
        batch: Samples a batch.
        original: The uncut network.
        again: The same file a second time, for the spread.
        pruned: The cut one.
        machine: Processor and runtime.
    """

    batch: int
    original: float
    again: float
    pruned: float
    machine: str

    @property
    def factor(self) -> float:
        """How many times as fast; both runs of the original count."""
        return (self.original + self.again) / 2 / self.pruned

    @property
    def spread(self) -> float:
        """How far the baseline is from itself, as a share."""
        return abs(self.original / self.again - 1)


@dataclass(frozen=True, slots=True)
class Result:
    """A network.

    Attributes:
        net: Its name.
        epochs: Of recovery.
        test: Images that it was judged on.
        original: Accuracy as it ships.
        cut: Accuracy after the cut, before recovery.
        parameters: Before and after.
        macs: Before and after.
        verified: Worst difference to the masked original.
        runs: One a seed.
        speeds: One a batch size.
    """

    net: str
    epochs: int
    test: int
    original: float
    cut: float
    parameters: tuple[int, int]
    macs: tuple[int, int]
    verified: float
    runs: tuple[Run, ...]
    speeds: tuple[Speed, ...]

    @property
    def lost(self) -> list[float]:
        """Points lost against the uncut network after the same epochs, for each seed."""
        return [100 * (run.baseline - run.pruned) for run in self.runs]


def official_test(folder: Path) -> DataTask:
    """The full official test set as a task; only its test split is used."""
    spec = TaskSpec("arrays", str(folder), (fashion_mnist.MEAN,), (fashion_mnist.STD,), batch=500)
    images = fashion_mnist.read_test(folder)
    x, y = dict.fromkeys(Split, images.x), dict.fromkeys(Split, images.y)
    data = Arrays("Fashion-MNIST, official test set", fashion_mnist.CLASSES, x, y, spec)
    return DataTask(spec, data, purpose_named("classification"))


def benchmark(net: str, seeds: int, test: DataTask) -> Result:
    """Prune, recover, export, judge and time one network."""
    with closing(Session()) as session:
        opened = finish(session.open(ModelSpec(f"bundled:{net}"), evaluate=False), say)
        original = opened.state
        repaired = chosen_by_repair(RecoverySettings(), opened.task)
        criterion = default_criterion(opened.analysis, opened.analysis.empty(), opened.task, repaired)
        scores = finish(session.score(original.id, criterion), say)
        goal = ranked(Goal((Limit(Cost.MACS, KEEP_MACS),), multiple=TargetSpec().multiple), criterion)
        cut = finish(session.cut(original.id, solve(opened.analysis, scores, goal).removed), say)
        assert cut.verification is not None
        settings = [replace(RecoverySettings(), seed=seed, threads=1) for seed in range(seeds)]
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            runs = tuple(_run(session, cut, original, one, test, folder) for one in settings)
            whole, smaller = (_export(session, state, folder) for state in (original, cut))
            return Result(
                net=net,
                epochs=settings[0].epochs,
                test=test.info(None).sizes["test"],
                original=_accuracy(whole, test),
                cut=_accuracy(smaller, test),
                parameters=(original.parameters, cut.parameters),
                macs=(original.macs, cut.macs),
                verified=cut.verification.difference,
                runs=runs,
                speeds=tuple(_speed(whole, smaller, batch, test) for batch in BATCHES),
            )


def _run(
    session: Session, cut: State, original: State, settings: RecoverySettings, test: DataTask, folder: Path
) -> Run:
    """Recover the cut network, and give the uncut one the same epochs."""
    recovered = finish(session.recover(cut.id, settings), say)
    longer = finish(session.recover(original.id, settings), say)
    pruned, baseline = (_accuracy(_export(session, state, folder), test) for state in (recovered, longer))
    return Run(settings.seed, pruned, baseline)


def _export(session: Session, state: State, folder: Path) -> Path:
    path = folder / f"{state.id}.onnx"
    finish(export_state(session, state.id, "onnx", str(path)), say)
    return path


def _accuracy(file: Path, test: DataTask) -> float:
    return finish(test.evaluate(OnnxExporter().predictor(str(file)), Split.TEST, NEVER)).value


def _speed(whole: Path, smaller: Path, batch: int, test: DataTask) -> Speed:
    again = whole.with_name("again.onnx")
    shutil.copy(whole, again)
    target = TargetSpec(threads=1, batch=batch, seconds=4.0)
    timings = finish(measure((whole, smaller, again), test.example_inputs(), target), say)
    original, pruned, second = (timing.median for timing in timings)
    return Speed(batch, original, second, pruned, timings[0].machine)


def table(results: list[Result]) -> str:
    """The results in words and numbers."""
    lines: list[str] = []
    for one in results:
        (before, after), (macs, left) = one.parameters, one.macs
        lines += [
            f"{one.net}: parameters {before:,} -> {after:,}, MACs {macs:,} -> {left:,} ({left / macs:.1%}), "
            f"cut verified {one.verified:.0e}",
            f"  original {one.original:.2%} (n = {one.test:,}), cut {one.cut:.2%}, then {one.epochs} epochs:",
        ]
        lines += [f"    seed {r.seed}: recovered {r.pruned:.2%}, uncut {r.baseline:.2%}" for r in one.runs]
        spread = f" +- {stdev(one.lost):.2f}" if len(one.lost) > 1 else ""
        lines.append(f"  lost against the uncut network with the same epochs: {mean(one.lost):.2f}{spread} points")
        lines += [
            f"  batch {s.batch}, one thread: {s.original:.3f} ms -> {s.pruned:.3f} ms, {s.factor:.2f} times as fast "
            f"(the baseline against itself: {s.spread:.1%})"
            for s in one.speeds
        ]
    return "\n".join([*lines, *{s.machine for one in results for s in one.speeds}])


def say(progress: Progress) -> None:
    """Show on a terminal where a job stands."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{progress.text} {progress.done}/{progress.total}")


def main() -> None:
    """Read the arguments, measure, write."""
    parser = argparse.ArgumentParser(description="What half of the MACs costs and brings.")
    parser.add_argument("--data", type=Path, default=fashion_mnist.DEBIAN_FOLDER, help="folder of the official files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nets", nargs="*", choices=NETS, default=NETS)
    parser.add_argument("--json", type=Path, help="write the numbers there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    test = official_test(arguments.data)
    results = [benchmark(net, arguments.seeds, test) for net in arguments.nets]
    if arguments.json:
        partial = arguments.json.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps([asdict(one) for one in results], indent=2) + "\n", encoding="utf-8")
        os.replace(partial, arguments.json)
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main()
