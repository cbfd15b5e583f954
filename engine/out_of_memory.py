"""Recognises out-of-memory errors: torch raises RuntimeErrors for them, and others wrap those. Loads no torch."""

import re
from collections.abc import Iterator

from .errors import SecateurError

# Of a GPU `devices.placed` speaks, which knows its name.
SIGNS = re.compile(r"can't allocate memory|not enough memory|bad[_ ]alloc", re.IGNORECASE)
ASKED = re.compile(r"tried to allocate ([\d.]+) ?(bytes|[KMGT]i?B)", re.IGNORECASE)


def lack_of_memory(error: BaseException) -> SecateurError | None:
    """The error to show where memory ran out, None for any other cause."""
    found = next((one for one in _causes(error) if isinstance(one, MemoryError) or _tells(one)), None)
    if found is None:
        return None
    template = "Out of memory. Lower the batch size or the input size, or close other programs."
    if (asked := ASKED.search(str(found))) is None:
        return SecateurError("engine.memory", template, str(found))
    template = (
        "Out of memory: another {asked} were needed. Lower the batch size or the input size, or close other programs."
    )
    return SecateurError("engine.memory_asked", template, str(found), asked=_size(*asked.groups()))


def _tells(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and SIGNS.search(str(error)) is not None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and the chain of its causes and contexts."""
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        seen.append(now)
        yield now
        now = now.__cause__ or now.__context__


def _size(number: str, unit: str) -> str:
    return f"{float(number) / 1e6:,.0f} MB" if unit == "bytes" else f"{number} {unit}"
