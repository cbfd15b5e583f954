"""Describes the repairs of a cut: what was changed in which modules, and why."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from torch import nn

from ...errors import Message
from ...messages import Phrase, listed, module_named
from ..repair.candidates import ancestor_paths
from .edits import Edits
from .module_attributes import RULES

SHOWN = 3
"""Modules named in a sentence; the rest is counted."""
RETURNED = {
    "input": Message("repair.returns_input", "its input"),
    "zeros": Message("repair.returns_zeros", "zeros"),
    "nothing": Message("repair.returns_nothing", "nothing"),
    "expected": Message("repair.returns_expected", "what the surrounding code expects"),
}
"""What a stand-in returns."""
Item = TypeVar("Item")


class _Change(NamedTuple):
    """An attribute before and after: of the class `kind` at `path`."""

    kind: type
    path: str
    name: str
    old: Any
    new: Any


def explain(edits: Edits, original: nn.Module) -> tuple[Message, ...]:
    """Which repairs a cut needed and why, a sentence for all modules of a class where they are alike.

    Args:
        edits: All repairs since the original.
        original: The uncut model, which shows classes and former values.
    """
    return (
        *_explain_blocks(edits, original),
        *_explain_attributes(edits, original),
        *_explain_computation(edits, original),
        *_explain_code(edits, original),
    )


def _explain_blocks(edits: Edits, original: nn.Module) -> Iterator[Message]:
    def returned(result: Any) -> str:
        """A key of `RETURNED`; `structures.analysis.StandInSpec` says what `result` holds."""
        kind = next(iter(cast("dict[str, Any]", result)), "") if isinstance(result, dict) else ""
        if kind in ("input", "copy"):
            return "input"
        return "zeros" if kind == "zeros" else "nothing" if result is None else "expected"

    removed = {path for path, _ in edits.blocks}
    tops = [one for one in edits.blocks if removed.isdisjoint([*ancestor_paths(one[0])][1:])]
    for (kind, what), group in _group(tops, lambda one: (_class_of(original, one[0]).__name__, returned(one[1]))):
        yield Message(
            "repair.block",
            "{kind}: a module that computes nothing and returns {what} replaces {paths}.",
            {"kind": kind, "paths": _list_modules([path for path, _ in group]), "what": RETURNED[what]},
        )


def _explain_attributes(edits: Edits, original: nn.Module) -> Iterator[Message]:
    """Layers of torch, whose attributes only repeat the sizes of their weights, then all others."""
    remembered: list[_Change] = []
    others: list[_Change] = []
    for path, name, new in edits.attributes:
        old: Any = original.get_submodule(path)
        for part in name.split("."):
            old = getattr(old, part, None)
        one = _Change(_class_of(original, path), path, name, _as_list(old), _as_list(new))
        if one.old != one.new:
            (remembered if issubclass(one.kind, tuple(kind for kind, _ in RULES)) else others).append(one)
    for kind, group in _group(remembered, lambda one: one.kind.__name__):
        paths = _list_modules(list(dict.fromkeys(one.path for one in group)))
        names = ", ".join(dict.fromkeys(one.name for one in group))
        words = {"kind": kind, "names": names, "paths": paths}
        yield Message("repair.remembered", "{kind}: {names} follow the smaller weights in {paths}.", words)
    for (kind, name), group in _group(others, lambda one: (one.kind.__name__, one.name)):
        values = {(str(one.old), str(one.new)) for one in group}
        if len(values) > 1:
            each: list[Message] = []
            for one in group:
                words = {"path": module_named(one.path), "old": str(one.old), "new": str(one.new)}
                each.append(Message("repair.changed", "{path} {old} -> {new}", words))
            template = "{kind}: {name} in {paths}, because its code computes with it."
            yield Message("repair.attributes", template, {"kind": kind, "name": name, "paths": listed(each, SHOWN)})
        else:
            template = "{kind}: {name} {old} -> {new} in {paths}, because its code computes with it."
            (old, new), paths = next(iter(values)), _list_modules([one.path for one in group])
            words = {"kind": kind, "name": name, "old": old, "new": new, "paths": paths}
            yield Message("repair.attribute", template, words)


def _explain_computation(edits: Edits, original: nn.Module) -> Iterator[Message]:
    """Scaled weights, each layer once, and attention that takes its sizes from the weights."""
    layers = {name.rpartition(".")[0]: (rows, round(factor, 4)) for name, _, rows, factor, _ in edits.weights[::-1]}

    def alike(one: tuple[str, tuple[Any, float]]) -> tuple[str, float, bool]:
        return _class_of(original, one[0]).__name__, one[1][1], one[1][0] is None

    for (kind, factor, whole), group in _group(reversed(layers.items()), alike):
        some = Message("repair.all_weights", "the weights") if whole else Message("repair.some_weights", "some weights")
        yield Message(
            "repair.weights",
            "{kind}: {some} of {paths} are multiplied by {factor}, because later code computes with a number that "
            "follows the smaller size.",
            {"kind": kind, "some": some, "paths": _list_modules([path for path, _ in group]), "factor": factor},
        )

    def heads(one: tuple[str, int, int]) -> tuple[str, int, int]:
        module = original.get_submodule(one[0])
        return type(module).__name__, int(getattr(module, "num_heads", one[1])), one[1]

    for (kind, old, new), group in _group(edits.attention, heads):
        yield Message(
            "repair.attention",
            "{kind}: the forward of {paths} takes its sizes from the weights (heads {old} -> {new}), because "
            "PyTorch's own code assumes that the width is heads times head dimension.",
            {"kind": kind, "paths": _list_modules([one[0] for one in group]), "old": old, "new": new},
        )


def _explain_code(edits: Edits, original: nn.Module) -> Iterator[Message]:
    """Numbers and constants in the code of forwards, and buffers that are made anew."""
    for kind, group in _group(edits.literals, lambda one: _class_of(original, one[0])):
        places, paths = {(site, where) for _, site, _, where, _ in group}, list(dict.fromkeys(one[0] for one in group))
        library = kind.__module__.partition(".")[0]
        words = {"count": len(places), "kind": kind.__name__, "paths": _list_modules(paths), "library": library}
        yield Message(
            "repair.numbers",
            "Numbers replaced in the forward of {kind}: {count} ({paths}). The code of {library} holds sizes there "
            "that no attribute expresses.",
            words,
        )
    for kind, group in _group(edits.constants, lambda one: _class_of(original, one[0])):
        places, paths = {(one[1], one[3]) for one in group}, list(dict.fromkeys(one[0] for one in group))
        yield Message(
            "repair.constants",
            "Constants in the forward of {kind} that are cut at each use: {count} ({paths}). Register them as buffers "
            "to store them cut.",
            {"count": len(places), "kind": kind.__name__, "paths": _list_modules(paths)},
        )
    for name, group in _group(edits.slices, lambda one: one[0].rpartition(".")[2]):
        yield Message(
            "repair.buffer",
            "Buffer {name} is cut when the model is built, because no checkpoint holds it: {paths}.",
            {"name": name, "paths": _list_modules(list(dict.fromkeys(one[0] for one in group)))},
        )


def _as_list(value: Any) -> Any:
    """JSON brings tuples back as lists."""
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else value


def _class_of(model: nn.Module, path: str) -> type:
    return type(model.get_submodule(path))


def _group(items: Iterable[Item], key: Callable[[Item], Any]) -> Iterable[tuple[Any, list[Item]]]:
    """Items by their key, in the order of the first of each."""
    found: dict[Hashable, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found.items()


def _list_modules(paths: Sequence[str]) -> Phrase:
    """Module names: a, b, c and 5 more."""
    return listed(map(module_named, paths), SHOWN)
