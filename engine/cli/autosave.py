"""What a command has made gets into a project, whatever stops the command: a signal, the data, a full disk, a kill."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from ..errors import ExportError, SecateurError
from ..jobs import Job, Progress, Result, followed, part_of
from ..session.session import Session
from ..session.state_history import is_project
from ..session.states import Request, State
from ..sharing.session_files import save_project
from .output import Reporter


def run_with_autosave(
    session: Session, folder: str | None, reporter: Reporter, job: Job[Result], asked: Request | None = None
) -> Result:
    """Run a job; each state that it makes is in the project from then on, so that a kill takes only the step at work.

    A project that cannot be written now is written at the end, or not: that will be said there. `asked` is kept in it
    where a command opens its model in the job, and could not say before what it was asked for.
    """
    before = {one.id: one for one in session.states()}

    def told(progress: Progress) -> Iterator[Progress]:
        """Save the state that was made, if one was, before its progress is told."""
        if folder and isinstance(progress.made, State) and before.get(progress.made.id) != progress.made:
            if asked is not None and (session.history.request != asked):
                session.history.ask(asked)
            with suppress(SecateurError):
                yield from part_of(
                    Progress("Saving the project"), save_project(session, folder, progress.made.id), words=False
                )
        yield progress

    return reporter.finish(followed(job, told))


@contextmanager
def save_when_stopped(session: Session, folder: str | None, reporter: Reporter) -> Generator[None]:
    """What stops a run half-way does not take with it what was cut and recovered until then."""
    try:
        yield
    except BaseException as error:
        words = ""
        if folder and len(session.states()) > 1:
            words = f"Work so far is saved in {folder}. Open it, or run the same command again to continue."
            try:
                save_result(session, folder, session.present.id, reporter)
            except SecateurError as second:  # what stopped the run is what is to be told
                words = str(second)
        elif isinstance(error, ExportError):
            _note_kept_folder(session, reporter)
        elif folder and isinstance(error, KeyboardInterrupt):
            words = f"Nothing was made yet, so nothing was saved in {folder}."
        if isinstance(error, KeyboardInterrupt):
            reporter.stays = words
        elif words:
            reporter.note(words)
        raise


def save_result(session: Session, folder: str | None, state: str, reporter: Reporter) -> str:
    """The project's folder, "" where none was asked for; where it cannot be written the session's own folder stays."""
    try:
        return reporter.finish(save_project(session, folder, state)) if folder else ""
    except SecateurError:
        _note_kept_folder(session, reporter)
        raise
    except KeyboardInterrupt:
        had = "keeps what was saved before" if is_project(str(folder)) else "holds nothing of this run"
        reporter.stays = f"Saving was stopped: {folder} {had}."
        raise


def _note_kept_folder(session: Session, reporter: Reporter) -> None:
    folder = session.location.stay()
    reporter.note(f"Work so far is kept in {folder}. Pass that folder as MODEL to continue, then delete it.")
