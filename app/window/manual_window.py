"""The manual: contents and search at the left, a page at the right, in a window of its own.

`manual_pages` has the pages as plain data; here they are Markdown that Qt lays out. What Qt leaves plain gets
spacing and colours of the theme.
"""

from collections.abc import Iterator

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, QUrl, Slot
from PySide6.QtGui import (
    QBrush,
    QColor,
    QDesktopServices,
    QImage,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
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
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLineEdit,
    QSplitter,
    QTextBrowser,
    QTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from secateur.resources import manual_pages

from ..panels.registry import PANELS
from ..theme import px, theme, tokens
from ..widgets.buttons import button

START = "getting-started"
SIZE, CONTENTS_WIDTH = (920, 640), 250
"""In device-independent pixels at first."""
PAUSE = 120
"""Milliseconds without another size after which pictures are fitted to it."""
MOVES = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)
PLACE = Qt.ItemDataRole.UserRole
"""What an entry of the contents leads to: "page.md" or "page.md#heading"."""
NAME = "manual"
"""What the window finds its manual by."""


class PageView(QTextBrowser):
    """A page of the manual; links lead to other pages, or to the system's browser.

    Attributes:
        words: What is highlighted, "" for nothing.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        """Show nothing yet."""
        super().__init__(parent)
        self.words = ""
        self._images: dict[str, QImage] = {}
        self._fitting = QTimer(self, singleShot=True, interval=PAUSE)
        self._fitting.timeout.connect(self._fit)
        self.setAccessibleName(self.tr("Page of the manual"))
        self.setSearchPaths([str(manual_pages.folder())])
        # A scroll bar that appears would move the headings.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setOpenLinks(False)
        self.anchorClicked.connect(self.follow)
        self.document().setDocumentMargin(18)

    @Slot(QUrl)
    def follow(self, link: QUrl) -> None:
        """Go where a link leads."""
        if link.scheme() in ("http", "https"):
            QDesktopServices.openUrl(link)
        else:
            self.setSource(link)

    def doSetSource(
        self, name: QUrl, type: QTextDocument.ResourceType = QTextDocument.ResourceType.UnknownResource
    ) -> None:
        """Load a page, lay it out, and show the heading that the link names, which Qt does not find in Markdown."""
        page = QUrl(name)
        page.setFragment("")
        if not page.isEmpty() and page != self._page_url():
            super().doSetSource(page, QTextDocument.ResourceType.MarkdownResource)
            self.dress()
        anchor = name.fragment()
        block = heading_at(self.document(), anchor) if anchor else self.document().begin()
        top = self.document().documentLayout().blockBoundingRect(block).top() if anchor else 0
        self.verticalScrollBar().setValue(round(top))

    def dress(self) -> None:
        """Lay the page out in the present look."""
        lay_out(self.document())
        self._fit()
        highlight(self, self.words)

    def mark(self, words: str) -> None:
        """Highlight some words, and show the first of them below the present heading."""
        self.words = words
        highlight(self, words)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Pictures take the new width, once it stays."""
        super().resizeEvent(event)
        self._fitting.start()

    @Slot()
    def _fit(self) -> None:
        fit_pictures(self, self._images)

    def _page_url(self) -> QUrl:
        page = QUrl(self.source())
        page.setFragment("")
        return page


class Manual(QDialog):
    """The manual of a window.

    Attributes:
        search: What to look for.
        contents: Pages and their headings; while something is looked for, those that have it.
        view: The page.
        back: Goes to the page before.
        forward: Goes to the page that was left by that.
    """

    def __init__(self, window: QWidget) -> None:
        """Belong to a window."""
        super().__init__(window)
        self.setObjectName(NAME)
        self.setWindowTitle(self.tr("Manual"))
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        room = self.screen().availableSize()
        self.resize(min(px(SIZE[0]), room.width()), min(px(SIZE[1]), room.height()))
        self._pages = manual_pages.pages()
        self.search = QLineEdit(placeholderText=self.tr("Search the manual"), clearButtonEnabled=True)
        self.search.setAccessibleName(self.tr("Search the manual"))
        tree = QTreeWidget()
        tree.setAccessibleName(self.tr("Contents"))
        tree.setHeaderHidden(True)
        tree.setUniformRowHeights(True)
        tree.setProperty("role", "commands")
        tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.contents = tree
        self.view = PageView()
        self.back = button(self.tr("Back"), "small", self.tr("Go to the page before (Alt+Left)"))
        self.forward = button(self.tr("Forward"), "small", self.tr("Go to the next page (Alt+Right)"))
        left, right = QWidget(), QWidget()
        bar = QWidget()
        row = QHBoxLayout(bar)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.back)
        row.addWidget(self.forward)
        row.addStretch(1)
        for side, members in ((left, (self.search, self.contents)), (right, (bar, self.view))):
            column = QVBoxLayout(side)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(8)
            for member in members:
                column.addWidget(member)
        splitter = QSplitter()
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(left)
        splitter.addWidget(right)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([px(CONTENTS_WIDTH), px(SIZE[0] - CONTENTS_WIDTH)])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.addWidget(splitter)
        self._connect()
        self._fill("")
        self.view.backwardAvailable.connect(self.back.setEnabled)
        self.view.forwardAvailable.connect(self.forward.setEnabled)
        self.back.setEnabled(False)
        self.forward.setEnabled(False)

    def _connect(self) -> None:
        self.back.clicked.connect(self.view.backward)
        self.forward.clicked.connect(self.view.forward)
        self.search.textChanged.connect(self._search)
        self.search.returnPressed.connect(self._open_current)
        self.search.installEventFilter(self)
        self.contents.itemClicked.connect(self._open_item)
        self.contents.itemActivated.connect(self._open_item)
        self.view.sourceChanged.connect(self._select)
        theme().changed.connect(self.view.dress)
        for keys, act in (
            (QKeySequence.StandardKey.Back, self.view.backward),
            (QKeySequence.StandardKey.Forward, self.view.forward),
            (QKeySequence.StandardKey.Find, self._begin_search),
            ("Alt+Home", lambda: self.show_page(f"{manual_pages.CONTENTS}.md")),
        ):
            QShortcut(QKeySequence(keys), self).activated.connect(act)

    def show_page(self, link: str) -> None:
        """Show a page, or a heading of it: "page.md#heading"."""
        self.view.setSource(QUrl(link))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrow keys in the search move in the contents; Escape clears it before it closes the manual."""
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            if event.key() in MOVES:
                return self.contents.event(event)
            if event.key() == Qt.Key.Key_Escape and self.search.text():
                self.search.clear()
                return True
        return super().eventFilter(watched, event)

    @Slot()
    def _begin_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    @Slot(str)
    def _search(self, words: str) -> None:
        self._fill(words)
        self.view.mark(words)

    def _fill(self, words: str) -> None:
        """List pages and headings, or those that have all words."""
        self.contents.clear()
        asked = words.casefold().split()
        for page in self._pages:
            found = [one for one in page.sections if all(word in one.text.casefold() for word in asked)]
            if not found or (asked and page.name == manual_pages.CONTENTS):
                continue
            item = QTreeWidgetItem([page.title])
            item.setData(0, PLACE, f"{page.name}.md")
            for section in found:
                if section.anchor:
                    child = QTreeWidgetItem([section.title])
                    child.setData(0, PLACE, f"{page.name}.md#{section.anchor}")
                    child.setToolTip(0, section.title)
                    item.addChild(child)
            self.contents.addTopLevelItem(item)
            item.setExpanded(bool(asked))
        if not self.contents.topLevelItemCount():
            nothing = QTreeWidgetItem([self.tr("Nothing found. Try another word.")])
            nothing.setFlags(Qt.ItemFlag.NoItemFlags)
            self.contents.addTopLevelItem(nothing)
        elif asked and (first := self._first_hit()) is not None:
            self.contents.setCurrentItem(first)
        else:
            self._select(self.view.source())

    def _first_hit(self) -> QTreeWidgetItem | None:
        """The first heading that was found, or the page where its beginning was."""
        item, words = self.contents.topLevelItem(0), self.search.text().casefold().split()
        if item is None:
            return None
        page = next(one for one in self._pages if f"{one.name}.md" == item.data(0, PLACE))
        begins = all(word in page.sections[0].text.casefold() for word in words)
        return item if begins or not item.childCount() else item.child(0)

    @Slot()
    def _open_current(self) -> None:
        if (item := self.contents.currentItem()) is not None:
            self._open_item(item)

    @Slot(QTreeWidgetItem)
    def _open_item(self, item: QTreeWidgetItem, _column: int = 0) -> None:
        if link := item.data(0, PLACE):
            self.show_page(str(link))

    @Slot(QUrl)
    def _select(self, shown: QUrl) -> None:
        """The contents show which page it is; what was found stays as it is."""
        if self.search.text():
            return
        name = shown.fileName()
        for number in range(self.contents.topLevelItemCount()):
            item = self.contents.topLevelItem(number)
            if item is not None:
                here = item.data(0, PLACE) == name
                item.setExpanded(here)
                if here and self.contents.currentItem() not in (
                    item,
                    *(item.child(n) for n in range(item.childCount())),
                ):
                    self.contents.setCurrentItem(item)


def show_manual(window: QWidget, module: str = "") -> None:
    """Open the manual of a window at the page of a panel; the first page without a panel."""
    found = window.findChild(Manual, NAME, Qt.FindChildOption.FindDirectChildrenOnly)
    manual = found if isinstance(found, Manual) else Manual(window)
    manual.show_page(next((entry.page for entry in PANELS if entry.module == module), f"{START}.md"))
    manual.show()
    manual.raise_()
    manual.activateWindow()


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
    for table in (frame for frame in document.rootFrame().childFrames() if isinstance(frame, QTextTable)):
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
    cursor.endEditBlock()


def heading_at(document: QTextDocument, anchor: str) -> QTextBlock:
    """The heading that links call so; the beginning where there is none."""
    headings = (block for block in _blocks(document) if block.blockFormat().headingLevel())
    return next((block for block in headings if manual_pages.anchor(block.text()) == anchor), document.begin())


def highlight(view: QTextBrowser, words: str) -> None:
    """Highlight every place that has one of the words."""
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
        # A piece of code is one shaded area, with room above its first line and below its last.
        form.setBackground(QColor(tokens().window))
        form.setNonBreakableLines(False)
        form.setLeftMargin(px(8))
        form.setTopMargin(px(4) if _language(block.previous()) != _language(block) else 0)
        form.setBottomMargin(px(12) if _language(block.next()) != _language(block) else 0)
    elif not block.length() > 1 and not in_table:
        # Qt puts an empty block behind each table.
        form.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        form.setBottomMargin(0)
    else:
        # The line of a picture is as high as the picture.
        if not any(text.isImageFormat() for _, _, text in _fragments(block)):
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


def _language(block: QTextBlock) -> str:
    """Of a piece of code, "" for other text."""
    form = block.blockFormat()
    return str(form.property(QTextFormat.Property.BlockCodeLanguage)) if form.hasProperty(FENCE) else ""
