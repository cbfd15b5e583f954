"""Plans for a goal beside the interface: numpy only, but a large model takes longer than a frame."""

from collections.abc import Callable
from typing import Any

from secateur.engine.errors import SecateurError
from secateur.engine.planning.protocol import Planned

from ..document.contents import Contents
from ..storage.background import BackgroundTasks


class PlanSolver:
    """Searches plans, one after the other; the last request is answered last."""

    def __init__(self) -> None:
        """Nothing runs before `start`."""
        self._background = BackgroundTasks("plan solver")

    def start(
        self,
        contents: Contents,
        scores: Any,
        on_done: Callable[[Planned], None],
        on_error: Callable[[SecateurError], None],
    ) -> None:
        """Search; what the user decided by hand stays as it is.

        Args:
            contents: What to plan for, with its goal.
            scores: [S] by which structures go.
            on_done: Takes the plan, in the interface's thread.
            on_error: Takes why there is no plan.
        """
        decided = contents.by_hand | contents.locked
        analysis, wanted, table = contents.analysis, contents.wanted, contents.table
        removed = contents.removed | (contents.marked & decided)
        locked = decided & ~contents.marked
        assert analysis is not None

        def solve() -> Planned:
            from secateur.engine.planning import goal

            return goal.solve(analysis, scores, wanted, removed, locked, table)

        self._background.drop_waiting()  # what waits was asked for before the goal was changed
        self._background.run(solve, on_done, on_error)

    def flush(self) -> bool:
        """Wait for what runs; whether it came to its end."""
        return self._background.flush()

    def close(self) -> None:
        """Wait for what runs, and end."""
        self._background.close()
