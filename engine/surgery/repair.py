"""Make a cut model's own code run: attributes first, then the sizes written in a forward, module by module.

A repair is accepted only if the audit gets further with it; what did not help is undone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

from torch import nn

from ..errors import VerificationError
from ..structures.analysis import Analysis, Mask
from ..structures.costs import kept_sizes
from ..tracing.reading import modules_of
from . import runtime
from .audit import Audit
from .protocol import Edits

LIMIT = 400


@dataclass(slots=True)
class Repair:
    """The search for repairs of one cut model.

    Attributes:
        model: The cut model; changed in place.
        analysis: Of the original.
        removed: All that is gone.
        edits: Repairs so far.
        run: Audits the model as it is.
    """

    model: nn.Module
    analysis: Analysis
    removed: Mask
    edits: Edits
    run: Callable[[], Audit]

    def until_it_runs(self) -> Edits:
        """Repair until the audit passes.

        Raises:
            VerificationError: No repair helps; the sentence names the module and the operator.
        """
        now = self.run()
        for _ in range(LIMIT):
            if now.passed:
                return self.edits
            better = self._improve(now)
            if better is None:
                raise VerificationError(
                    "cut.unrepaired",
                    "The cut model does not do what was planned at {module}: {text}. Nothing was changed. "
                    "Leave this layer's structures out of the plan.",
                    module=now.module or "the model's own forward",
                    text=now.text,
                )
            now = better
        return self.edits

    def _improve(self, now: Audit) -> Audit | None:
        """The first repair at the failing module, or at one that contains it, that gets further."""
        path = now.module
        while True:
            for name, value in self._attribute_candidates(path):
                better = self._try_attribute(path, name, value, now)
                if better is not None:
                    return better
            better = self._try_literals(path, now)
            if better is not None or not path:
                return better
            path = path.rpartition(".")[0]

    def _attribute_candidates(self, path: str) -> list[tuple[str, Any]]:
        """(attribute, new value) of a module's integers, alone or in tuples, that are sizes which changed."""
        changes = self._changes(path)
        found: list[tuple[str, Any]] = []
        for name, value in vars(self.model.get_submodule(path)).items():
            if name.startswith("_") or name == "training":
                continue
            if isinstance(value, int) and not isinstance(value, bool):
                found += [(name, new) for new in changes.get(value, ())]
            elif isinstance(value, tuple) and value and all(type(part) is int for part in cast("tuple[Any]", value)):
                news = [changes.get(part, [part]) for part in cast("tuple[int, ...]", value)]
                if any(part not in new for part, new in zip(cast("tuple[int, ...]", value), news, strict=True)):
                    found += [(name, made) for made in product(*news)]
        return found

    def _changes(self, path: str) -> dict[int, list[int]]:
        """Old size to new sizes, of all axes that a module, its children and its literals have."""
        kept = kept_sizes(self.analysis, self.removed)
        start = self.analysis.axis_start
        prefix = f"{path}." if path else ""
        pairs: set[tuple[int, int]] = set()
        for tensor in self.analysis.tensors:
            if tensor.module == path or tensor.module.startswith(prefix):
                pairs |= {(s, int(kept[a])) for s, a in zip(tensor.shape, tensor.axes, strict=True) if a >= 0}
        for literal in self.analysis.literals:
            if literal.module == path:
                pairs |= {(int(start[a + 1] - start[a]), int(kept[a])) for a in literal.axes if a >= 0}
        for module, _, axis, _ in self.analysis.sizes:
            if module == path and axis >= 0:
                pairs.add((int(start[axis + 1] - start[axis]), int(kept[axis])))
        changes: dict[int, list[int]] = {}
        for old, new in sorted(pairs):
            if old != new:
                changes.setdefault(old, []).append(new)
        return changes

    def _try_attribute(self, path: str, name: str, value: Any, now: Audit) -> Audit | None:
        """Set one attribute, here and on modules of the same class where it is a changed size too."""
        chosen = {path: value}
        for peer in self._peers(path):
            old = getattr(self.model.get_submodule(peer), name, None)
            new = self._changes(peer).get(old, []) if isinstance(old, int) else []
            if len(new) == 1:
                chosen[peer] = new[0]
        for attempt in (chosen, {path: value}) if len(chosen) > 1 else (chosen,):
            old_values = {p: getattr(self.model.get_submodule(p), name) for p in attempt}
            for p, v in attempt.items():
                setattr(self.model.get_submodule(p), name, v)
            after = self.run()
            if after.passed or after.matched > now.matched:
                added = tuple((p, name, v) for p, v in attempt.items())
                self.edits = replace(self.edits, attributes=merge_attributes(self.edits.attributes, added))
                return after
            for p, v in old_values.items():
                setattr(self.model.get_submodule(p), name, v)
        return None

    def _try_literals(self, path: str, now: Audit) -> Audit | None:
        """Replace sizes (and, where one differs, scales) that forwards of this class hand to torch functions."""
        paths = {path, *self._peers(path)}
        added = [site for p in sorted(paths) for site in self._literals_of(p, now.scalars)]
        if not added:
            return None
        before = self.edits.literals
        classes = {p: self.model.get_submodule(p).__class__ for p in paths}
        merged = {site[:4]: site for site in (*before, *added)}
        self._apply_literals(tuple(merged.values()))
        after = self.run()
        if after.passed or after.matched > now.matched:
            self.edits = replace(self.edits, literals=tuple(merged.values()))
            return after
        for p, own in classes.items():
            self.model.get_submodule(p).__class__ = own
        self._apply_literals(before)
        return None

    def _literals_of(self, path: str, scalars: bool) -> list[tuple[str, str, int, int, Any]]:
        kept = kept_sizes(self.analysis, self.removed)
        found: list[tuple[str, str, int, int, Any]] = []
        for site in self.analysis.literals:
            if site.module != path:
                continue
            for place, (size, axis) in enumerate(zip(site.sizes, site.axes, strict=True)):
                if axis >= 0 and size > 0:  # unchanged ones too: the code may derive them from others
                    found.append((path, site.function, site.number, place, int(kept[axis])))
            if site.scalar is not None and (scalars or site.function == "scaled_dot_product_attention"):
                found.append((path, site.function, site.number, 0, site.scalar))
        return found

    def _apply_literals(self, literals: tuple[tuple[str, str, int, int, Any], ...]) -> None:
        runtime.apply_edits(self.model, {"literals": [list(site) for site in literals]})

    def _peers(self, path: str) -> list[str]:
        own = type(self.model.get_submodule(path))
        return [p for p, m in modules_of(self.model).items() if type(m) is own and p != path]


def merge_attributes(
    old: tuple[tuple[str, str, Any], ...], new: tuple[tuple[str, str, Any], ...]
) -> tuple[tuple[str, str, Any], ...]:
    """Later values replace earlier ones of the same attribute."""
    merged = {(path, name): value for path, name, value in (*old, *new)}
    return tuple((path, name, value) for (path, name), value in merged.items())
