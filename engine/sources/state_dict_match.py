"""Finds the state dict in a checkpoint that fits a model, and loads it.

Checkpoints wrap their tensors ("state_dict", "model", "ema") and prefix their names ("module.", "_orig_mod.", "net.").
Rather than to guess from names, every candidate is compared with the model's own keys, and the best fit is taken.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias, cast

from torch import Tensor, nn

from ..errors import Message, OpenError
from ..messages import listed

WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""Put into names, anywhere, by torch.compile, FSDP and activation checkpointing."""
COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")
"""Bookkeeping that may be missing or too many without harm."""
SHOWN = 10
LONGEST = 1000
"""Characters of a name that may have a prefix: each part of it is tried as one."""

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Match:
    """The best state dict of a checkpoint against a model.

    Attributes:
        path: The checkpoint.
        where: Keys that lead to it ("ema", "model.state_dict"), "" for the top.
        prefix: What was stripped from the names that match.
        tensors: Tensors under the model's names.
        ignored: How many tensors stand outside the prefix.
        hits: How many of the model's names were found.
        missing: Names of the model that the checkpoint lacks.
        unexpected: Names of the checkpoint that the model lacks.
        misshapen: name: (shape in the model, shape in the checkpoint).
    """

    path: str
    where: str
    prefix: str
    tensors: dict[str, Tensor]
    ignored: int
    hits: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def fits(self) -> bool:
        """It can be loaded."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def ema(self) -> bool:
        """It is an exponential moving average of the weights."""
        return "ema" in self.where.lower().replace(".", "_").split("_")

    def class_count(self, own: int = 0) -> int | None:
        """The checkpoint's number of classes, when that first dimension is all that differs; None otherwise.

        Args:
            own: The model's number where a layer has several values for each class, as detectors have for each anchor;
                0 where it has one.
        """
        if self.missing or self.unexpected or not self.misshapen:
            return None
        if not all(a[1:] == b[1:] and a and b for a, b in self.misshapen.values()):
            return None
        counts = {Fraction(b[0] * own, a[0]) if own else Fraction(b[0]) for a, b in self.misshapen.values()}
        alike = own or len({a[0] for a, _ in self.misshapen.values()}) == 1
        found = counts.pop()
        return int(found) if alike and not counts and found.denominator == 1 else None


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of the model's parameters and buffers by their state-dict names."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}


def match(content: Any, own: Shapes, path: str) -> Match:
    """Compare every state dict in a checkpoint's content with a model's shapes.

    The one that fits best is returned; among equals averaged weights come first.
    """
    found = [_compare(where, tensors, own, path) for where, tensors in _state_dicts(content)]
    if not found:
        raise OpenError(
            "checkpoint.no_tensors",
            "{path} holds no state dict (a table of named tensors). Choose another file.",
            path=path,
        )
    return max(found, key=lambda m: (m.fits, m.hits, m.ema, -len(m.misshapen), -len(m.where)))


def require_fit(found: Match) -> None:
    """Raise OpenError with the keys and shapes where a match does not fit."""
    if not found.fits:
        raise _misfit(found)


def apply(found: Match, model: nn.Module) -> tuple[Message, ...]:
    """Load a match into the model; raises OpenError where it does not fit. Says what was taken and stripped."""
    require_fit(found)
    model.load_state_dict(found.tensors, strict=False)
    return tuple(_notes(found))


def _state_dicts(
    content: Any, where: str = "", depth: int = 0, seen: set[int] | None = None
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every table of named tensors, with the keys that lead to it; one that stands in many places counts once."""
    seen = set[int]() if seen is None else seen
    if not isinstance(content, nn.Module | Mapping) or depth > 3 or id(content) in seen:  # pyright: ignore[reportUnknownArgumentType]
        return
    seen.add(id(content))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(content, nn.Module):
        content = content.state_dict()
    named = {k: v for k, v in cast("Mapping[Any, Any]", content).items() if isinstance(k, str)}
    tensors = {key: value for key, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield where, tensors
    for key, value in named.items():
        yield from _state_dicts(value, f"{where}.{key}" if where else key, depth + 1, seen)


def _compare(where: str, tensors: dict[str, Tensor], own: Shapes, path: str) -> Match:
    plain = {_unwrapped(name): tensor for name, tensor in tensors.items()}
    own_plain = {_unwrapped(name): name for name in own}
    prefix = _prefix(plain, own_plain)
    if prefix is None:  # perhaps the model wears the prefix, not the checkpoint
        outer = _prefix(own_plain, plain) or ""
        own_plain = {name[len(outer) :]: full for name, full in own_plain.items() if name.startswith(outer)}
        prefix = ""
    inside = {name[len(prefix) :]: tensor for name, tensor in plain.items() if name.startswith(prefix)}
    known = {own_plain[name]: tensor for name, tensor in inside.items() if name in own_plain}
    missing = [name for name in own if name not in known and not name.endswith(COUNTERS)]
    unexpected = [name for name in inside if name not in own_plain and not name.endswith(COUNTERS)]
    misshapen = {n: (tuple(own[n]), tuple(t.shape)) for n, t in known.items() if tuple(own[n]) != tuple(t.shape)}
    ignored = len(plain) - len(inside)
    return Match(path, where, prefix, known, ignored, len(known), tuple(missing), tuple(unexpected), misshapen)


def _unwrapped(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _prefix(names: Mapping[str, Any], own: Mapping[str, Any]) -> str | None:
    """What stands before the own names in most of `names`, the shortest among equals; None when nothing matches."""
    votes: Counter[str] = Counter()
    for name in names:
        if len(name) > LONGEST:
            continue
        place = 0
        while place >= 0:
            if name[place:] in own:
                votes[name[:place]] += 1
            place = name.find(".", place) + 1 or -1
    return max(votes, key=lambda prefix: (votes[prefix], -len(prefix)), default=None)


def _notes(found: Match) -> Iterator[Message]:
    if found.where:
        words = {"where": found.where}
        if found.ema:
            yield Message("checkpoint.averaged", "Loaded the averaged weights {where!r} from the checkpoint.", words)
        else:
            yield Message("checkpoint.where", "Loaded {where!r} from the checkpoint.", words)
    if found.prefix:
        values = {"prefix": found.prefix, "count": found.hits}
        yield Message("checkpoint.prefix", "Removed the prefix {prefix!r} from {count} keys.", values)
    if found.ignored:
        values = {"prefix": found.prefix, "count": found.ignored}
        yield Message("checkpoint.ignored", "Ignored {count} tensors without the prefix {prefix!r}.", values)


def _misfit(found: Match) -> OpenError:
    parts = [
        message
        for message in (
            Message("misfit.shape", "tensors with another shape: {count}", {"count": len(found.misshapen)}),
            Message("misfit.missing", "missing tensors: {count}", {"count": len(found.missing)}),
            Message("misfit.unexpected", "unexpected tensors: {count}", {"count": len(found.unexpected)}),
        )
        if message.arguments["count"]
    ]
    return OpenError(
        "checkpoint.misfit",
        "{path} does not fit the model: {what}. Open the model it was trained from, with the same arguments.",
        details="\n".join(
            [*_shape_lines(found), *_name_lines("missing", found.missing), *_name_lines("unexpected", found.unexpected)]
        ),
        path=found.path,
        what=listed(parts),
    )


def _shape_lines(found: Match) -> Iterator[str]:
    for name, (model, checkpoint) in list(found.misshapen.items())[:SHOWN]:
        yield f"{name}: {list(model)} in the model, {list(checkpoint)} in the checkpoint"
    yield from _rest(len(found.misshapen))


def _name_lines(word: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names[:SHOWN]:
        yield f"{word}: {name}"
    yield from _rest(len(names))


def _rest(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"and {count - SHOWN} more"
