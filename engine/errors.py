"""Errors and reasons: a code, its arguments and an English sentence, so that a window can translate them.

Everything the engine has to say to a person is a `Message`; what stops a job is a `SecateurError` that carries one.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar, Union

if TYPE_CHECKING:
    Argument = Any
else:  # as it is read back from JSON
    Argument = Union["Message", str, int, float, bool, None, list[Any]]
"""What a field of a sentence holds; a `Message` is a sentence within the sentence, and translated with it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for a person.

    Attributes:
        code: Stable identifier, `area.what`, for translation and tests.
        template: English sentence with `{named}` fields.
        arguments: The values of the fields.
    """

    code: str
    template: str
    arguments: Mapping[str, Argument] = field(default_factory=dict[str, Argument])

    def __str__(self) -> str:
        """The English sentence."""
        return self.template.format_map(dict(self.arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process boundary with plain arguments."""
        return Message, (self.code, self.template, dict(self.arguments))


class SecateurError(Exception):
    """What stops a job: what happened and what to do, with folded details.

    Attributes:
        message: The sentence.
        details: Further lines (a traceback, key names), may be empty.
    """

    def __init__(self, code: str, template: str, details: str = "", **arguments: Any) -> None:
        """Take the parts of the sentence; `arguments` fill the template's fields."""
        self.message = Message(code, template, arguments)
        self.details = details
        super().__init__(str(self.message))

    @classmethod
    def saying(cls, message: Message) -> Self:
        """An error of a sentence that is there already."""
        return _rebuild(cls, message.code, message.template, "", dict(message.arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process boundary without losing the code."""
        return _rebuild, (
            type(self),
            self.message.code,
            self.message.template,
            self.details,
            dict(self.message.arguments),
        )


Kind = TypeVar("Kind", bound=SecateurError)


def _rebuild(kind: type[Kind], code: str, template: str, details: str, arguments: dict[str, Any]) -> Kind:
    return kind(code, template, details, **arguments)


class OpenError(SecateurError):
    """A model, checkpoint or data set could not be opened."""


class AnalysisError(SecateurError):
    """A model could not be recorded or understood."""


class PlanError(SecateurError):
    """A plan asks for something that cannot be."""


class VerificationError(SecateurError):
    """A cut did not do what was planned; nothing was changed."""


class TaskError(SecateurError):
    """The data, loss or metric failed."""


class DataError(TaskError):
    """A file or folder of data cannot be read, or is not what it should be."""


class ExportError(SecateurError):
    """A file could not be written, or does not compute what the model computes."""


NO_NUMBERS = ("recovery.diverged", "task.not_finite")
"""Codes of a model or a training that has become useless; what it was before that is kept."""


class EngineLost(SecateurError):
    """The engine process died; the document is intact."""


def of_the_cut(error: SecateurError) -> bool:
    """Whether an error says of a cut that is tried that it is no good; any other one would have met every cut."""
    return isinstance(error, PlanError | VerificationError) or error.message.code in NO_NUMBERS


def unexpected(error: BaseException) -> SecateurError:
    """What is said of a fault of our own, where it is caught."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    template = "Something failed that Secateur did not expect: {error}. Nothing was changed; the details say where."
    return SecateurError("engine.unexpected", template, traceback.format_exc(), error=text)
