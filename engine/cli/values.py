"""What a person writes behind an option, as values: shares, sizes, times, shapes."""

import argparse
import re

from ..devices import check_threads
from ..errors import SecateurError
from ..sources.input_spec import InputSpec, read_input
from ..structures.types import Kind


def moved(text: str) -> tuple[str, str]:
    """OLD=NEW as two paths."""
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"{text!r} must be OLD=NEW: where a file was and where it is now")
    return old, new


def shape(text: str) -> tuple[int, ...]:
    """1x3x224x224 as numbers."""
    try:
        numbers = tuple(int(part) for part in text.lower().replace("×", "x").split("x"))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape; write it with the batch first, like 1x3x224x224")
    return numbers


def model_input(text: str) -> InputSpec:
    """1x3x224x224, or input_ids=2x16:int64, as one example input."""
    try:
        return read_input(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def share(text: str) -> float:
    """50%, 50 % or 0.5 as 0.5."""
    digits = text.strip()
    try:
        value = float(digits.rstrip("% ")) / 100 if digits.endswith("%") else float(digits)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share; write it like 50%")
    return value


def shares(text: str) -> tuple[float, ...]:
    """80%,50%,20% as 0.8, 0.5 and 0.2."""
    return tuple(share(part) for part in text.split(","))


def share_or_count(text: str) -> float | int:
    """25% as 0.25 and 8 as 8."""
    return int(text) if text.strip().isdecimal() and int(text) > 0 else share(text)


def share_or_bytes(text: str) -> float | int:
    """40% as 0.4 and 10MB as bytes."""
    return share(text) if text.strip().endswith("%") else byte_count(text)


def byte_count(text: str) -> int:
    """10MB, 10 MB or 10000000 as bytes; k, M and G are powers of 1000, KiB, MiB and GiB of 1024."""
    found = re.fullmatch(r"([0-9.]+)\s*([kmg]?)(i?)b?", text.strip().lower())
    try:
        value = float(found[1]) * (1024 if found[3] else 1000) ** " kmg".index(found[2] or " ") if found else 0.0
    except ValueError:
        value = 0.0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it like 10MB")
    return int(value)


def share_or_latency(text: str) -> float | int:
    """60% as 0.6 and 5ms as nanoseconds."""
    if text.strip().endswith("%"):
        return share(text)
    found = re.fullmatch(r"([0-9.]+)\s*(ns|us|µs|ms|s)", text.strip().lower())
    try:
        value = float(found[1]) * {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[found[2]] if found else 0.0
    except ValueError:
        value = 0.0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write it like 5ms, or as a share like 60%")
    return round(value)


def kind_multiple(text: str) -> tuple[str, int]:
    """head=2 as the kind and the number."""
    kind, _, number = text.rpartition("=")
    if kind not in [str(one) for one in Kind]:
        known = ", ".join(str(one) for one in Kind)
        raise argparse.ArgumentTypeError(f"{text!r} is not a kind of structure; write one of {known}, like head=2")
    return kind, positive(number)


def numbers(text: str) -> tuple[float, ...]:
    """0.485,0.456,0.406 as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers; write it like 0.485,0.456,0.406"
        ) from None


def positive(text: str) -> int:
    """A whole number from 1."""
    return _at_least(text, 1)


def threads(text: str) -> int:
    """A number of threads that a computation can be divided into."""
    try:
        return check_threads(positive(text))
    except SecateurError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def natural(text: str) -> int:
    """A whole number from 0."""
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)
