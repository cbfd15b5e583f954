"""Counts floating point operations of what runs, by the formulas that records have. Loads torch."""

from typing import Any

from .operator_mode import OperatorMode
from .schema import operator


class FlopCounter(OperatorMode):
    """Context manager that counts; an operator without a formula counts for nothing.

    Attributes:
        flops: So far, two for each multiply-accumulate.
    """

    def __init__(self) -> None:
        """Count from nothing."""
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and count it."""
        named: dict[str, Any] = kwargs or {}
        result = func(*args, **named)
        count = operator(func).flops
        self.flops += 0 if count is None else int(count(*args, **named, out_val=result))
        return result
