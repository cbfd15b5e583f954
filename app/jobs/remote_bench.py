"""Jobs for other machines: write what measures there, and read what was measured."""

from dataclasses import replace

from PySide6.QtCore import QObject, Slot

from secateur.engine.devices import CPU
from secateur.engine.session.states import State
from secateur.engine.targets.protocol import TargetSpec, Timing

from ..document.document import Document
from ..document.job_state import FolderReceipt
from ..text.translate import counted
from .job_runner import JobRunner
from .written import show_written


def remote_target(spec: TargetSpec) -> TargetSpec:
    """What is measured on another machine: ONNX files; precision, threads, batch and sizes as here."""
    return replace(spec, runtime="onnxruntime", machine="", device=CPU, address="")


class RemoteBenchJobs(QObject):
    """Changes neither state nor plan."""

    def __init__(self, document: Document, runner: JobRunner) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner = document, runner

    def write(self, folder: str) -> None:
        """Write what another machine needs to measure the original and the current state."""
        document = self._document
        if document.original is None or document.state is None:
            return
        states = tuple(dict.fromkeys((document.original.id, document.state.id)))

        def written(result: tuple[str, str]) -> None:
            folder, command = result
            words = self.tr("Copy it to the other machine, run {command} there, then read its results.json here.")
            facts = (words.format(command=command),)
            show_written(document, FolderReceipt(self.tr("Benchmark folder"), folder, facts, command))

        target = remote_target(document.target)
        self._runner.run(self.tr("Write a benchmark folder"), written, "write_bench", states, folder, target)

    def measure(self, target: TargetSpec) -> None:
        """Measure the original and the current state on another machine, which becomes the target once it has.

        Args:
            target: Where, with an address.
        """
        document = self._document
        if document.original is None or document.state is None:
            return
        states = tuple(dict.fromkeys((document.original.id, document.state.id)))

        def taken(timings: tuple[Timing, ...]) -> None:
            for state, timing in zip(states, timings, strict=True):
                document.take_measurements(state, timings=(timing,))
            self._chosen(target, len(states))

        title = self.tr("Measure on {machine}").format(machine=target.machine)
        self._runner.run(title, taken, "measure", states, target)

    @Slot(str)
    def read(self, path: str) -> None:
        """Read what another machine measured; it becomes the target, so that its latencies are shown."""
        self._runner.run(self.tr("Read benchmark results"), self._taken, "take_bench", path)

    def _taken(self, states: tuple[State, ...]) -> None:
        self._document.take_metrics(states)
        self._chosen(states[0].timings[-1].target, len(states))

    def _chosen(self, target: TargetSpec, states: int) -> None:
        """Show the latencies of so many states on a target."""
        document = self._document
        document.set_target(replace(target, multiple=document.target.multiple))
        count = counted(states, self.tr("{count} state"), self.tr("{count} states"))
        words = self.tr("Latencies of {states}, measured on {machine}.")
        document.say(words.format(states=count, machine=target.machine))
