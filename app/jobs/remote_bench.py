"""Jobs for other machines: write what measures there, and read what was measured."""

from dataclasses import replace

from PySide6.QtCore import QObject, Slot

from secateur.engine.devices import CPU
from secateur.engine.session.states import State
from secateur.engine.subprocesses.ssh import read_address
from secateur.engine.targets.protocol import TargetSpec

from ..document.document import Document
from ..text.translate import counted
from .job_runner import JobRunner


def remote_target(spec: TargetSpec) -> TargetSpec:
    """What is measured on another machine: ONNX files; precision, threads, batch and sizes as here."""
    return replace(spec, runtime="onnxruntime", machine="", device=CPU)


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
            words = self.tr(
                "Written to {folder}. Copy it to the other machine, run {command} there, then read its results.json "
                "here."
            )
            document.say(words.format(folder=result[0], command=result[1]))

        target = remote_target(document.target)
        self._runner.run(self.tr("Write a benchmark folder"), written, "write_bench", states, folder, target)

    def measure(self, address: str, arguments: tuple[str, ...]) -> None:
        """Measure the original and the current state on another machine, reached by `ssh`, which becomes the target.

        Args:
            address: "ssh://user@host/path/of/python3".
            arguments: Of `bench.py` there.
        """
        document = self._document
        if document.original is None or document.state is None:
            return
        states = tuple(dict.fromkeys((document.original.id, document.state.id)))
        title = self.tr("Measure on {machine}").format(machine=read_address(address).title)
        target = remote_target(document.target)
        self._runner.run(title, self._taken, "measure_over_ssh", states, address, target, arguments)

    @Slot(str)
    def read(self, path: str) -> None:
        """Read what another machine measured; it becomes the target, so that its latencies are shown."""
        self._runner.run(self.tr("Read benchmark results"), self._taken, "take_bench", path)

    def _taken(self, states: tuple[State, ...]) -> None:
        document = self._document
        document.take_metrics(states)
        target = states[0].timings[-1].target
        document.set_target(replace(target, multiple=document.target.multiple))
        count = counted(len(states), self.tr("{count} state"), self.tr("{count} states"))
        words = self.tr("Latencies of {states}, measured on {machine}.")
        document.say(words.format(states=count, machine=target.machine))
