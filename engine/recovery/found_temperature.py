"""The temperature that was found for a teacher, as plain data; see `teacher_softness.py`."""

from dataclasses import dataclass

from ..errors import Message


@dataclass(frozen=True, slots=True)
class FoundTemperature:
    """What a teacher's outputs said.

    Attributes:
        temperature: To soften class logits with.
    """

    temperature: float

    @property
    def message(self) -> Message:
        """For a person."""
        template = "Temperature {temperature}, found by how sure the teacher is of the training data."
        return Message("recovery.temperature_found", template, {"temperature": f"{self.temperature:.3g}"})
