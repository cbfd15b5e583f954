"""Numbers in words for command line, scripts and reports: three significant digits, units."""

import math


def thousands(number: int) -> str:
    """12345 as 12,345."""
    return f"{number:,}"


def size(number: float) -> str:
    """A count with three significant digits and its prefix: 1.82 G."""
    for limit, unit in ((1e18, " E"), (1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= limit:
            return f"{number / limit:.3g}{unit}"
    return f"{number:.0f}"


def byte_size(number: int) -> str:
    """Bytes with three significant digits: 1.82 MB."""
    text = size(number)
    return f"{text}B" if " " in text else f"{text} B"


def percent(value: float) -> str:
    """0.914 as 91.4 %."""
    return f"{100 * value:.1f} %"


def change(before: float, after: float) -> str:
    """How much less or more, with a real minus: −49.1 %; "" where nothing can be said."""
    if not before or not math.isfinite(before) or not math.isfinite(after):
        return ""
    return f"{100 * (after / before - 1):+.1f} %".replace("-", "−")


def counted(number: int, what: str) -> str:
    """1 epoch, 3 epochs."""
    return f"{thousands(number)} {what}{'' if number == 1 else 's'}"


def signed(value: float, digits: int = 1) -> str:
    """With a sign and a real minus: +1.2, −0.5; 0.0 has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")
