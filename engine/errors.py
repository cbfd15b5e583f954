"""Messages and errors: a code, an English template and its arguments, so that the window can translate them.

Everything the engine has to say to a person is a `Message`; what stops a job is a `SecateurError` that carries one.
"""

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import TYPE_CHECKING, Any, Self, TypeVar, Union

if TYPE_CHECKING:
    Argument = Any
else:  # as it is read back from JSON
    Argument = Union["Message", str, int, float, bool, None, list[Any]]
"""Value of a template's field; a nested `Message` is translated with the outer one."""


def filled(template: str, arguments: Mapping[str, Any]) -> str:
    """A template with its `{named}` fields put in; raises KeyError or ValueError where one cannot be.

    Templates come from other processes, files and machines too, so a field is a name alone: no attribute of a value and
    none of its items, and no width that fills the memory.
    """
    return _FIELDS.vformat(template, (), arguments)


class _NamedFields(Formatter):
    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        if not field_name.isidentifier():
            raise ValueError(f"{field_name[:50]} is no name of a field")
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if re.search(r"\d{3}", format_spec):
            raise ValueError(f"{format_spec[:50]} is too wide for a field")
        return super().format_field(value, format_spec)


_FIELDS = _NamedFields()


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for the user: what happened, then what to do.

    Attributes:
        code: Stable identifier, `area.what`, for translation and tests.
        template: English sentence with `{named}` fields.
        arguments: The values of the fields.
    """

    code: str
    template: str
    arguments: Mapping[str, Argument] = field(default_factory=dict[str, Argument])

    def __str__(self) -> str:
        """The English sentence; what a file holds for one is shown as it stands where its fields cannot be filled."""
        try:
            return filled(self.template, self.arguments)
        except (LookupError, ValueError, TypeError, AttributeError):
            return self.template

    def require_fields(self) -> None:
        """Raise LookupError, ValueError or TypeError where a field of it, or of a sentence in it, cannot be filled."""
        filled(self.template, self.arguments)
        for inner in self.arguments.values():
            if isinstance(inner, Message):
                inner.require_fields()

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross a process boundary with plain arguments."""
        return Message, (self.code, self.template, dict(self.arguments))


LIBRARY_WORDS = frozenset(("error", "reason"))
"""Fields of sentences that hold what a library or the system says."""
LONGEST = 300
"""Characters of it in a sentence."""


class SecateurError(Exception):
    """An error that stops a job: a message for the user, with details.

    Attributes:
        message: The sentence.
        details: Further lines (a traceback, key names), may be empty.
    """

    def __init__(self, code: str, template: str, details: str = "", **arguments: Any) -> None:
        """Create an error; `arguments` fill the template's fields.

        Of what a library said ("error", "reason") a sentence has the first line; all of it is in the details.
        """
        for name in LIBRARY_WORDS & arguments.keys():
            text = str(arguments[name])
            first = (text.strip().splitlines() or [""])[0]
            if isinstance(arguments[name], str) and (first != text or len(text) > LONGEST):
                arguments[name] = first if len(first) <= LONGEST else f"{first[:LONGEST]}\u2026"
                details = details or text
        self.message = Message(code, template, arguments)
        self.details = details
        super().__init__(filled(template, arguments))

    @classmethod
    def saying(cls, message: Message) -> Self:
        """Create an error from an existing message."""
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
    """A plan asks for something impossible."""


class VerificationError(SecateurError):
    """A cut did not do what was planned; nothing was changed."""


class TaskError(SecateurError):
    """The data, loss or metric failed."""


class DataError(TaskError):
    """A data file or folder cannot be read or has invalid content."""


class ExportError(SecateurError):
    """A file could not be written, or its outputs differ from the model's."""


NO_NUMBERS = (
    "recovery.diverged",
    "recovery.half_diverged",
    "masks.diverged",
    "task.not_finite",
    "task.boxes_not_finite",
    "task.likelihood_not_finite",
    "task.metric_not_finite",
)
"""Codes of errors that say that a model or metric became NaN or infinite; earlier results are kept."""


class OutOfMemory(SecateurError):
    """Memory ran out, of the machine or of a device, and what could be done about it was done."""


class EngineLost(SecateurError):
    """The engine process died; the document is intact."""


class WireError(SecateurError):
    """What came from the other end of the connection to the engine is no message of this version."""


def of_the_cut(error: SecateurError) -> bool:
    """Whether an error is due to one tried cut; any other error would occur with every cut."""
    return isinstance(error, PlanError | VerificationError) or error.message.code in NO_NUMBERS


def unexpected(error: BaseException) -> SecateurError:
    """Wrap an unexpected exception."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    template = "Unexpected error: {error}. Nothing was changed. Attach the details to a bug report."
    return SecateurError("engine.unexpected", template, traceback.format_exc(), error=text)
