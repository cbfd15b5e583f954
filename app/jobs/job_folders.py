"""Recoveries on other machines: write the folder that is run there, and read what it made."""

from PySide6.QtCore import QObject, Slot

from secateur.engine.recovery.protocol import RecoverySettings
from secateur.engine.session.states import State

from ..document.document import Document
from ..document.job_state import FolderReceipt
from ..text.translate import counted
from .job_runner import JobRunner
from .written import show_written


class JobFolders(QObject):
    """What comes back is a state of the same history."""

    def __init__(self, document: Document, runner: JobRunner) -> None:
        """Work for a document."""
        super().__init__(document)
        self._document, self._runner = document, runner

    def write(self, folder: str, settings: RecoverySettings, device: str) -> None:
        """Write what recovers the current state on another machine."""
        document = self._document

        def written(result: tuple[str, tuple[str, ...]]) -> None:
            """Say where it is, and what it needs there beside itself."""
            from secateur.engine.sharing.job_folder import SLURM, START  # brings msgspec, which a start does without

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
