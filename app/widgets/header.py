"""Headings of views that elide where their column is narrow, and then tell the whole title."""

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QHeaderView, QStyle, QStyleOptionHeader

from .elide import tell_whole


class _Teller(QObject):
    """Tells titles that do not fit; a child of the header."""

    def __init__(self, header: QHeaderView) -> None:
        super().__init__(header)
        header.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Answer a mouse at rest."""
        header = self.parent()
        if not isinstance(event, QHelpEvent) or not isinstance(header, QHeaderView):
            return False
        section = header.logicalIndexAt(event.pos())
        own = header.model().headerData(section, header.orientation(), Qt.ItemDataRole.ToolTipRole)
        return not own and tell_whole(event, header, _hidden(header, section))


def elide_titles(header: QHeaderView) -> None:
    """Have a header elide its titles; where a column has a tooltip of its own, that is shown."""
    header.setTextElideMode(Qt.TextElideMode.ElideRight)
    _Teller(header)


def _hidden(header: QHeaderView, section: int) -> str:
    """A column's title where it does not fit; "" where it does."""
    if section < 0:
        return ""
    title = str(header.model().headerData(section, header.orientation()) or "")
    option = QStyleOptionHeader()
    header.initStyleOption(option)
    option.rect.setWidth(header.sectionSize(section))
    room = header.style().subElementRect(QStyle.SubElement.SE_HeaderLabel, option, header).width()
    return title if header.fontMetrics().horizontalAdvance(title) > room else ""
