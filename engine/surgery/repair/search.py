"""Searches for the repairs that make a cut model's code run: attributes first, then literals.

A repair is accepted only if the audit gets further with it; what did not help is undone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from ...errors import Message, VerificationError
from ...runtime import load_pruned
from ...runtime.load_pruned import StandIn
from ...structures.analysis import NO_KNOWN_REPAIRS, KnownRepairs
from ...tracing.tree import modules_of
from ..cut.edits import Edits, merged_repairs
from .audit import Audit, Auditor
from .candidates import AxisSizes, Site, ancestor_paths
from .joint_attributes import joint_groups
from .learned_repairs import AttributeRepairs, guess_repairs, learn_repairs
from .prune_repairs import needed_repairs
from .sequential_attributes import sequential_attributes

LIMIT = 400


@dataclass(slots=True)
class RepairSearch:
    """The search for repairs of one cut model.

    Attributes:
        model: The cut model; changed in place.
        sizes: What became of each size.
        edits: Repairs so far.
        run: Audits the model as it is.
        closely: A forward that raises later has come further, though no operator more is as predicted.
        known: What earlier cuts have shown; after this one, what it has shown too.
        trial: All that counts is whether the cut runs, not how slight its repairs are.
        first: What the repaired attributes were before.
    """

    model: nn.Module
    sizes: AxisSizes
    edits: Edits
    run: Auditor
    closely: bool = False
    known: KnownRepairs = NO_KNOWN_REPAIRS
    trial: bool = False
    first: AttributeRepairs = field(default_factory=dict[tuple[str, str], Any])

    def until_it_runs(self) -> Edits:
        """Repair until the audit passes.

        Raises:
            VerificationError: No repair helps; the sentence names the module and the operator.
        """
        self._replace_literals(self.sizes.again(self.edits.literals))
        now = self.run()
        now = now if now.passed else self._try_known() or now
        for _ in range(LIMIT):
            if now.passed:
                break
            now = self._looked_at(now)
            better = self._improve(now) or self._improve_closely(now)
            if better is None:
                raise VerificationError(
                    "cut.unrepaired",
                    "The cut model does not do what was planned at {module}: {text}. Nothing was changed. Keep the "
                    "structures of this layer.",
                    module=now.module or Message("cut.own_forward", "the model's own forward"),
                    text=now.text,
                    axes=tuple(a for a in (*now.axes, *(one.axis for one in now.wrong[:1])) if a >= 0),
                )
            now = better
        if self.edits.literals:
            self._replace_literals(needed_repairs(self.edits.literals, self.sizes.repeated(), self.run))
        self.known = learn_repairs(self.sizes, self.first, self.edits, self.known)
        return self.edits

    def _try_known(self) -> Audit | None:
        """All that earlier cuts have shown, at once: it is enough, or it is undone."""
        present = {path for path, module in modules_of(self.model).items() if not isinstance(module, StandIn)}
        keys = [(path, name) for path, name, _ in self.known.attributes if path in present]
        values, sites = guess_repairs(self.sizes, self.known, self._values(keys), self.trial)
        edits, old = self.edits, self._values(values)
        self._set(values)
        self._replace_literals(merged_repairs("literals", edits.literals, [one for one in sites if one[0] in present]))
        after = self.run() if self.edits != edits or values else None
        if after is not None and after.passed:
            self._accept(values, old)
            return after
        self._set(old)
        self._replace_literals(edits.literals)
        return None

    def _looked_at(self, now: Audit) -> Audit:
        """The same audit with what forwards hand to torch, and which attributes they read."""
        seen = self.run(watched=True, reading=True)
        same = (seen.matched, seen.module, seen.text) == (now.matched, now.module, now.text)
        return seen if same else replace(self.run(watched=True), reads=None)

    def _improve(self, now: Audit) -> Audit | None:
        """The first repair that gets further: where the first wrong number was given, at the failing module, above."""
        paths = list(self._suspects(now))
        for path in paths:
            better = self._try_attributes(path, now)
            if better is not None:
                return better
        better = self._try_together(paths, now) or self._try_in_turn(now)
        if better is not None:
            return better
        for path in paths:
            better = self._try_literals([path, *self._peers(path)], now)
            if better is not None:
                return better
        better = self._try_literals(list(modules_of(self.model)), now)
        if better is not None:
            return better
        inside = (self._try_attributes(path, now, now.module) for path in self._inside(now.module))
        return next((found for found in inside if found is not None), None)

    def _inside(self, path: str) -> Iterator[str]:
        """Modules in the failing one, of each class the first: what they gave may be wrong, and not what it does."""
        seen = set[type]()
        for inner in modules_of(self.model):
            if inner.startswith(f"{path}." if path else "") and self._kind(inner) not in seen:
                seen.add(self._kind(inner))
                yield inner

    def _improve_closely(self, now: Audit) -> Audit | None:
        """What gets the forward past a check of its own, before the next product: it may need another repair then."""
        self.closely = now.ran > 0
        try:
            return self._improve(now) if self.closely else None
        finally:
            self.closely = False

    def _further(self, after: Audit, now: Audit) -> bool:
        later = self.closely and after.matched == now.matched and after.ran > now.ran
        return after.passed or after.matched > now.matched or later

    def _suspects(self, now: Audit) -> Iterator[str]:
        """Modules whose code may be wrong, of each class the first; looked at closely, all."""
        culprits = [*(one.module for one in now.wrong[:1]), now.module]
        seen = set[type]()
        for path in (*culprits, *(p for c in culprits for p in ancestor_paths(c))):
            kind = type(self.model.get_submodule(path))
            if self.closely or kind not in seen:
                seen.add(kind)
                yield path

    def _try_attributes(self, path: str, now: Audit, scope: str | None = None) -> Audit | None:
        """All attributes that can have one value only, at once; what was not needed is undone. Then each alone.

        Only what was read has to do with the difference; what is read behind it may have to change together with that.
        """
        found = self._attributes(path, scope)
        read = [name for name in found if now.reads is None or self.closely or now.reads.has(path, name)]
        sure = [name for name, values in found.items() if len(values) == 1] if read else []
        for names in (sure, [name for name in sure if name in read])[: 1 if set(sure) <= set(read) else 2]:
            together = {key: v for name in names for key, v in self._everywhere(path, name, found[name][0]).items()}
            old = self._values(together)
            better = self._try_values(together, now) if len(names) > 1 else None
            if better is not None:
                return self._without_needless(names, old, better)
        for name in read:
            for value in found[name]:
                everywhere = self._everywhere(path, name, value)
                for attempt in (everywhere, {(path, name): value})[: len(everywhere)]:
                    better = self._try_values(attempt, now)
                    if better is not None:
                        return better
        return None

    def _attributes(self, path: str, scope: str | None = None) -> dict[str, list[Any]]:
        """Values that a module's attributes may have now; looked at closely, also other ones for those repaired."""
        found = self.sizes.attributes(self.model, path, scope, self.closely)
        for (owner, name), value in self.first.items() if self.closely else ():
            if owner == path:
                found[name] = [value, *self.sizes.values(path, value, every=True)]
        return found

    def _try_together(self, paths: Sequence[str], now: Audit) -> Audit | None:
        """Attributes that make it run further only together; what was not needed is undone."""
        found = [(path, self.sizes.attributes(self.model, path)) for path in paths]
        held = self._values((path, name) for path, names in found for name in names)
        calls = [one for one in now.wrong if (one.module, one.site) == (now.wrong[0].module, now.wrong[0].site)]
        wrong = {self.sizes.before(one.axis) for one in calls if not one.factor}
        for group in joint_groups(found, held, wrong):
            everywhere = [self._everywhere(path, name, value) for (path, name), value in group.items()]
            values = {key: value for one in everywhere for key, value in one.items()}
            old = self._values(values)
            better = self._try_values(values, now)
            if better is not None:
                return self._without_needless(list(dict.fromkeys(name for _, name in values)), old, better)
        return None

    def _try_in_turn(self, now: Audit) -> Audit | None:
        """Attributes that make it run further only one after the other; what was not needed is undone."""
        found = sequential_attributes(now, self._options, self._attempted)
        if found is None:
            return None
        values, better = found
        old = self._values(values)
        self._set(values)
        self._accept(values, old)
        return self._without_needless(list(dict.fromkeys(name for _, name in values)), old, better)

    def _options(self, now: Audit) -> Iterator[AttributeRepairs]:
        """Attributes that were read, each with each value that it may have: in all modules of the class, in one."""
        for path in self._suspects(now):
            for name, values in self.sizes.attributes(self.model, path).items():
                for value in values if now.reads is None or now.reads.has(path, name) else ():
                    everywhere = self._everywhere(path, name, value)
                    yield from (everywhere, {(path, name): value})[: len(everywhere)]

    def _attempted(self, values: AttributeRepairs) -> Audit:
        old = self._values(values)
        self._set(values)
        after = self.run(watched=True, reading=True)
        self._set(old)
        return after

    def _everywhere(self, path: str, name: str, value: Any) -> AttributeRepairs:
        """An attribute here, and on modules of the same class where it can have one other value only."""
        chosen = {(path, name): value}
        own = self._owner(path, name)
        for peer in self._peers(path):
            new = self.sizes.attributes(self.model, peer).get(name, [])
            if len(new) == 1 and self._owner(peer, name) is not own:  # a shared object has one value for all
                chosen[peer, name] = new[0]
        return chosen

    def _try_values(self, values: AttributeRepairs, now: Audit) -> Audit | None:
        old = self._values(values)
        self._set(values)
        after = self.run()
        if self._further(after, now):
            self._accept(values, old)
            return after
        self._set(old)
        return None

    def _accept(self, values: AttributeRepairs, old: AttributeRepairs) -> None:
        added = tuple((path, name, value) for (path, name), value in values.items())
        self.first = {**old, **self.first}
        self.edits = replace(self.edits, attributes=merge_attributes(self.edits.attributes, added))

    def _without_needless(self, names: Sequence[str], before: AttributeRepairs, best: Audit) -> Audit:
        """Undo those of several attributes that nobody read, and each without which the audit gets as far."""
        reads = self.run(reading=True).reads
        by_name = {name: {key: value for key, value in before.items() if key[1] == name} for name in names}
        unread = [name for name in names if reads is not None and not any(reads.has(*key) for key in by_name[name])]
        for name in unread:
            self._undo(by_name.pop(name))
        waiting = list(by_name.values())
        while waiting:
            # The one without which it gets furthest: two may be wrong together as if they were right.
            audits = [(self._without(old), old) for old in waiting]
            fit = [one for one in audits if one[0].matched >= best.matched and one[0].passed >= best.passed]
            if not fit:
                break
            best, gone = max(fit, key=lambda one: (one[0].passed, one[0].matched))
            self._undo(gone)
            waiting = [old for _, old in fit if old is not gone]
        return best

    def _without(self, old: AttributeRepairs) -> Audit:
        new = self._values(old)
        self._set(old)
        after = self.run()
        self._set(new)
        return after

    def _undo(self, old: AttributeRepairs) -> None:
        self._set(old)
        kept = tuple(one for one in self.edits.attributes if one[:2] not in old)
        self.edits = replace(self.edits, attributes=kept)

    def _owner(self, path: str, name: str) -> Any:
        owner: Any = self.model.get_submodule(path)
        for holder in name.split(".")[:-1]:
            owner = getattr(owner, holder, None)
        return owner

    def _values(self, keys: Iterable[tuple[str, str]]) -> AttributeRepairs:
        return {(p, n): getattr(self._owner(p, n), n.rpartition(".")[2]) for p, n in keys}

    def _set(self, values: AttributeRepairs) -> None:
        for (path, name), value in values.items():
            load_pruned.set_remembered(self._owner(path, name), name.rpartition(".")[2], value)

    def _try_literals(self, paths: list[str], now: Audit) -> Audit | None:
        """Replace the sizes that forwards hand to torch, and the factors that became others with them."""
        before, after = self.edits.literals, now
        factors = set[tuple[str, str]]()
        while True:
            found = {(one.site, one.where) for one in after.wrong if one.factor and one.module in paths}
            if after is not now and found <= factors:
                break
            factors |= found
            added = [site for path in paths for site in self.sizes.literals(path, factors)]
            sites = merged_repairs("literals", before, added)
            if set(sites) == set(before):
                break
            self._replace_literals(sites)
            after = self.run(watched=True)
            if self._further(after, now):
                return after
        self._replace_literals(before)
        return None

    def _replace_literals(self, literals: Sequence[Site]) -> None:
        gone = {one[0] for one in self.edits.literals} - {one[0] for one in literals}
        for path in gone:
            load_pruned.restore_literals(self.model.get_submodule(path))
        self.edits = replace(self.edits, literals=tuple(literals))
        load_pruned.apply_edits(self.model, {"literals": literals})

    def _peers(self, path: str) -> list[str]:
        own = self._kind(path)
        return [p for p in modules_of(self.model) if p != path and self._kind(p) is own]

    def _kind(self, path: str) -> type:
        return load_pruned.own_class(self.model.get_submodule(path))


def merge_attributes(
    old: tuple[tuple[str, str, Any], ...], new: tuple[tuple[str, str, Any], ...]
) -> tuple[tuple[str, str, Any], ...]:
    """Later values replace earlier ones of the same attribute."""
    merged = {(path, name): value for path, name, value in (*old, *new)}
    return tuple((path, name, value) for (path, name), value in merged.items())
