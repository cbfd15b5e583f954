"""Consent: what a job may not do unless the user says so, asked when the engine refuses it, then the job runs again.

Some checkpoints run code when they are loaded; recipes, projects and exports made elsewhere name Python files; a model
may want to fetch weights from the network.
"""

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from secateur.engine.errors import SecateurError

from ..document.job_state import CONSENTS, ConsentRequest
from ..text.translate import QT_TRANSLATE_NOOP, sentence
from .form import FormDialog
from .window_api import WindowApi

CONTEXT = "Consent"
RUNS_CODE = QT_TRANSLATE_NOOP(CONTEXT, "Run code from this source?")
RUNS_ANY_CODE = QT_TRANSLATE_NOOP(
    CONTEXT, "{file} can run any code when you open it. Open it only if you trust its source."
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked when the engine refuses something.

    Attributes:
        title: Of the dialog.
        warning: What consent means, with {file}.
        verb: On the button.
    """

    title: str
    warning: str
    verb: str


TRUST_FILE = Question(RUNS_CODE, RUNS_ANY_CODE, QT_TRANSLATE_NOOP(CONTEXT, "Trust this file and open"))
TRUST_CODE = Question(RUNS_CODE, RUNS_ANY_CODE, QT_TRANSLATE_NOOP(CONTEXT, "Trust this code and open"))
QUESTIONS = {
    "checkpoint.pickle": TRUST_FILE,
    "program.pickle": TRUST_FILE,
    "source.code": TRUST_CODE,
    "source.changed_code": TRUST_CODE,
    "source.machine": Question(
        title=QT_TRANSLATE_NOOP(CONTEXT, "Measure on another machine?"),
        warning=QT_TRANSLATE_NOOP(CONTEXT, "{file} names that machine. Python runs there with your login."),
        verb=QT_TRANSLATE_NOOP(CONTEXT, "Trust this recipe and measure there"),
    ),
    "source.download": Question(
        title=QT_TRANSLATE_NOOP(CONTEXT, "Download weights?"),
        warning=QT_TRANSLATE_NOOP(CONTEXT, "Opening {file} downloads files from the network."),
        verb=QT_TRANSLATE_NOOP(CONTEXT, "Download and open"),
    ),
    "source.pretrained": Question(
        title=QT_TRANSLATE_NOOP(CONTEXT, "Download pretrained weights?"),
        warning=QT_TRANSLATE_NOOP(CONTEXT, "Next time {file} opens with them from there, without a question."),
        verb=QT_TRANSLATE_NOOP(CONTEXT, "Download and open"),
    ),
    "source.hf_download": Question(
        title=QT_TRANSLATE_NOOP(CONTEXT, "Download the model?"),
        warning=QT_TRANSLATE_NOOP(CONTEXT, "Opening {file} downloads files from huggingface.co into its cache."),
        verb=QT_TRANSLATE_NOOP(CONTEXT, "Download and open"),
    ),
}
"""Code of a refusal -> the question."""


class ConsentDialog(FormDialog):
    """The dialog; the safe answer has the focus."""

    def __init__(self, window: WindowApi, error: SecateurError, job: ConsentRequest) -> None:
        """Ask in a window whether a job may do what the engine refused."""
        question, say = QUESTIONS[error.message.code], QCoreApplication.translate
        super().__init__(
            window.as_widget(), say(CONTEXT, question.title), sentence(error.message), say(CONTEXT, question.verb)
        )
        self.missing.setText(say(CONTEXT, question.warning).format(file=job.file))
        self.prefer_cancel()
        self._job, self._code = job, error.message.code

    def act(self) -> None:
        """Run the job again, with the consent."""
        self._job.again(CONSENTS[self._code])


def ask(window: WindowApi, error: SecateurError, job: ConsentRequest | None) -> bool:
    """Open the dialog over a window; False where consent would not help."""
    if job is None or error.message.code not in QUESTIONS:
        return False
    ConsentDialog(window, error, job).open()
    return True
