"""Plots as plain data in the pixels of an SVG; the template draws them. No scripts, no fonts, no network."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

WIDE, SMALL = (680, 320), (470, 240)
"""Sizes of a single plot and of one of a pair, close to those on the page: else its words would be scaled."""
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 16, 44
SERIES = 4
"""Colours of several lines in one plot."""
LINE = 15
"""Least distance between the base lines of two labels."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point.

    Attributes:
        x: Pixels.
        y: Pixels.
        kind: CSS class: what it is ("original", "state", "result", "baseline").
        low: Pixels of the lower end of its error bar.
        high: Of the upper end; the same as `low` for none.
        title: What a pointer on it shows.
        label: Its words, "" for none.
        label_x: Where they begin or end.
        label_y: Their base line.
        anchor: "start" or "end".
    """

    x: float
    y: float
    kind: str
    low: float
    high: float
    title: str
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        title: What it shows, for those who do not see it.
        x_title: What x is, with its unit.
        y_title: What y is, with its unit.
        x_ticks: (pixels, words).
        y_ticks: (pixels, words).
        lines: (CSS class, points as SVG takes them).
        levels: (pixels of y, words): lines across.
        dots: Points.
    """

    title: str
    x_title: str
    y_title: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[tuple[str, str], ...] = ()
    levels: tuple[tuple[float, str], ...] = ()
    dots: tuple[Dot, ...] = ()
    width: int = WIDE[0]
    height: int = WIDE[1]
    left: int = LEFT
    top: int = TOP

    @property
    def right(self) -> int:
        """Right end of the field."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """Lower end of the field."""
        return self.height - BOTTOM


@dataclass(frozen=True, slots=True)
class Given:
    """A point in the units of its axes: `error` up and down, `label` for those that are named."""

    x: float
    y: float
    kind: str
    title: str
    error: float = 0.0
    label: str = ""


@dataclass(slots=True)
class Axes:
    """Two ranges, widened to round numbers, and their pixels."""

    xs: Sequence[float]
    ys: Sequence[float]
    size: tuple[int, int] = WIDE
    x_ticks: list[float] = field(default_factory=list[float])
    y_ticks: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        """Choose the ticks."""
        self.x_ticks, self.y_ticks = ticks(min(self.xs), max(self.xs)), ticks(min(self.ys), max(self.ys))

    def x(self, value: float) -> float:
        """Pixels of an x."""
        low, high = self.x_ticks[0], self.x_ticks[-1]
        return round(LEFT + (value - low) / (high - low) * (self.size[0] - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Pixels of a y."""
        low, high, bottom = self.y_ticks[0], self.y_ticks[-1], self.size[1] - BOTTOM
        return round(bottom - (value - low) / (high - low) * (bottom - TOP), 1)

    def named(self) -> tuple[tuple[tuple[float, str], ...], tuple[tuple[float, str], ...]]:
        """Ticks of x and of y as (pixels, words)."""
        x = tuple((self.x(value), _words(value)) for value in self.x_ticks)
        return x, tuple((self.y(value), _words(value)) for value in self.y_ticks)


def scatter(
    title: str, x_title: str, y_title: str, points: Sequence[Given], size: tuple[int, int] = WIDE
) -> Plot | None:
    """Points with error bars and labels that do not overlap; None without a finite one."""
    points = [one for one in points if math.isfinite(one.x) and math.isfinite(one.y)]
    if not points:
        return None
    ends = [y for one in points for y in (one.y - one.error, one.y + one.error)]
    axes = Axes([one.x for one in points], ends, size)
    x_ticks, y_ticks = axes.named()
    return Plot(title, x_title, y_title, x_ticks, y_ticks, (), (), tuple(_dots(points, axes)), *size)


def curve(
    title: str,
    x_title: str,
    y_title: str,
    values: Sequence[tuple[float, float]],
    level: tuple[float, str] | None = None,
) -> Plot | None:
    """A line through points, and perhaps a level to compare it with; None where all finite points are at one place."""
    values = [one for one in values if math.isfinite(one[0]) and math.isfinite(one[1])]
    if len({x for x, _ in values}) < 2:
        return None
    ys = [y for _, y in values] + ([level[0]] if level is not None else [])
    axes = Axes([x for x, _ in values], ys, SMALL)
    x_ticks, y_ticks = axes.named()
    points = " ".join(f"{axes.x(x)},{axes.y(y)}" for x, y in values)
    levels = ((axes.y(level[0]), level[1]),) if level is not None else ()
    dots = tuple(Dot(axes.x(x), axes.y(y), "on-curve", 0, 0, "") for x, y in values) if len(values) <= 40 else ()
    return Plot(title, x_title, y_title, x_ticks, y_ticks, (("curve", points),), levels, dots, *SMALL)


def curves(
    title: str,
    x_title: str,
    y_title: str,
    values: Mapping[str, Sequence[tuple[float, float]]],
    levels: Mapping[str, float] | None = None,
) -> Plot | None:
    """Several lines with their names at their ends, each perhaps with a dashed level; None where all are points.

    Args:
        title: What it shows.
        x_title: What x is.
        y_title: What y is.
        values: Points of each line, by its name.
        levels: What a line is compared with, by its name.
    """
    finite = {name: [(x, y) for x, y in some if math.isfinite(x) and math.isfinite(y)] for name, some in values.items()}
    if len({x for some in finite.values() for x, _ in some}) < 2:
        return None
    beside = {name: y for name, y in (levels or {}).items() if math.isfinite(y)}
    xs = [x for some in finite.values() for x, _ in some]
    axes = Axes(xs, [*(y for some in finite.values() for _, y in some), *beside.values()], SMALL)
    x_ticks, y_ticks = axes.named()
    lines, ends = list[tuple[str, str]](), list[Given]()
    for place, (name, some) in enumerate(finite.items()):
        kind = f"series-{place % SERIES}"
        if name in beside:
            across = [(axes.x(x), axes.y(beside[name])) for x in (axes.x_ticks[0], axes.x_ticks[-1])]
            lines.append((f"aim {kind}", " ".join(f"{x},{y}" for x, y in across)))
        lines.append((f"curve {kind}", " ".join(f"{axes.x(x)},{axes.y(y)}" for x, y in some)))
        if some:
            ends.append(Given(*some[-1], f"on-curve {kind}", f"{name}: {_words(some[-1][1])}", label=name))
    dots = tuple(_dots(ends, axes, of_lines=True))
    return Plot(title, x_title, y_title, x_ticks, y_ticks, tuple(lines), (), dots, *SMALL)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers around a range, its ends inside: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        high, low = (low + abs(low) / 10 or 1.0), (low - abs(low) / 10)
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _dots(points: Iterable[Given], axes: Axes, of_lines: bool = False) -> Iterable[Dot]:
    """The points; labels go to the side where there is room, pushed apart from the top down.

    Labels of ends of lines go above the line where only its own side has room.
    """
    taken: list[tuple[float, float, float]] = []
    for one in sorted(points, key=lambda point: -point.y):
        x, y = axes.x(one.x), axes.y(one.y)
        low, high = axes.y(one.y - one.error), axes.y(one.y + one.error)
        length = 6.2 * len(one.label)
        anchor = "end" if x + 10 + length > axes.size[0] - 4 else "start"
        at = x - 10 if anchor == "end" else x + 10
        begin, end = (at - length, at) if anchor == "end" else (at, at + length)
        base = y - 8 if of_lines and anchor == "end" else y + 4
        while one.label and any(abs(base - other) < LINE and begin < b and a < end for other, a, b in taken):
            base += LINE
        if one.label:
            taken.append((base, begin, end))
        yield Dot(x, y, one.kind, low, high, one.title, one.label, round(at, 1), round(base, 1), anchor)


def _words(value: float) -> str:
    text = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−") if value else "0"
