"""How the rows of the Layers tab are drawn: names, widths, shares, and the lines of ties at the left."""

from dataclasses import dataclass

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen

from ...theme import Tokens, px, score_colours, sizes, tokens

LANE = 7
"""Between two lines of ties, in device-independent pixels."""
PAST = 12
"""Room beside the lines of ties."""
VERTICAL = Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each column lies, (left, width) in device-independent pixels; a width of 0 leaves it out."""

    name: tuple[float, float]
    width: tuple[float, float]
    count: tuple[float, float]
    score: tuple[float, float]
    macs: tuple[float, float]
    time: tuple[float, float]
    parameters: tuple[float, float]
    lost: tuple[float, float]


def columns(room: float, lanes: int, measured: bool, timed: bool = False) -> Columns:
    """The columns of a table so wide, beside so many lanes of ties: what matters least goes where it is narrow.

    Args:
        room: Width in device-independent pixels.
        lanes: Of ties.
        measured: There is a sensitivity to show.
        timed: There are times to show.
    """
    wide = room / px(1000) * 1000  # in lengths that fit text of the first size
    time = px(76) if timed and wide >= 400 else 0.0
    macs, parameters = px(70), px(76) if wide >= 680 else 0.0
    lost = px(78) if wide >= 480 and measured else 0.0
    count, score = px(86) if wide >= 420 else px(72), px(60) if wide >= 540 else 0.0
    gutter, name = float(lanes * LANE + PAST), min(px(260.0), max(px(150.0), 0.26 * room))
    width = max(60.0, room - gutter - name - count - score - macs - time - parameters - lost - 16)
    left, places = gutter, list[tuple[float, float]]()
    for size in (name, width, count, score, macs, time, parameters, lost):
        places.append((left, size))
        left += size
    return Columns(*places)


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is drawn.

    Attributes:
        path: Module path.
        detail: A few words.
        width: Original outputs as a part of the widest layer's, 0..1.
        present: Outputs of the current state, the same way.
        kept: Outputs that the plan leaves, the same way.
        counts: Kept of total, or that it is fixed, in words.
        fixed: Its outputs cannot be cut.
        fraction: Mean score on the scale, NaN unknown.
        score: The same in words.
        macs: Share of MACs in words, and 0..1.
        time: Share of the time on the target in words, and 0..1; "" unknown.
        flat: Removal buys no time there.
        parameters: Share of parameters in words, and 0..1.
        lost: What half of it costs in words, and 0..1 of the worst; "" unknown.
    """

    path: str
    detail: str
    width: float
    present: float
    kept: float
    counts: str
    fixed: bool
    fraction: float
    score: str
    macs: tuple[str, float]
    parameters: tuple[str, float]
    lost: tuple[str, float]
    time: tuple[str, float] = ("", 0.0)
    flat: bool = False


NOTHING = Row("", "", 0.0, 0.0, 0.0, "", True, float("nan"), "", ("", 0.0), ("", 0.0), ("", 0.0))
"""Of a table without rows."""


def header(painter: QPainter, area: QRectF, places: Columns, titles: tuple[str, ...]) -> None:
    """Titles of the columns, and the hairline under them."""
    look = tokens()
    _small(painter)
    painter.fillRect(area, QColor(look.panel))
    painter.setPen(QColor(look.muted))
    shown = (places.name, places.width, places.score, places.macs, places.time, places.parameters, places.lost)
    for (left, width), title in zip(shown, titles, strict=True):
        if width:
            flags = VERTICAL | (Qt.AlignmentFlag.AlignLeft)
            painter.drawText(QRectF(left + 4, area.top(), width - 8, area.height()), flags, title)
    painter.setPen(QPen(QColor(look.line), 1))
    painter.drawLine(QLineF(area.left(), area.bottom() - 0.5, area.right(), area.bottom() - 0.5))


def row(painter: QPainter, area: QRectF, places: Columns, one: Row, current: bool, focused: bool, hover: bool) -> None:
    """One layer."""
    look = tokens()
    if current or hover:
        painter.fillRect(area, QColor(look.selection if current else look.hover))
    if current and focused:
        painter.setPen(QPen(QColor(look.accent), 1))
        painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
    _name(painter, _cell(area, places.name), one, look)
    _width(painter, _cell(area, places.width), one, look)
    painter.setPen(QColor(look.muted if one.fixed else look.text))
    painter.drawText(_cell(area, places.count), VERTICAL | Qt.AlignmentFlag.AlignLeft, one.counts)
    if places.score[1]:
        painter.setPen(QColor(look.muted))
        painter.drawText(_cell(area, places.score), VERTICAL | Qt.AlignmentFlag.AlignLeft, one.score)
    for place, (text, part), colour in (
        (places.macs, one.macs, look.muted),
        (places.time, one.time, look.marked if one.flat else look.muted),
        (places.parameters, one.parameters, look.muted),
        (places.lost, one.lost, look.marked),
    ):
        if place[1] and text:
            _share(painter, _cell(area, place), text, part, colour, look)
    if one.flat and places.time[1]:
        no_gain(painter, _cell(area, places.time), look)


def no_gain(painter: QPainter, area: QRectF, look: Tokens) -> None:
    """The mark of a layer in which removal buys no time: a bar, as on a scale that stands still."""
    painter.setPen(QPen(QColor(look.marked), 2))
    y, right = area.center().y() - 2, area.right() - 3
    painter.drawLine(QLineF(right - 8, y - 2, right, y - 2))
    painter.drawLine(QLineF(right - 8, y + 2, right, y + 2))


def tie(
    painter: QPainter,
    right: float,
    lane: int,
    ends: tuple[float, float],
    stubs: list[float],
    joined: bool,
    selected: bool,
) -> None:
    """A line down the gutter left of `right`, with a stub to each layer; dashed where layers are concatenated."""
    look = tokens()
    pen = QPen(QColor(look.accent if selected else look.muted), 2.0 if selected else 1.0)
    if joined:
        pen.setStyle(Qt.PenStyle.DashLine)
    painter.setPen(pen)
    x = right - 10 - lane * LANE
    painter.drawLine(QLineF(x, ends[0], x, ends[1]))
    pen.setStyle(Qt.PenStyle.SolidLine)
    painter.setPen(pen)
    for y in stubs:
        painter.drawLine(QLineF(x, y, right - 4, y))
    if selected:
        painter.setBrush(QColor(look.accent))
        for y in stubs:
            painter.drawEllipse(QPointF(x, y), 2.5, 2.5)


def _cell(area: QRectF, place: tuple[float, float]) -> QRectF:
    return QRectF(area.left() + place[0] + 4, area.top(), max(0.0, place[1] - 8), area.height())


def _small(painter: QPainter) -> None:
    font = painter.font()
    font.setPixelSize(sizes().caption)
    painter.setFont(font)


def _name(painter: QPainter, area: QRectF, one: Row, look: Tokens) -> None:
    """The path, what comes before its last part muted; shortened from the left, because its end tells layers apart."""
    measure = painter.fontMetrics()
    shown = measure.elidedText(one.path, Qt.TextElideMode.ElideLeft, int(area.width()))
    head, dot, tail = shown.rpartition(".")
    painter.setPen(QColor(look.muted))
    painter.drawText(area, VERTICAL | Qt.AlignmentFlag.AlignLeft, head + dot)
    rest = area.adjusted(measure.horizontalAdvance(head + dot), 0, 0, 0)
    painter.setPen(QColor(look.text))
    painter.drawText(rest, VERTICAL | Qt.AlignmentFlag.AlignLeft, tail)
    used = measure.horizontalAdvance(tail) + 8
    if one.detail and used + measure.horizontalAdvance(one.detail) <= rest.width():
        painter.setPen(QColor(look.muted))
        painter.drawText(rest.adjusted(used, 0, 0, 0), VERTICAL | Qt.AlignmentFlag.AlignLeft, one.detail)


def _width(painter: QPainter, area: QRectF, one: Row, look: Tokens) -> None:
    """Pale what the original had, hatched what the plan takes, filled what stays in the colour of its score."""
    bar = QRectF(area.left(), area.center().y() - 5, max(3.0, area.width() * one.width), 10)
    painter.fillRect(bar, QColor(look.line))
    if one.fixed:
        painter.fillRect(bar, QBrush(QColor(look.muted), Qt.BrushStyle.BDiagPattern))
        return
    if one.present > one.kept:
        marked = QRectF(bar.left() + area.width() * one.kept, bar.top(), area.width() * (one.present - one.kept), 10)
        painter.fillRect(marked, QBrush(QColor(look.marked), Qt.BrushStyle.BDiagPattern))
        painter.fillRect(QRectF(marked.right() - 1, bar.top(), 1, 10), QColor(look.marked))
    known = one.fraction == one.fraction
    colour = QColor(*map(int, score_colours([one.fraction])[0])) if known else QColor(look.muted)
    painter.fillRect(QRectF(bar.left(), bar.top(), max(2.0, area.width() * one.kept), 10), colour)


def _share(painter: QPainter, area: QRectF, text: str, part: float, colour: str, look: Tokens) -> None:
    """A small bar under its number."""
    painter.setPen(QColor(look.text))
    painter.drawText(area.adjusted(0, 0, 0, -4), VERTICAL | Qt.AlignmentFlag.AlignLeft, text)
    track = QRectF(area.left(), area.bottom() - 5, area.width(), 2)
    painter.fillRect(track, QColor(look.line))
    painter.fillRect(QRectF(track.left(), track.top(), track.width() * min(max(part, 0.0), 1.0), 2), QColor(colour))
