"""Draws the program's icon for Windows (`.ico`) and macOS (`.icns`): python packaging/icons.py out.ico out.icns.

Needs PySide6 and Pillow.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PySide6.QtCore import QBuffer, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

DRAWING = Path(__file__).parent / "linux" / "org.secateur.Secateur.svg"
SIZES = (16, 20, 24, 32, 40, 48, 64, 128, 256)
"""Of the pictures in an `.ico`; an `.icns` has all that macOS asks for, up to the largest one."""
LARGEST = 1024


def drawn(size: int) -> Image.Image:
    """The icon as a square of so many pixels a side."""
    image = QImage(size, size, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(str(DRAWING)).render(painter)
    painter.end()
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return Image.open(io.BytesIO(bytes(buffer.data().data())))


def main(paths: Sequence[str]) -> None:
    """Write the files that are named."""
    for path in map(Path, paths):
        if path.suffix == ".ico":
            drawn(max(SIZES)).save(path, sizes=[(size, size) for size in SIZES])
        else:
            drawn(LARGEST).save(path)


if __name__ == "__main__":
    main(sys.argv[1:])
