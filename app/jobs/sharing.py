"""Jobs that write files and folders for other people and machines, and read what those have made."""

from dataclasses import replace

from PySide6.QtCore import QCoreApplication, Slot

from secateur.engine.machine.devices import CPU
from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State
from secateur.engine.targets.protocol import TargetSpec, Timing

from ..document.document import Document
from ..document.job_state import FolderReceipt
from ..text.translate import counted
from .job_runner import DocumentJobs


def show_written(document: Document, receipt: FolderReceipt) -> None:
    """Tell where it is and how to go on with it."""
    words = QCoreApplication.translate("written", "Written to {path}.").format(path=receipt.path)
    document.say(" ".join((words, *receipt.facts)))
    document.show_receipt(receipt)


class SharingJobs(DocumentJobs):
    """Writes what is handed on."""

    def write(self, kind: str, path: str, weights: bool = False) -> None:
        """Write recipe, script, report or bundle of the current state; a bundle with its weights perhaps."""
        document = self._document
        titles = {
            "recipe": self.tr("Export the recipe"),
            "script": self.tr("Export the script"),
            "report": self.tr("Export the report"),
            "bundle": self.tr("Write the bundle"),
        }
        names = {
            "recipe": self.tr("Recipe"),
            "script": self.tr("Script"),
            "report": self.tr("Report"),
            "bundle": self.tr("Bundle"),
        }

        def written(files: tuple[str, ...]) -> None:
            first, *others = files
            beside = (self.tr("Beside it: {files}.").format(files=", ".join(others)),) if others else ()
            show_written(document, FolderReceipt(names[kind], first, beside))

        more = (weights,) if kind == "bundle" else ()
        self._runner.run(titles[kind], written, f"write_{kind}", document.contents.present, path, *more)


def remote_target(spec: TargetSpec) -> TargetSpec:
    """What is measured on another machine: ONNX files; precision, threads, batch and sizes as here."""
    return replace(spec, runtime="onnxruntime", machine="", device=CPU, address="")


class RemoteBenchJobs(DocumentJobs):
    """Changes neither state nor plan."""

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
            self._show_latencies(target, len(states))

        title = self.tr("Measure on {machine}").format(machine=target.machine)
        self._runner.run(title, taken, "measure", states, target)

    @Slot(str)
    def read(self, path: str) -> None:
        """Read what another machine measured; it becomes the target, so that its latencies are shown."""

        def take(states: tuple[State, ...]) -> None:
            self._document.take_metrics(states)
            self._show_latencies(states[0].timings[-1].target, len(states))

        self._runner.run(self.tr("Read benchmark results"), take, "take_bench", path)

    def _show_latencies(self, target: TargetSpec, states: int) -> None:
        """Show the latencies of so many states on a target."""
        document = self._document
        document.set_target(replace(target, multiple=document.target.multiple))
        count = counted(states, self.tr("{count} state"), self.tr("{count} states"))
        words = self.tr("Latencies of {states}, measured on {machine}.")
        document.say(words.format(states=count, machine=target.machine))


class JobFolders(DocumentJobs):
    """What comes back is a state of the same history."""

    def write(self, folder: str, settings: RecoverySettings, device: str) -> None:
        """Write what recovers the current state on another machine."""
        document = self._document

        def written(result: tuple[str, tuple[str, ...]]) -> None:
            """Say where it is, and what else it needs there."""
            # Loads msgspec, which a start does without.
            from secateur.engine.sharing.job_folder import SLURM, START

            place, left = result
            command = f"sh {START}"
            words = self.tr(
                "Copy it to the other machine and run {command} there, or sbatch {slurm}; README.md says how. Then "
                "copy it back, and read its results here."
            )
            facts = [words.format(command=command, slurm=SLURM)]
            if left:
                words = self.tr("It also needs there, at the same path or named with --moved: {paths}.")
                facts.append(words.format(paths=", ".join(left)))
            facts.append(self.tr("Files that your code reads by itself are not copied."))
            show_written(document, FolderReceipt(self.tr("Recovery job"), place, tuple(facts), command))

        state = document.contents.present
        title = self.tr("Write recovery job")
        self._runner.run(title, written, "write_job", state, folder, settings, device)

    @Slot(str)
    def read(self, folder: str) -> None:
        """Read what a job made; its last state becomes the present one."""
        document = self._document
        text = self.tr("read the results of a job")

        def taken(states: tuple[State, ...]) -> None:
            """Add the states that were not read before."""
            new = [one for one in states if one.id not in document.contents.states]
            for state in new:
                document.add_state(state, text)
            document.show_last_curve()
            count = counted(len(new), self.tr("{count} state"), self.tr("{count} states"))
            document.say(
                self.tr("Read {states} from {folder}.").format(states=count, folder=folder)
                if new
                else self.tr("The results in {folder} were read before.").format(folder=folder)
            )

        self._runner.run(self.tr("Read recovery job"), taken, "take_job", folder, changes=True, text=text)
