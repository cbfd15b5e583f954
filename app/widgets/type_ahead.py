"""Type-ahead in lists of module paths: typing "fc" reaches "blocks.3.mlp.fc1", whatever its path begins with."""

from collections.abc import Sequence

from PySide6.QtCore import QElapsedTimer
from PySide6.QtWidgets import QApplication


class TypeAhead:
    """The letters that were typed one soon after the other, and the row that they lead to."""

    def __init__(self) -> None:
        """Nothing is typed."""
        self._typed = ""
        self._clock = QElapsedTimer()

    def find(self, typed: str, paths: Sequence[str], current: int) -> int:
        """The next row whose path, or a part of it, begins with what is typed; -1 for none.

        Args:
            typed: The new letters.
            paths: Of the rows.
            current: The row to start from, -1 for none. A letter typed again goes on to the next row.
        """
        late = not self._clock.isValid() or self._clock.elapsed() > QApplication.keyboardInputInterval()
        self._typed = typed.lower() if late else self._typed + typed.lower()
        self._clock.start()
        again = len(set(self._typed)) == 1
        start = self._typed[0] if again else self._typed
        first = current + 1 if again else max(current, 0)
        for step in range(len(paths)):
            row = (first + step) % len(paths)
            if f".{start}" in f".{paths[row].lower()}":
                return row
        return -1
