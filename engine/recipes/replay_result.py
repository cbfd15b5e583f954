"""What running a recipe gave, as plain data. Loads no torch; `replay.py` runs it."""

from dataclasses import dataclass

from ..errors import Message
from ..export.protocol import Exported
from ..session.states import OpenedModel, State


@dataclass(frozen=True, slots=True)
class Replay:
    """What running a recipe gave.

    Attributes:
        opened: The model.
        states: The original and the states that the steps made, in order.
        exported: Files that were written.
        missing: Structures that the recipe names and the model no longer has, "key[index]".
        notes: What differs from when the recipe was made, in words.
        complete: False when marks that a hand made could not be made again, or steps were left out.
    """

    opened: OpenedModel
    states: tuple[State, ...]
    exported: tuple[Exported, ...]
    missing: tuple[str, ...]
    notes: tuple[Message, ...]
    complete: bool = True
