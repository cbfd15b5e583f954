"""The pages of the window: one for each step of the work, with its own arrangement of the same panels; a table."""

from dataclasses import dataclass

MODEL, INSPECTOR, WORK = "model", "inspector", "work"
"""Docks: the tree at the left, the inspector at the right, and the tabs below the middle."""


@dataclass(frozen=True, slots=True)
class Page:
    """How a page is arranged at first.

    Attributes:
        name: What it is remembered by, and what the step of the strip and the command that lead to it are called.
        middle: Panels among the tabs in the middle, the first one in front.
        bottom: Panels among the tabs below it.
        docks: Docks that are shown.
        height: Of the tabs below the middle, in pixels at the first size of text.
    """

    name: str
    middle: tuple[str, ...]
    bottom: tuple[str, ...]
    docks: tuple[str, ...]
    height: int = 240

    def holds(self, module: str) -> bool:
        """Whether a panel is among its tabs."""
        return module in self.middle or module in self.bottom


ALL = "all"
"""The page with everything on one screen."""
PAGES = {
    page.name: page
    for page in (
        Page("look", ("graph", "heads", "samples"), ("log", "jobs"), (MODEL, INSPECTOR)),
        Page("plan", ("tradeoff", "sensitivity", "heads"), ("layers", "gates", "jobs"), (MODEL, INSPECTOR, WORK), 280),
        Page("recover", ("recovery", "gates"), ("log", "jobs"), (WORK,), 200),
        Page("judge", ("changes", "tradeoff", "compare"), ("history", "samples"), (WORK,), 200),
        Page("export", ("destinations", "recipe"), ("history", "log"), (WORK,), 200),
        Page(
            ALL,
            ("tradeoff", "layers", "graph", "heads", "sensitivity", "compare", "changes", "destinations"),
            ("recovery", "gates", "samples", "jobs", "history", "recipe", "log"),
            (MODEL, INSPECTOR, WORK),
        ),
    )
}
"""By name, in the order of the work; a panel that is on several pages is looked for in this order."""
