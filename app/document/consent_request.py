"""A job that the engine may refuse until the user consents; `dialogs/consent.py` asks, and starts it again."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A job that consent can be missing for.

    Attributes:
        file: What it opens, for the question.
        again: Starts it again with one consent more: "trust_pickle", "trust_code" or "download".
    """

    file: str
    again: Callable[[str], None]
