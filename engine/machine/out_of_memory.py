"""Recognises out-of-memory errors: torch raises RuntimeErrors for them, and others wrap those. Loads no torch."""

import re
from collections.abc import Iterator

from ..errors import OutOfMemory, SecateurError

SIGNS = re.compile(
    r"can't allocate memory|not enough memory|bad[_ ]alloc"
    r"|(CUDA|HIP|XPU|MPS backend)( error:)? out of memory|(CUBLAS|CUDNN|HIPBLAS)_STATUS_ALLOC_FAILED"
    r"|UR_RESULT_ERROR_OUT_OF_(HOST|DEVICE)_MEMORY",
    re.IGNORECASE,
)
"""As torch says it of the CPU, of NVIDIA's, AMD's, Intel's and Apple's devices."""
ASKED = re.compile(r"tried to allocate ([\d.]+) ?(bytes|[KMGT]i?B)", re.IGNORECASE)


def lack_of_memory(error: BaseException) -> SecateurError | None:
    """The error to show where memory ran out, None for any other cause."""
    found = next((one for one in _causes(error) if isinstance(one, MemoryError) or _tells(one)), None)
    if found is None or isinstance(error, OutOfMemory):
        return None  # that one says itself what to do
    template = "Out of memory. Lower the batch size or the input size, or close other programs."
    if (asked := ASKED.search(str(found))) is None:
        return SecateurError("engine.memory", template, str(found))
    template = (
        "Out of memory: another {asked} were needed. Lower the batch size or the input size, or close other programs."
    )
    return SecateurError("engine.memory_asked", template, str(found), asked=_size(*asked.groups()))


def runs_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of a device, in whatever the error was wrapped since."""
    return any(isinstance(one, MemoryError) or _tells(one) for one in _causes(error))


def _tells(error: BaseException) -> bool:
    named = type(error).__name__ == "OutOfMemoryError"  # torch's own, by its name: it is not loaded here
    return isinstance(error, RuntimeError) and (named or SIGNS.search(str(error)) is not None)


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
