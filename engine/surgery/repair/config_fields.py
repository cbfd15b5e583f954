"""What a configuration of transformers says about the sizes of a model, found by building it on trial.

Each whole number of a configuration is changed in turn and the model is built on the meta device, where tensors have
shapes alone. What changes shows which dimensions a field decides (`FieldEffect`), and which lists of layers it counts.
"""

import copy
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, cast

import torch
from torch import nn

Path: TypeAlias = tuple[str | int, ...]
"""Keys of a field in a configuration's dictionary: ("text_config", "hidden_size"), ("depths", 0)."""
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Dimension: TypeAlias = tuple[str, int]
"""A tensor's name and one of its dimensions."""
NO_SIZE = re.compile(r"(token_ids?|token_index|_version|^id|torch_dtype)$|^(id2label|label2id|architectures)$")
"""Fields that name tokens, classes or versions."""
UNSAID = ("head_dim",)
"""Fields that classes read although their configuration does not list them."""
TRIED = 400
"""Trial builds of one search for a configuration."""


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """What one number of a configuration decides.

    Attributes:
        path: The field.
        value: What it is.
        other: What it was changed to.
        changed: Dimensions of other sizes then, with these.
        layers: Paths of lists that get more or fewer modules with it.
    """

    path: Path
    value: int
    other: int
    changed: Mapping[Dimension, int]
    layers: tuple[str, ...] = ()


class ConfigFields:
    """A class of transformers with a configuration, and what its numbers decide.

    Attributes:
        kind: The model's class.
        document: The configuration as plain data; sizes that follow from others are written out.
        shapes: Of the state dict and of other buffers that it builds.
        accepted: Digest of other shapes -> whether a configuration builds them: each answer takes a few models.
    """

    def __init__(self, model: Any) -> None:
        """Look at the class and configuration of a live model, which is left as it is."""
        self.kind: Any = type(model)
        self._config_class: Any = type(model.config)
        # The library writes infinity, which JSON has not, as {"__float__": "Infinity"}.
        self.document = json.loads(
            _written(model.config),
            object_hook=lambda part: float(part["__float__"]) if part.keys() == {"__float__"} else part,
        )
        self.shapes = self.build_shapes(self.document) or {}
        self.accepted: dict[bytes, bool] = {}
        empty = [path for path, value in _leaves(self.document) if value is None]
        for path in (*empty, *((name,) for name in UNSAID if name not in self.document)):
            self._write_out(path)

    def config(self, document: Mapping[str, Any]) -> Any:
        """The configuration of a document, as it is read from a folder; raises whatever its class refuses it with."""
        made = self._config_class.from_dict(copy.deepcopy(dict(document)))
        made._attn_implementation = "eager"
        return made

    def build_shapes(self, document: Mapping[str, Any], checked: bool = True) -> Shapes | None:
        """Shapes of the state dict and of other buffers that a document builds; None where the class refuses it."""
        model = self.build(document, checked)
        return None if model is None else shapes_of(model)

    def build(self, document: Mapping[str, Any], checked: bool = True) -> nn.Module | None:
        """The model that a document builds, on the meta device; None where the class refuses it.

        Args:
            document: The configuration.
            checked: As read from a folder. Else numbers are put into the original's configuration, whose class may
                accept only several at once (Mamba 2: heads and the factor by which the width grows).
        """
        try:
            config = self.config(document if checked else self.document)
            for path, value in () if checked else numbers(document):
                around = _parts(config)
                for place in path[:-1]:
                    around = _parts(around[place])
                around[path[-1]] = value
            with torch.device("meta"):
                return self.kind(config)
        except Exception:  # whatever the class checks, or fails at
            return None

    @cached_property
    def effects(self) -> tuple[FieldEffect, ...]:
        """What each number decides, of those that decide anything."""
        found = [self._find_effect(path, value) for path, value in numbers(self.document)]
        return tuple(one for one in found if one is not None and (one.changed or one.layers))

    @cached_property
    def deciding_fields(self) -> dict[Dimension, dict[Path, int]]:
        """For each dimension the fields that decide it, with its size when that field alone was changed."""
        found: dict[Dimension, dict[Path, int]] = {}
        for one in self.effects:
            for dimension, size in one.changed.items():
                found.setdefault(dimension, {})[one.path] = size
        return found

    def solutions(self, document: Mapping[str, Any], target: Shapes) -> Iterator[dict[str, Any]]:
        """Documents that build exactly these shapes, those with other counts before those with other widths of heads.

        Args:
            document: Where to start, with the number of layers that there are in the target.
            target: Shapes of the state dict and of other buffers.
        """
        left = itertools.count(TRIED, -1)
        yield from self._solve(dict(document), target, frozenset(), left)

    def _solve(
        self, document: dict[str, Any], target: Shapes, done: frozenset[Path], left: Iterator[int]
    ) -> Iterator[dict[str, Any]]:
        shapes = self.build_shapes(document) or self.build_shapes(document, checked=False) if next(left) > 0 else None
        if (shapes is None or shapes.keys() != target.keys()) and next(left) > 0 and done:
            # A class may refuse what is half changed, or build other modules for it.
            shapes = self._estimate_shapes(document)
        if shapes is None or shapes.keys() != target.keys():
            return
        wrong = [(n, d) for n in shapes for d, size in enumerate(shapes[n]) if size != target[n][d]]
        if not wrong:
            if self.build_shapes(document) == target:
                yield document
            return
        for path, value in self._propose(document, shapes, target, wrong, done):
            yield from self._solve(with_value(document, path, value), target, done | {path}, left)

    def _estimate_shapes(self, document: Mapping[str, Any]) -> Shapes | None:
        """Shapes by the effects of fields, where the class does not build them."""
        lists = {path for one in self.effects for path in one.layers if at(document, one.path) != one.value}
        most = {path: next(at(document, one.path) for one in self.effects if path in one.layers) for path in lists}
        sizes = {
            name: list(shape)
            for name, shape in self.shapes.items()
            if not any(number >= most[path] for path in most for number in _layer_numbers([name], path))
        }
        for one in self.effects:
            value = at(document, one.path)
            if one.layers or value == one.value:
                continue
            for (name, dim), other in one.changed.items():
                if name in sizes:
                    was = self.shapes[name][dim]
                    if other * one.value == was * one.other:
                        sizes[name][dim] = sizes[name][dim] * value // one.value
                    else:
                        sizes[name][dim] += (other - was) * (value - one.value) // (one.other - one.value)
        return {name: tuple(shape) for name, shape in sizes.items()}

    def _propose(
        self,
        document: Mapping[str, Any],
        shapes: Shapes,
        target: Shapes,
        wrong: Sequence[Dimension],
        done: frozenset[Path],
    ) -> Iterator[tuple[Path, int]]:
        """(field, value) of fields that would make a wrong dimension right: the one that the fewest fields decide."""
        undecided = {one: len(self.deciding_fields.get(one, {}).keys() - done) for one in wrong}
        name, dim = first = min(wrong, key=lambda one: undecided[one] or math.inf)
        now, asked = shapes[name][dim], target[name][dim]
        for one in self.effects:
            if one.path in done or first not in one.changed:
                continue
            value = at(document, one.path)
            steps = [(one.value, self.shapes[name][dim], one.other, one.changed[first])]
            more = with_value(document, one.path, value + 1)
            here = self.build_shapes(more) or self.build_shapes(more, checked=False) or {}
            if name in here and len(here[name]) > dim and here[name][dim] != now:
                steps.append((value, now, value + 1, here[name][dim]))  # other fields may have changed what a unit is
            wanted = (_field_value(asked, now, value, *step) for step in steps)
            yield from ((one.path, field) for field in dict.fromkeys(wanted) if field is not None)

    def _find_effect(self, path: Path, value: int) -> FieldEffect | None:
        """What changes with another value of a number: the first that the class accepts shows it."""
        others = dict.fromkeys((2 * value, value // 2, 3 * value, value + 1, value - 1))
        # A class may refuse any value but its own where it checks one field against another: then it is not checked.
        for checked, other in itertools.product((True, False), others):
            if other < 1 or other == value:
                continue
            documents = [with_value(self.document, path, other)]
            around = at(documents[0], path[:-1])
            lists = _lists(cast("dict[str, Any]", around), value) if isinstance(around, dict) else []
            if lists:  # where it counts layers, lists with an entry a layer are as long too
                resized = {name: [entries[i % value] for i in range(other)] for name, entries in lists}
                longer = with_value(self.document, path, other)
                at(longer, path[:-1]).update(resized)
                documents.append(longer)
            shapes = next((one for each in documents if (one := self.build_shapes(each, checked)) is not None), None)
            if shapes is None:
                continue
            different = {
                (name, dim): shapes[name][dim]
                for name in sorted(self.shapes.keys() & shapes.keys())
                if len(shapes[name]) == len(self.shapes[name])
                for dim in range(len(shapes[name]))
                if shapes[name][dim] != self.shapes[name][dim]
            }
            names = self.shapes.keys() ^ shapes.keys()
            found = {name[: match.start()] for name in names for match in re.finditer(r"\.(?=\d+\.)", name)}
            counted = sorted(
                one
                for one in found
                if len(_layer_numbers(self.shapes, one)) == value and len(_layer_numbers(shapes, one)) == other
            )
            return FieldEffect(path, value, other, different, tuple(counted))
        return None

    def _write_out(self, path: Path) -> None:
        """Give a field that is not said the value that leaves all shapes as they are, where it decides any."""
        if NO_SIZE.search(str(path[-1])):
            return
        for probe in (8, 4):
            shapes = self.build_shapes(with_value(self.document, path, probe))
            if shapes is None or shapes.keys() != self.shapes.keys():
                continue
            sizes = [
                (before, after)
                for name in shapes
                for before, after in zip(self.shapes[name], shapes[name], strict=True)
                if before != after
            ]
            if not sizes:
                continue
            before, after = sizes[0]
            written = with_value(self.document, path, probe * before // after)
            if not probe * before % after and self.build_shapes(written) == self.shapes:
                self.document = written
            return


def shapes_of(model: nn.Module) -> Shapes:
    """Shapes of the state dict and of other buffers.

    Rotary frequencies are such buffers: only these show whether there are six heads of eight or eight of six.
    """
    return {name: tuple(one.shape) for name, one in (*model.state_dict().items(), *model.named_buffers())}


_KNOWN: dict[tuple[Any, Any, str], ConfigFields] = {}
KEPT = 8
"""Configurations whose fields are kept: a process works on few at once."""


def fields_of(model: Any) -> ConfigFields:
    """The fields of a model's class and configuration, found once for all models that have these.

    Each number is a model that is built, and an original is copied, cut and loaded again with the same configuration.
    """
    key = cast("Any", type(model)), cast("Any", type(model.config)), _written(model.config)
    if key not in _KNOWN:
        while len(_KNOWN) >= KEPT:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[key] = ConfigFields(model)
    return _KNOWN[key]


def _written(config: Any) -> str:
    """A configuration as JSON, with the fields that are as its class has them."""
    return config.to_json_string(use_diff=False)


def _field_value(asked: int, now: int, value: int, first: int, size: int, second: int, other: int) -> int | None:
    """The value of a field, now `value`, that makes a size `asked` of `now`; None where no whole number does.

    It is reckoned from two values of the field, `first` and `second`, that make the sizes `size` and `other`.
    """
    if other * first == size * second:
        wanted, rest = divmod(asked * value, now)
    else:
        more, rest = divmod((asked - now) * (second - first), other - size)
        wanted = value + more
    return wanted if not rest and wanted >= 1 and wanted != value else None


def with_value(document: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of a document with another value at a place."""
    made = copy.deepcopy(dict(document))
    around: Any = at(made, path[:-1])
    around[path[-1]] = value
    return made


def with_layers(document: Mapping[str, Any], path: Path, count: int, kept: Sequence[int]) -> dict[str, Any]:
    """A copy of a document with fewer layers; lists in the same section with an entry a layer lose those of the others.

    Args:
        document: With the number of layers at `path`.
        path: The field.
        count: What it is.
        kept: Numbers of the layers that stay.
    """
    made = with_value(document, path, len(kept))
    around: Any = at(made, path[:-1])
    for name, value in _lists(cast("dict[str, Any]", around), count) if isinstance(around, dict) else ():
        around[name] = [value[i] for i in kept]
    return made


def _lists(around: dict[str, Any], length: int) -> list[tuple[str, list[Any]]]:
    return [(n, v) for n, v in around.items() if isinstance(v, list) and len(cast("list[Any]", v)) == length > 1]


def numbers(document: Any, path: Path = ()) -> Iterator[tuple[Path, int]]:
    """(place, value) of all whole numbers of a document that may say a size or a count."""
    for where, value in _leaves(document, path):
        if type(value) is int and value >= 1 and not any(NO_SIZE.search(str(part)) for part in where):
            yield where, value


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for name, part in cast("dict[str, Any]", value).items():
            yield from _leaves(part, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(cast("list[Any]", value)):
            yield from _leaves(part, (*path, number))
    else:
        yield path, value


def at(document: Any, path: Path) -> Any:
    """The value at a place of a document."""
    for part in path:
        document = document[part]
    return document


def _parts(config: Any) -> Any:
    """What a configuration, or a dictionary or list in it, holds, by names and numbers."""
    return cast("Any", config if isinstance(config, (dict, list)) else vars(config))


def _layer_numbers(names: Iterable[str], path: str) -> set[int]:
    """Numbers of the layers of a list, as names of tensors have them."""
    return {int(found[1]) for name in names if (found := re.match(re.escape(path) + r"\.(\d+)\.", name))}
