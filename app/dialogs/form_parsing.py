"""What people type into forms, as data: shapes, numbers, and the same in words."""

import math

from secateur.engine.sources.protocol import InputSpec, check_inputs, read_input
from secateur.engine.text.notation import read_decimals


def shape(text: str) -> tuple[int, ...]:
    """Read 1x3x224x224 (also with commas or spaces) as numbers; raises ValueError."""
    parts = text.lower().replace("x", " ").replace("×", " ").replace(",", " ").split()
    numbers = tuple(int(part) for part in parts)
    if any(number < 1 for number in numbers):
        raise ValueError(text)
    return numbers


def model_inputs(text: str) -> tuple[InputSpec, ...]:
    """Read 1x3x224x224, or input_ids=2x16:int64 mask=2x16:int64; raises ValueError."""
    parts = text.replace(",", " ").split()
    if parts and all(part.isdecimal() for part in parts):
        return (InputSpec(shape(text)),)
    found = tuple(read_input(part) for part in parts)
    check_inputs(found)
    return found


def numbers(text: str, count: int = 0) -> tuple[float, ...]:
    """Read 0.485, 0.456, 0.406 as numbers, `count` where that is given; raises ValueError, also for infinity."""
    found = read_decimals(text, count)
    if not all(map(math.isfinite, found)):
        raise ValueError(text)
    return found


def shares(text: str) -> tuple[float, ...]:
    """Read 80 %, 50, 20 as 0.8, 0.5, 0.2; raises ValueError for none, and for what is no share of a whole."""
    found = tuple(dict.fromkeys(number / 100 for number in numbers(text.replace("%", " "))))
    if not found or not all(0 < share < 1 for share in found):
        raise ValueError(text)
    return found


def words(text: str) -> tuple[str, ...]:
    """Read logits, boxes as words."""
    return tuple(text.replace(",", " ").split())


def is_valid(read: object, text: str) -> bool:
    """Whether a reader takes a text."""
    try:
        read(text)  # type: ignore[operator]
    except ValueError:
        return False
    return True
