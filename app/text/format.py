"""Numbers for people: three significant digits, units, a real minus, a space before the per cent sign."""

import math

MINUS = "\u2212"
TIMES = "\u00d7"
PLUS_MINUS = "\u00b1"

_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def three_digits(value: float) -> str:
    """Three significant digits without an exponent where possible: 0.0571, 5.71, 57.1, 571, 5,710."""
    if not math.isfinite(value):
        return "\u2013"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    size = math.floor(math.log10(abs(rounded)))
    if size < -4 or size > 6:
        digits, exponent = f"{rounded:.2e}".split("e")
        return _minus(f"{digits}e{int(exponent)}")
    return _minus(f"{rounded:,.{max(0, 2 - size)}f}")


def count(value: float) -> str:
    """A count: whole with separators below 10,000, then 25.6 M, 4.12 G."""
    return _minus(f"{round(value):,}") if abs(value) < 10_000 else scaled(value)


def scaled(value: float, unit: str = "") -> str:
    """Three digits with k, M, G or T and a unit: 49.9 MB."""
    for size, prefix in _STEPS:
        if abs(float(f"{value:.3g}")) >= size:
            return f"{three_digits(value / size)} {prefix}{unit}"
    return f"{three_digits(value)} {unit}".strip()


def size(number_of_bytes: float) -> str:
    """Bytes in decimal units: 102 MB, 830 kB."""
    return scaled(number_of_bytes, "B")


def milliseconds(value: float) -> str:
    """12.7 ms."""
    return f"{three_digits(value)} ms"


def percent(fraction: float, digits: int = 1) -> str:
    """0.874 as 87.4 %."""
    return _minus(f"{100 * fraction:.{digits}f} %")


def share(fraction: float) -> str:
    """A part of a whole, short: 27 %, 0.84 %, <0.01 %."""
    hundredths = 100 * fraction
    if hundredths == 0:
        return "0 %"
    if hundredths < 0.01:
        return "<0.01 %"
    return f"{hundredths:.0f} %" if hundredths >= 10 else f"{hundredths:#.2g}".rstrip(".") + " %"


def change(before: float, now: float) -> str:
    """How much less or more: \u221249.1 %, +3.0 %; empty when nothing can be said."""
    if before == 0 or not math.isfinite(before) or not math.isfinite(now):
        return ""
    return signed(100 * (now / before - 1), 1) + " %"


def signed(value: float, digits: int) -> str:
    """With a sign, except zero: \u22120.5, +1.2, 0.0."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else _minus(text)


def difference(value: float) -> str:
    """Three digits with a sign, except zero: +2.50, \u22120.0031."""
    return f"+{three_digits(value)}" if value > 0 else three_digits(value)


def rough(value: float) -> str:
    """One digit of something that should be next to nothing: 3e-7."""
    if value == 0 or not math.isfinite(value):
        return three_digits(value)
    digit, exponent = f"{value:.0e}".split("e")
    return f"{digit}e{int(exponent)}"


def duration(seconds: float) -> str:
    """2 min 10 s, 12 s, 1 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def about(seconds: float) -> str:
    """A time that is only estimated, without a precision that it has not: 40 s, 3 min, 2 h."""
    if seconds < 60:
        return f"{max(1, round(seconds)) if seconds < 10 else 10 * round(seconds / 10)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
