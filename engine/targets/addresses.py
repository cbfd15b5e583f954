"""Addresses of machines to measure on, wherever they lie in plain data: what a stranger wrote leads to none."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import msgspec

from .protocol import TargetSpec

Plain = TypeVar("Plain")


def addresses_in(value: Any) -> list[str]:
    """The addresses of all targets in a value of frozen dataclasses, structs and tuples, each once, sorted."""
    return sorted(set(_addresses(value)))


def without_addresses(value: Plain) -> Plain:
    """The same value, whose targets lead to no other machine; itself where they do not anyway."""
    if isinstance(value, TargetSpec):
        return replace(value, address="") if value.address else value
    if type(value) is tuple:
        rows = cast("tuple[Any, ...]", value)
        found = tuple(map(without_addresses, rows))
        return cast("Plain", found if _differ(found, rows) else rows)
    before = _parts(value)
    after = {name: without_addresses(part) for name, part in before.items()}
    if not _differ(after.values(), before.values()):
        return value
    return msgspec.structs.replace(value, **after) if isinstance(value, msgspec.Struct) else replace(value, **after)  # type: ignore[type-var]


def _addresses(value: Any) -> Iterator[str]:
    if isinstance(value, TargetSpec):
        yield from filter(None, (value.address,))
    for part in cast("tuple[Any, ...]", value) if type(value) is tuple else _parts(value).values():
        yield from _addresses(part)


def _parts(value: Any) -> dict[str, Any]:
    """The fields of a dataclass or a struct; none of anything else."""
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    known = is_dataclass(value) and not isinstance(value, type)
    return {one.name: getattr(value, one.name) for one in fields(value) if one.init} if known else {}


def _differ(some: Any, others: Any) -> bool:
    return any(one is not other for one, other in zip(some, others, strict=True))
