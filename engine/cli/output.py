"""What a command says: progress on standard error while it works, its result on standard output when it is done.

Models and tasks are other people's code and print; while a command works, their output goes to standard error too, on
the level of file descriptors, so that standard output holds the result and nothing else.
"""

import contextlib
import os
import re
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TextIO, TypeVar

from ..errors import Message, OpenError
from ..jobs import Job, Progress, finish

Result = TypeVar("Result")
UNWRITABLE = re.compile("[\ud800-\udfff]")
"""What stands for bytes that are no UTF-8 in the name of a file."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move a terminal's cursor, change its colours or its title, or turn the direction of writing."""

PATIENCE = 60.0
"""Seconds after which a text that stays is written again, where its line cannot be rewritten."""
SCHEMA_VERSION = 1
"""Of `output.schema.json`, which describes what `--json` prints; another one where a reader of this one would fail."""
INFEASIBLE_CODES = frozenset(
    {
        "plan.unreachable",
        "plan.kind_unreachable",
        "plan.latency_blocks",
        "plan.shape_fixed",
        "plan.shape_groups",
        "plan.shape_locked",
        "plan.shape_more",
        "plan.shape_size",
        "plan.shape_uneven",
        "uniform.none",
        "uniform.shape",
        "uniform.width",
        "loss.lowest",
        "loss.none",
    }
)
"""Codes of the errors that say that no plan reaches the goal."""


class Verdict(StrEnum):
    """What scripts can act on: whether to take the result.

    ACCEPT: All that was asked was done.
    GOAL_MISSED: There is a result, but a limit is missed, or a part is not done.
    REGRESSION: The metric fell by more than was allowed, or something is better that had to be beaten.
    INFEASIBLE: No plan reaches the goal; nothing was cut.
    """

    ACCEPT = "accept"
    GOAL_MISSED = "goal-missed"
    REGRESSION = "regression"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did.

    Attributes:
        content: The JSON object, plain data.
        text: The same for a person.
        shortfall: Why what was asked was not done, "" when it was.
        judged: The verdict where it is more than whether there is a shortfall.
    """

    content: dict[str, Any]
    text: str
    shortfall: str = ""
    judged: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether to take the result."""
        return self.judged or (Verdict.GOAL_MISSED if self.shortfall else Verdict.ACCEPT)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"schema_version": SCHEMA_VERSION, "verdict": str(self.verdict)} | self.content


def error_as_json(message: Message, text: str, details: str) -> dict[str, Any]:
    """What `--json` prints of an error: its code, and a sentence that tells how it can be mended."""
    verdict = str(Verdict.INFEASIBLE) if message.code in INFEASIBLE_CODES else None
    error = {"code": message.code, "message": text, "details": details}
    return {"schema_version": SCHEMA_VERSION, "verdict": verdict, "error": error}


@dataclass(slots=True)
class Reporter:
    """Runs jobs and shows their progress: one line that is rewritten on a terminal; elsewhere a line for each new text.

    Where a text stays for long, elsewhere too, a line each minute says how far it is.

    Attributes:
        stream: Where to.
        stays: What of the work is there once Ctrl-C has ended it, "" where nobody has told yet.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    stays: str = ""
    _text: str = ""
    _last: float = 0.0

    def finish(self, job: Job[Result]) -> Result:
        """Run a job to its end."""
        try:
            return finish(job, self._show)
        finally:
            self.clear()

    def note(self, text: str) -> None:
        """Say a sentence that stays."""
        self.clear()
        self.stream.write(printable(text) + "\n")

    def clear(self) -> None:
        """Remove the line that is rewritten."""
        if self._text and self.stream.isatty():
            self.stream.write("\r\x1b[K")
            self.stream.flush()
        self._text = ""

    def _show(self, progress: Progress) -> None:
        now, text, terminal = time.monotonic(), one_line(str(progress.message)), self.stream.isatty()
        fresh = text != self._text
        if not fresh and now - self._last < (0.1 if terminal else PATIENCE):
            return
        self._last, self._text = now, text
        share = f"  {progress.done}/{progress.total}" if progress.total else ""
        if terminal:
            width = os.get_terminal_size(self.stream.fileno()).columns
            self.stream.write(f"\r\x1b[K{(text + share)[: width - 1]}")
        else:
            self.stream.write(f"{text}{'' if fresh else share}\n")
        self.stream.flush()


def printable(text: str) -> str:
    """A text of which a terminal does nothing but show it: names of files and tensors come from anyone."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def one_line(text: str) -> str:
    """The same for a sentence, which is one line."""
    return printable(text.replace("\n", "\\n").replace("\t", " "))


def check_names(arguments: Sequence[str]) -> None:
    """Raise OpenError where an argument or the working folder is no UTF-8: projects and recipes could not name it."""
    try:
        here = os.getcwd()
    except OSError as error:
        template = "The working folder no longer exists. Change to another folder."
        raise OpenError("cli.no_folder", template, repr(error)) from error
    for text in (*arguments, here):
        if UNWRITABLE.search(text):
            template = "The name {name} is not valid UTF-8. Rename the file or folder."
            raise OpenError("cli.name", template, name=text)


@contextlib.contextmanager
def keep_standard_output() -> Generator[None]:
    """Send what is printed to standard error until the block ends."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
