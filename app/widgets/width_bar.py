"""The bar of a layer's width: pale what the original had, hatched what the plan takes, filled what stays."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter

from ..theme import Tokens, score_colour


def paint_width(
    painter: QPainter, bar: QRectF, look: Tokens, *, present: float, kept: float, score: float, fixed: bool
) -> None:
    """Paint the bar.

    Args:
        painter: Where to.
        bar: As wide as the original's outputs.
        look: Colours.
        present: Part of the bar that the current state has.
        kept: Part that the plan leaves.
        score: Mean score on the scale of the model, NaN where it is not known.
        fixed: The outputs cannot be cut.
    """
    painter.fillRect(bar, QColor(look.line))
    if fixed:
        painter.fillRect(bar, QBrush(QColor(look.muted), Qt.BrushStyle.BDiagPattern))
        return
    if present > kept:
        marked = QRectF(bar.left() + bar.width() * kept, bar.top(), bar.width() * (present - kept), bar.height())
        painter.fillRect(marked, QBrush(QColor(look.marked), Qt.BrushStyle.BDiagPattern))
        painter.fillRect(QRectF(marked.right() - 1, bar.top(), 1, bar.height()), QColor(look.marked))
    colour = QColor(*score_colour(score)) if score == score else QColor(look.muted)
    painter.fillRect(QRectF(bar.left(), bar.top(), max(2.0, bar.width() * kept), bar.height()), colour)
