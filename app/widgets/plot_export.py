"""Plots as pictures and numbers: what a panel offers, how it becomes PNG, SVG or CSV, and the menu that offers it.

A plot is rendered as it is painted on the screen, by the widget itself: onto an image, or onto a generator of vectors.
"""

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QByteArray, QCoreApplication, QIODevice, QObject, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QAction, QColor, QGuiApplication, QImage, QPainter
from PySide6.QtWidgets import QMenu, QWidget

from ..theme import tokens

CONTEXT = "Drawing"
SHARP = 2.0
"""Pixels of a picture for one of the screen's, so that it can be printed."""
LONGEST = 16_000
"""Height of an image at most, in its own pixels."""
FORMATS = {"png": ".png", "svg": ".svg", "csv": ".csv"}


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a plot.

    Attributes:
        names: Of the columns, as in the file: the same in every language.
        columns: As many, of equal lengths.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Any] | NDArray[Any], ...]

    def text(self) -> str:
        """As comma-separated values, a line for each row below the names; nothing for what is unknown."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.names)
        for row in zip(*self.columns, strict=True):
            # As Python writes numbers.
            values = [value.item() if hasattr(value, "item") else value for value in row]
            writer.writerow(["" if isinstance(value, float) and value != value else value for value in values])
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class Drawing:
    """A plot that can be taken along.

    Attributes:
        name: Of its file, without a suffix.
        title: For a person.
        panel: Module of the panel that shows it.
        shown: There is something to see.
        widget: What is painted: the plot, or a copy that has all of its rows.
        table: Its numbers.
    """

    name: str
    title: str
    panel: str
    shown: Callable[[], bool]
    widget: Callable[[], QWidget]
    table: Callable[[], Table]

    def image(self, scale: float = SHARP) -> QImage:
        """The picture, on the ground of a panel."""
        widget = self.widget()
        size = _fit(widget)
        scale = min(scale, LONGEST / max(size.height(), 1))
        made = QImage(size * scale, QImage.Format.Format_ARGB32_Premultiplied)
        made.setDevicePixelRatio(scale)
        made.fill(QColor(tokens().panel))
        painter = QPainter(made)
        _paint(widget, painter)
        painter.end()
        return made

    def svg(self) -> bytes:
        """The plot as vectors."""
        from PySide6.QtSvg import QSvgGenerator

        widget = self.widget()
        size = _fit(widget)
        content, buffer = _buffer()
        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(size)
        generator.setViewBox(QRect(QPoint(0, 0), size))
        generator.setTitle(self.title)
        painter = QPainter(generator)
        painter.fillRect(QRect(QPoint(0, 0), size), QColor(tokens().panel))
        _paint(widget, painter)
        painter.end()
        buffer.close()
        return bytes(content.data())

    def content(self, format: str) -> Callable[[], bytes]:
        """The file of a format ("png", "svg", "csv"): painted now, put together in any thread."""
        if format == "csv":
            table = self.table()
            return lambda: table.text().encode()
        if format == "png":
            image = self.image()

            def encode() -> bytes:
                content, buffer = _buffer()
                image.save(buffer, "PNG")  # type: ignore[call-overload]
                buffer.close()
                return bytes(content.data())

            return encode
        made = self.svg()
        return lambda: made

    def copy(self, numbers: bool = False) -> None:
        """Put the picture, or its numbers as text, on the clipboard."""
        clipboard = QGuiApplication.clipboard()
        if numbers:
            clipboard.setText(self.table().text())
        else:
            clipboard.setImage(self.image())


def offer(widget: QWidget, drawing: Drawing, save: Callable[[Drawing], None]) -> None:
    """Offer a plot in the context menu of its widget (right button, or the menu key); `save` asks where to."""
    widget.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)

    def show(where: QPoint) -> None:
        menu = QMenu(widget)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addActions(actions(drawing, menu, save))
        menu.popup(widget.mapToGlobal(where))

    widget.customContextMenuRequested.connect(show)


def actions(drawing: Drawing, parent: QObject, save: Callable[[Drawing], None]) -> list[QAction]:
    """Copy and save, as entries of a menu; `save` asks where to."""
    entries = (
        (_say("Copy image"), drawing.copy),
        (_say("Copy data"), lambda: drawing.copy(numbers=True)),
        (_say("Save plot..."), lambda: save(drawing)),
    )
    made: list[QAction] = []
    for text, act in entries:
        action = QAction(text, parent)
        action.setEnabled(drawing.shown())
        action.triggered.connect(lambda _checked=False, act=act: act())
        made.append(action)
    return made


def _say(text: str) -> str:
    return QCoreApplication.translate(CONTEXT, text)


def _fit(widget: QWidget) -> QSize:
    """The size of a widget; one that was never shown gets what it asks for."""
    widget.ensurePolished()
    if not widget.testAttribute(Qt.WidgetAttribute.WA_Resized) and not widget.isVisible():
        widget.resize(widget.sizeHint())
    return widget.size()


def _paint(widget: QWidget, painter: QPainter) -> None:
    """Paint a widget as such (the `render` of a graphics view is another), and its plots as lines, not as pixels."""
    with ExitStack() as stack:
        for each in (widget, *widget.findChildren(QWidget)):
            if (in_vectors := getattr(each, "in_vectors", None)) is not None:
                stack.enter_context(in_vectors())
        QWidget.render(widget, painter, QPoint(0, 0), renderFlags=QWidget.RenderFlag.DrawChildren)


def _buffer() -> tuple[QByteArray, QBuffer]:
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    return content, buffer
