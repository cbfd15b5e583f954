"""A job that the engine may refuse until the user consents; `dialogs/consent.py` asks, and starts it again."""

from collections.abc import Callable
from dataclasses import dataclass

from secateur.engine.errors import SecateurError

CONSENTS = {
    "checkpoint.pickle": "trust_pickle",
    "program.pickle": "trust_pickle",
    "source.code": "trust_code",
    "source.changed_code": "trust_code",
    "source.machine": "trust_code",
    "source.download": "download",
    "source.pretrained": "download",
    "source.hf_download": "download",
}
"""Code of a refusal -> the argument of the job that allows it."""
MOVED = "project.moved"
"""Code of what is asked about a project whose files are elsewhere now."""


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A job that consent can be missing for.

    Attributes:
        file: What it opens, for the question.
        again: Starts it again with one consent more: "trust_pickle", "trust_code" or "download".
    """

    file: str
    again: Callable[[str], None]


def is_question(error: SecateurError, request: ConsentRequest | None) -> bool:
    """What a job ended with is asked about, not told as an error."""
    return error.message.code == MOVED or (request is not None and error.message.code in CONSENTS)
