"""How people write values that are more than a number or a word: shares, sizes, times, shapes, lists.

A `Notation` reads and writes one sort of them. Options of settings name theirs (`options.py`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ..errors import SecateurError


@dataclass(frozen=True, slots=True)
class Notation:
    """How a value is written.

    Attributes:
        read: Gives the value of a text; raises SecateurError or ValueError with what would be right.
        write: Gives the text of a value, such that reading it gives the value again.
        example: A text, "" where any is one ("1x3x224x224").
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    example: str = ""


def read_shape(text: str) -> tuple[int, ...]:
    """1x3x224x224 as numbers."""
    try:
        numbers = tuple(int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        template = "{text!r} is not a shape. Write it with the batch first, like 1x3x224x224."
        raise SecateurError("notation.shape", template, text=text)
    return numbers


def read_size(text: str) -> tuple[int, ...]:
    """320x320 as numbers."""
    try:
        return read_shape(text)
    except SecateurError:
        template = "{text!r} is not a size. Write it without the batch, like 320x320."
        raise SecateurError("notation.size", template, text=text) from None


def read_sides(text: str) -> tuple[int, ...]:
    """224 or 224x320 as one or two numbers."""
    try:
        sides = read_shape(text)
    except SecateurError:
        sides = ()
    if not 1 <= len(sides) <= 2:
        template = "{text!r} is not the size of an image. Write one side like 224, or height and width like 224x320."
        raise SecateurError("notation.sides", template, text=text)
    return sides


def write_shape(numbers: tuple[int, ...]) -> str:
    """Numbers as 1x3x224x224."""
    return "x".join(map(str, numbers))


def read_decimal(text: str) -> float:
    """0.5 or 0,5 as a number; raises ValueError, also for 1,250, which may be more than a thousand."""
    if "," in text and ("." in text or re.search(r"[1-9],\d{3}$|[1-9]\d+,\d{3}$", text.strip())):
        raise ValueError(text)
    return float(text.replace(",", "."))


def read_decimals(text: str, count: int = 0) -> tuple[float, ...]:
    """0.485, 0.456 or 0,485 0,456 or 0,485; 0,456 as numbers; raises ValueError.

    A comma with nothing but digits around it is a decimal point where numbers are apart by other means, or where it is
    the only one and one number is asked for, or follows a zero.

    Args:
        text: What was typed.
        count: How many numbers are asked for, 0 for any number of them.
    """
    parts = re.split(r"\s*;\s*|\s*,\s+|\s+,\s*|\s+", text.strip()) if text.strip() else []
    if len(parts) == 1 and "," in parts[0]:
        first, *others = parts[0].split(",")
        alone = len(others) == 1 and "." not in parts[0] and (count == 1 or (count == 0 and first == "0"))
        parts = parts if alone else [first, *others]
    return tuple(read_decimal(part) for part in parts)


def read_share(text: str) -> float:
    """50%, 50 %, 0.5 or 0,5 as 0.5."""
    digits = text.strip()
    try:
        value = read_decimal(digits.rstrip("% ")) / 100 if digits.endswith("%") else read_decimal(digits)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise SecateurError("notation.share", "{text!r} is not a share. Write it like 50%.", text=text)
    return value


def read_shares(text: str) -> tuple[float, ...]:
    """80%,50%,20% as 0.8, 0.5 and 0.2."""
    return tuple(read_share(part) for part in text.split(","))


def read_share_or_count(text: str) -> float | int:
    """25% as 0.25 and 8 as 8."""
    if text.strip().isdecimal() and int(text) > 0:
        return int(text)
    try:
        return read_share(text)
    except SecateurError:
        template = "{text!r} is neither a whole number of at least 1 nor a share like 50%. Write one of them."
        raise SecateurError("notation.share_or_count", template, text=text) from None


def read_share_or_bytes(text: str) -> float | int:
    """40% as 0.4 and 10MB as bytes; k, M and G are powers of 1000, KiB, MiB and GiB of 1024."""
    if text.strip().endswith("%"):
        return read_share(text)
    found = re.fullmatch(r"([0-9.,]+)\s*([kmg]?)(i?)b?", text.strip().lower())
    power = " kmg".index(found[2] or " ") if found else 0
    value = _decimal(found[1]) * (1024 if found[3] else 1000) ** power if found else Decimal()
    if value < 1:
        template = "{text!r} is not a number of bytes. Write it like 10MB, or as a share like 40%."
        raise SecateurError("notation.bytes", template, text=text)
    return int(value)


def read_share_or_latency(text: str) -> float | int:
    """60% as 0.6 and 5ms as nanoseconds."""
    if text.strip().endswith("%"):
        return read_share(text)
    found = re.fullmatch(r"([0-9.,]+)\s*(ns|us|µs|ms|s)", text.strip().lower())
    try:
        value = (
            read_decimal(found[1]) * {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[found[2]] if found else 0.0
        )
    except ValueError:
        value = 0.0
    if value < 1:
        template = "{text!r} is not a time. Write it like 5ms, or as a share like 60%."
        raise SecateurError("notation.time", template, text=text)
    return round(value)


def write_share(value: float) -> str:
    """0.5 as 50%."""
    return f"{100 * value:g}%"


def write_share_or(write: Callable[[int], str]) -> Callable[[float | int], str]:
    """What writes floats as shares, and integers in their own way."""
    return lambda value: write(value) if isinstance(value, int) else write_share(value)


def read_count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        template = "{text!r} is not a whole number of at least 1. Write a whole number."
        raise SecateurError("notation.count", template, text=text)
    return int(text)


def read_amount(text: str) -> int:
    """10M as 10,000,000; k, M and G (or B) are powers of 1000."""
    found = re.fullmatch(r"([0-9.]+)\s*([kmgb]?)", text.strip().lower())
    value = _decimal(found[1]) * 1000 ** " kmg".index((found[2] or " ").replace("b", "g")) if found else Decimal()
    if value < 1 or value % 1:
        template = "{text!r} is not a whole number of at least 1. Write it like 500000, 500k or 10M."
        raise SecateurError("notation.amount", template, text=text)
    return int(value)


def write_amount(value: int) -> str:
    """10,000,000 as 10M."""
    power = next((n for n in (3, 2, 1) if value and value % 1000**n == 0), 0)
    return f"{value // 1000**power}{' kMG'[power].strip()}"


def _decimal(digits: str) -> Decimal:
    """Digits as they are written, without the rounding of binary fractions; 0 where they are no number."""
    try:
        read_decimal(digits)
        return Decimal(digits.replace(",", "."))
    except (ValueError, InvalidOperation):
        return Decimal()


def read_numbers(text: str) -> tuple[float, ...]:
    """0.485,0.456,0.406 as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        template = "{text!r} is not a list of numbers. Write it like 0.485,0.456,0.406."
        raise SecateurError("notation.numbers", template, text=text) from None


def read_moved(text: str) -> tuple[str, str]:
    """OLD=NEW as two paths."""
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        template = "{text!r} does not say where a file was and where it is now. Write it like OLD=NEW."
        raise SecateurError("notation.moved", template, text=text)
    return old, new


SHAPE = Notation(read_shape, write_shape, "1x3x224x224")
SIZE = Notation(read_size, write_shape, "320x320")
SIDES = Notation(read_sides, write_shape, "256")
SHARE = Notation(read_share, write_share, "50%")
SHARES = Notation(read_shares, lambda shares: ",".join(map(write_share, shares)), "80%,50%,20%")
SHARE_OR_COUNT = Notation(read_share_or_count, write_share_or(str), "25%")
SHARE_OR_BYTES = Notation(read_share_or_bytes, write_share_or(str), "10MB")
SHARE_OR_LATENCY = Notation(read_share_or_latency, write_share_or(lambda nanoseconds: f"{nanoseconds}ns"), "5ms")
NUMBERS = Notation(read_numbers, lambda numbers: ",".join(map(str, numbers)), "0.485,0.456,0.406")
COUNT = Notation(read_count, example="N")
AMOUNT = Notation(read_amount, write_amount, "10M")
MOVED = Notation(read_moved, "=".join, "OLD=NEW")
