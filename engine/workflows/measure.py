"""How long states of a session take on a target: measured, predicted from tables, or measured elsewhere."""

from dataclasses import replace
from pathlib import Path

from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..latency.protocol import LatencyTable
from ..latency.savings import Saving, savings
from ..model_inputs import Inputs
from ..session.opened import Opened
from ..session.states import State
from ..storage.paths import absolute_to
from ..targets.measure import measure as time_files
from ..targets.measure import measure_steps
from ..targets.protocol import TargetSpec, Timing
from ..targets.remote import check_bench, write_bench
from .latency_table import Measuring, latency_table, liked_multiple
from .remote_bench import bench_name, take_results

NEVER = NeverCancelled()


class TargetJobs(Opened):
    """Measures what is open."""

    def measure(
        self, states: tuple[str, ...], target: TargetSpec, token: CancelToken = NEVER
    ) -> Job[tuple[Timing, ...]]:
        """Latencies of states and baselines on a target, interleaved; they are kept with them."""
        files: list[Path] = []
        steps: list[tuple[Path, Inputs]] = []
        for state in states:
            artifacts, model, one = self.measurable(state)
            if target.tokens:
                steps.append((yield from artifacts.step(model, one, target, token)))
            files.append((yield from artifacts.file(model, one, target, token)))
        yield Progress("Measuring")
        timings = yield from time_files(files, self._need().prepared.inputs, target, token)
        if steps:
            yield Progress("Measuring the next token")
            paths, inputs = [path for path, _ in steps], [given for _, given in steps]
            found = yield from measure_steps(paths, inputs, target, token)
            timings = tuple(replace(timing, step=one) for timing, one in zip(timings, found, strict=True))
        before = dict(zip(states, timings, strict=True)).get(self.states()[0].id)
        if before is not None:
            timings = tuple(replace(timing, beside=before.undisturbed) for timing in timings)
        for state, timing in zip(states, timings, strict=True):
            self.history.add_timing(state, timing)
        return timings

    def latencies(self, target: TargetSpec, token: CancelToken = NEVER) -> Job[LatencyTable]:
        """The table that predicts the latency of any plan on a target; what is missing in it is measured first.

        Widths in it are multiples of `target.multiple`.
        """
        return (yield from latency_table(self._measuring(target), token, target.multiple))

    def savings(self, state: str, target: TargetSpec, token: CancelToken = NEVER) -> Job[tuple[Saving, ...]]:
        """What half of each set of a state saves on a target, and where removal buys no time there."""
        table = yield from self.latencies(target, token)
        return savings(self.analysis, table, self.removed(state))

    def forget_latencies(self, target: TargetSpec) -> None:
        """Measure anew what is asked next of a target, where the machine was busy before."""
        self._measuring(target).file.unlink(missing_ok=True)

    def liked_multiple(self, target: TargetSpec, token: CancelToken = NEVER) -> Job[int]:
        """The multiple of widths that saves time on a target, as measured; 0 where none does."""
        return (yield from liked_multiple(self._measuring(target), token))

    def write_bench(
        self, states: tuple[str, ...], folder: str, target: TargetSpec, token: CancelToken = NEVER
    ) -> Job[tuple[str, str]]:
        """Write what another machine needs to measure states; returns the folder and the command to run there.

        It measures ONNX files in onnxruntime, whatever runtime is the target here.
        """
        check_bench(target)
        target = replace(target, runtime=TargetSpec().runtime)
        files: dict[str, Path] = {}
        for state in states:
            one = self.history.state(state)
            files[bench_name(one)] = yield from self._artifacts().file(self._model(state), one, target, token)
        return write_bench(Path(absolute_to(Path.cwd())(folder)), files, self._need().prepared.inputs, target)

    def take_bench(self, path: str) -> tuple[State, ...]:
        """Read what `bench.py` wrote on another machine into the states that it measured; returns these."""
        return take_results(self.history, Path(absolute_to(Path.cwd())(path)))

    def _measuring(self, target: TargetSpec) -> Measuring:
        live = self._need()
        return Measuring(live.prepared, live.analysis, target, self.cache / "latency")
