"""How a page of the manual is laid out: what Qt's Markdown leaves plain gets the spacing and colours of the theme."""

from collections.abc import Iterator

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import (
    QBrush,
    QColor,
    QImage,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFrameFormat,
    QTextLength,
    QTextTable,
)
from PySide6.QtWidgets import QTextBrowser, QTextEdit

from secateur.resources import manual_pages

from ..theme import px, tokens

LINE = 135
"""Height of a line of text in per cent."""
HEADINGS = (20, 15, 13)
"""Size of a heading's text by its level, in device-independent pixels."""
ABOVE, BELOW = (0, 22, 16), 6
"""Room above a heading by its level, and below it."""
FENCE = QTextFormat.Property.BlockCodeFence
MOST = 200
"""Places that are highlighted at most."""


def lay_out(document: QTextDocument) -> None:
    """Give every paragraph, heading, table and piece of code its look."""
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    for block in _blocks(document):
        _lay_out_block(block)
    for table in _tables(document):
        _lay_out_table(table)
    cursor.endEditBlock()


def heading_at(document: QTextDocument, anchor: str) -> QTextBlock:
    """The heading that links call so; the beginning where there is none."""
    headings = (block for block in _blocks(document) if block.blockFormat().headingLevel())
    return next((block for block in headings if manual_pages.anchor(block.text()) == anchor), document.begin())


def highlight(view: QTextBrowser, words: str) -> None:
    """Mark every place where one of the words stands, and scroll to the first if none is seen."""
    marks: list[QTextEdit.ExtraSelection] = []
    for word in words.split():
        cursor = QTextCursor(view.document())
        while len(marks) < MOST and not (cursor := view.document().find(word, cursor)).isNull():
            mark = QTextEdit.ExtraSelection()
            mark.cursor = cursor  # type: ignore[attr-defined]
            mark.format.setBackground(QColor(tokens().accent))  # type: ignore[attr-defined]
            mark.format.setForeground(QColor(tokens().on_accent))  # type: ignore[attr-defined]
            marks.append(mark)
    view.setExtraSelections(marks)


def fit_pictures(view: QTextBrowser, images: dict[str, QImage]) -> None:
    """Make pictures no wider than the page, scaled smoothly.

    Args:
        view: What shows them.
        images: Those that were read already, by name; filled.
    """
    document, ratio = view.document(), view.devicePixelRatioF()
    room = view.viewport().width() - 2 * document.documentMargin()
    for block in _blocks(document):
        for first, count, form in _fragments(block):
            if not form.isImageFormat() or room <= 0:
                continue
            name = form.toImageFormat().name()
            image = images.setdefault(name, QImage(str(manual_pages.folder() / name)))
            width = min(float(image.width()), room)
            fitted = image.scaledToWidth(round(width * ratio), Qt.TransformationMode.SmoothTransformation)
            fitted.setDevicePixelRatio(ratio)
            document.addResource(QTextDocument.ResourceType.ImageResource, view.source().resolved(QUrl(name)), fitted)
            document.addResource(QTextDocument.ResourceType.ImageResource, QUrl(name), fitted)
            shown = form.toImageFormat()
            shown.setWidth(width)
            shown.setHeight(width * image.height() / max(image.width(), 1))
            _part(block, first, count).setCharFormat(shown)


def _blocks(document: QTextDocument) -> Iterator[QTextBlock]:
    block = document.begin()
    while block.isValid():
        yield block
        block = block.next()


def _fragments(block: QTextBlock) -> list[tuple[int, int, QTextCharFormat]]:
    """Begin, length and format of each stretch of equal format."""
    found: list[tuple[int, int, QTextCharFormat]] = []
    walk = block.begin()
    while not walk.atEnd():
        fragment = walk.fragment()
        found.append((fragment.position(), fragment.length(), fragment.charFormat()))
        walk += 1
    return found


def _lay_out_block(block: QTextBlock) -> None:
    form, cursor = QTextBlockFormat(block.blockFormat()), QTextCursor(block)
    level, in_table = form.headingLevel(), cursor.currentTable() is not None
    number = min(level, len(HEADINGS)) - 1
    if level:
        form.setTopMargin(px(ABOVE[number]))
        form.setBottomMargin(px(BELOW))
    elif form.hasProperty(FENCE):
        _lay_out_code(block, form)
    elif not block.length() > 1 and not in_table:  # Qt puts one behind each table
        form.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        form.setBottomMargin(0)
    else:
        if not any(text.isImageFormat() for _, _, text in _fragments(block)):  # a picture's line is as high as it is
            form.setLineHeight(LINE, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        form.setTopMargin(0)
        form.setBottomMargin(0 if in_table else px(3 if block.textList() is not None else 9))
    cursor.setBlockFormat(form)
    for first, count, text in _fragments(block):
        look = QTextCharFormat()
        if level:
            look.setProperty(QTextFormat.Property.FontPixelSize, px(HEADINGS[number]))
            text.clearProperty(QTextFormat.Property.FontSizeAdjustment)
        elif text.fontFixedPitch() and not form.hasProperty(FENCE):
            look.setBackground(QColor(tokens().line))
        text.merge(look)
        _part(block, first, count).setCharFormat(text)


def _part(block: QTextBlock, first: int, count: int) -> QTextCursor:
    """Some characters of a block, selected."""
    cursor = QTextCursor(block)
    cursor.setPosition(first)
    cursor.setPosition(first + count, QTextCursor.MoveMode.KeepAnchor)
    return cursor


def _lay_out_code(block: QTextBlock, form: QTextBlockFormat) -> None:
    """A piece of code is one shaded area, with room above its first line and below its last."""
    form.setBackground(QColor(tokens().window))
    form.setNonBreakableLines(False)
    form.setLeftMargin(px(8))
    form.setTopMargin(px(4) if _language(block.previous()) != _language(block) else 0)
    form.setBottomMargin(px(12) if _language(block.next()) != _language(block) else 0)


def _language(block: QTextBlock) -> str:
    """Of a piece of code, "" for other text."""
    form = block.blockFormat()
    return str(form.property(QTextFormat.Property.BlockCodeLanguage)) if form.hasProperty(FENCE) else ""


def _tables(document: QTextDocument) -> Iterator[QTextTable]:
    return (frame for frame in document.rootFrame().childFrames() if isinstance(frame, QTextTable))


def _lay_out_table(table: QTextTable) -> None:
    look, form = tokens(), table.format()
    form.setBorder(1)
    form.setBorderCollapse(True)
    form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
    form.setBorderBrush(QBrush(QColor(look.line)))
    form.setCellPadding(px(5))
    form.setCellSpacing(0)
    form.setTopMargin(px(4))
    form.setBottomMargin(px(14))
    form.setWidth(QTextLength())
    table.setFormat(form)
    for column in range(table.columns()):
        cell = table.cellAt(0, column)
        shade = cell.format()
        shade.setBackground(QColor(look.window))
        cell.setFormat(shade)
