"""What a command was asked to do with a project, kept in its history.

So the same command goes on where it was stopped, however that was, and a sweep goes on with the budgets and settings
that it began with. Loads no torch.
"""

from dataclasses import dataclass, field, replace
from typing import Any

OVER_SSH = "over_ssh"
"""The option that holds an address of a machine to measure on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One run of a command.

    Attributes:
        command: Its name: "prune", "sweep" or "run".
        options: What decides about its result, by the names of the command's options; plain JSON.
        state: Id of the state that it started from.
        result: Id of the state that it ended with, "" while it has not ended.
        left: Somebody else, a person in the window say, has made further states since.
        files: Where it exports to, absolute; they were free, or might be replaced, when it was asked. The same request
            replaces them unasked when it goes on.
        elsewhere: Address of the machine that somebody else's request measured on; no option, it is only told.
    """

    command: str
    options: dict[str, Any]
    state: str
    result: str = ""
    left: bool = False
    files: tuple[str, ...] = field(default=(), compare=False)
    elsewhere: str = field(default="", compare=False)

    @property
    def reach(self) -> list[str]:
        """What it leads to outside of its project: a machine, files that it may replace."""
        return [str(address) for address in (self.options.get(OVER_SSH),) if address] + list(self.files)

    @property
    def confined(self) -> "Request":
        """The same of a stranger: it leads to no machine, and replaces nothing."""
        options = {name: value for name, value in self.options.items() if name != OVER_SSH}
        return replace(self, options=options, files=(), elsewhere=str(self.options.get(OVER_SSH) or self.elsewhere))
