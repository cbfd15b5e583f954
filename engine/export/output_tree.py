"""Gives a file's outputs the structure of the model's output: by position, name and attribute."""

from collections.abc import Mapping, Sequence
from typing import Any


class NamedOutputs(tuple[Any, ...]):
    """Named results: `answers.logits`, `answers["logits"]` and `answers[0]` are one, as in a dict or a dataclass."""

    _names: tuple[str, ...]

    def __new__(cls, parts: Mapping[str, Any]) -> "NamedOutputs":
        """Take the parts in order."""
        made = super().__new__(cls, parts.values())
        made._names = tuple(parts)
        return made

    def __getnewargs__(self) -> tuple[dict[str, Any]]:
        """So that answers can be copied and pickled."""
        return (dict(zip(self._names, self, strict=True)),)

    def __getitem__(self, key: Any) -> Any:
        """A part by its name or number."""
        if isinstance(key, str):
            if key not in self._names:
                raise KeyError(key)
            return self[self._names.index(key)]
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        """A part by its name; AttributeError where there is none."""
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"the file has no output {name!r}; it has {', '.join(self._names)}")
        return self[name]


def output_from_paths(parts: Sequence[tuple[str, Any]]) -> Any:
    """A nested result from the paths of its tensors, as `tracing.tree.exported_outputs` gives them."""
    if [path for path, _ in parts] == [""]:
        return parts[0][1]
    below: dict[str, list[tuple[str, Any]]] = {}
    for path, tensor in parts:
        first, _, rest = path.partition(".")
        below.setdefault(first, []).append((rest, tensor))
    made = {name: output_from_paths(one) for name, one in below.items()}
    if not all(name.isdigit() for name in made):
        return NamedOutputs(made)
    return tuple(made.get(str(number)) for number in range(1 + max(map(int, made))))
