"""Searches for the repairs that make a cut model's code run: attributes first, then literals.

A repair is accepted only if the audit gets further with it; what did not help is undone. What one cut has shown is the
first guess of the next one (`learn_repairs`, `guess_repairs`). A guess is never trusted: the audit confirms all of it
at once, or it is undone.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeAlias, cast

from torch import nn

from ...errors import Message, VerificationError
from ...runtime import load_pruned
from ...runtime.load_pruned import StandIn
from ...structures.analysis import NO_KNOWN_REPAIRS, KnownRepairs, inside
from ...tracing.tree import modules_of
from ..cut.edits import Edits, merged_repairs
from .audit import Audit, Auditor
from .candidates import AxisSizes, Site, ancestor_paths

LIMIT = 400
"""Repairs of one cut."""
AttributeRepairs: TypeAlias = dict[tuple[str, str], Any]
"""Values of attributes by (module path, name)."""
AttributeOptions: TypeAlias = Mapping[str, Sequence[Any]]
"""Attributes of a module with the values that each may have now."""
LiteralPlace: TypeAlias = tuple[str, str, str]
"""Where a number of a forward is: module path, call site, place among the arguments."""


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
        self._replace_literals(self.sizes.renew_literals(self.edits.literals))
        now = self.run()
        guessed = None if now.passed else self._try_known()
        now = guessed or now
        for _ in range(LIMIT):
            if now.passed:
                break
            # To note which attributes a forward reads changes classes, and some code then ends at another place.
            seen = self.run(watched=True, reading=True)
            same = (seen.matched, seen.module, seen.text) == (now.matched, now.module, now.text)
            now = seen if same else replace(self.run(watched=True), reads=None)
            better = self._improve(now)
            if better is None and now.ran > 0:
                # The forward may raise at a check of its own before the next product. What gets it past that is an
                # improvement too, though no operator more is as predicted.
                self.closely = True
                better = self._improve(now)
                self.closely = False
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
            needed = needed_repairs(self.edits.literals, self.sizes.batch_numbers(), self.run)
            self._replace_literals(needed if guessed else self._correct_attributes(needed))
        self.known = learn_repairs(self.sizes, self.first, self.edits, self.known)
        return self.edits

    def _try_known(self) -> Audit | None:
        """Try all that earlier cuts have shown, at once: it is enough, or it is undone."""
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

    def _improve(self, now: Audit) -> Audit | None:
        """The first repair that gets further: where the first wrong number was given, at the failing module, above.

        Attributes come before literals: a class with another attribute is still the user's own.
        """
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
        # At last modules inside the failing one, of each class the first: it may be right, and what it was given wrong.
        seen = set[type]()
        for inner in modules_of(self.model):
            if inner.startswith(f"{now.module}." if now.module else "") and self._kind(inner) not in seen:
                seen.add(self._kind(inner))
                better = self._try_attributes(inner, now, now.module)
                if better is not None:
                    return better
        return None

    def _is_further(self, after: Audit, now: Audit) -> bool:
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
        found = self.sizes.attributes(self.model, path, scope, self.closely)
        if self.closely:  # an attribute that was repaired may have been given the wrong one of several values
            for (owner, name), value in self.first.items():
                if owner == path:
                    found[name] = [value, *self.sizes.values(path, value, every=True)]
        read = [name for name in found if now.reads is None or self.closely or now.reads.has(path, name)]
        sure = [name for name, values in found.items() if len(values) == 1] if read else []
        for names in (sure, [name for name in sure if name in read])[: 1 if set(sure) <= set(read) else 2]:
            together = {key: v for name in names for key, v in self._everywhere(path, name, found[name][0]).items()}
            old = self._values(together)
            better = self._try_values(together, now) if len(names) > 1 else None
            if better is not None:
                return self._drop_needless(old, better)
        for name in read:
            for value in found[name]:
                everywhere = self._everywhere(path, name, value)
                for attempt in (everywhere, {(path, name): value})[: len(everywhere)]:
                    better = self._try_values(attempt, now)
                    if better is not None:
                        return better
        return None

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
                return self._drop_needless(old, better)
        return None

    def _try_in_turn(self, now: Audit) -> Audit | None:
        """Attributes one after the other, each by the first wrong number that the audit finds.

        Whether it runs further shows only once all of them have changed; which number is wrong first shows after each.
        """
        chosen: AttributeRepairs = {}
        last = now
        while last.wrong:
            for one in self._options(last):
                if one.keys() & chosen.keys():
                    continue
                values = {**chosen, **one}
                after = self._audit_with(values, watched=True)
                old = self._values(values)
                if after.passed or (after.right > last.right and after.matched > now.matched):
                    self._set(values)
                    self._accept(values, old)
                    return self._drop_needless(old, after)
                if after.right > last.right and after.matched == now.matched:
                    chosen, last = values, after
                    break
            else:
                return None
        return None

    def _options(self, now: Audit) -> Iterator[AttributeRepairs]:
        """Attributes that were read, each with each value that it may have: in all modules of the class, in one."""
        for path in self._suspects(now):
            for name, values in self.sizes.attributes(self.model, path).items():
                for value in values if now.reads is None or now.reads.has(path, name) else ():
                    everywhere = self._everywhere(path, name, value)
                    yield from (everywhere, {(path, name): value})[: len(everywhere)]

    def _everywhere(self, path: str, name: str, value: Any) -> AttributeRepairs:
        """An attribute here, and on modules of the same class where it can have one other value only."""
        chosen = {(path, name): value}
        own = self._owner(path, name)
        for peer in self._peers(path):
            new = self.sizes.attributes(self.model, peer).get(name, [])
            if len(new) == 1 and self._owner(peer, name) is not own:  # a shared object has one value for all
                chosen[peer, name] = new[0]
        return chosen

    def _audit_with(self, values: AttributeRepairs, watched: bool = False) -> Audit:
        """Audit the model with other values of attributes; it is as before afterwards."""
        old = self._values(values)
        self._set(values)
        after = self.run(watched=watched, reading=watched)
        self._set(old)
        return after

    def _try_values(self, values: AttributeRepairs, now: Audit) -> Audit | None:
        after = self._audit_with(values)
        if not self._is_further(after, now):
            return None
        old = self._values(values)
        self._set(values)
        self._accept(values, old)
        return after

    def _accept(self, values: AttributeRepairs, old: AttributeRepairs) -> None:
        added = tuple((path, name, value) for (path, name), value in values.items())
        self.first = {**old, **self.first}
        self.edits = replace(self.edits, attributes=merge_attributes(self.edits.attributes, added))

    def _drop_needless(self, before: AttributeRepairs, best: Audit) -> Audit:
        """Undo those of several attributes that no code reads, and each without which the audit gets as far."""
        reads = self.run(reading=True).reads
        waiting: list[AttributeRepairs] = []
        for name in dict.fromkeys(name for _, name in before):
            old = {key: value for key, value in before.items() if key[1] == name}
            if reads is not None and not any(reads.has(*key) for key in old):
                self._undo(old)
            else:
                waiting.append(old)
        while waiting:
            # The one without which it gets furthest: two may be wrong together as if they were right.
            audits = [(self._audit_with(old), old) for old in waiting]
            fit = [one for one in audits if one[0].matched >= best.matched and one[0].passed >= best.passed]
            if not fit:
                break
            best, gone = max(fit, key=lambda one: (one[0].passed, one[0].matched))
            self._undo(gone)
            waiting = [old for _, old in fit if old is not gone]
        return best

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
            # Which factors are wrong shows only once the sizes before them are right.
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
            if self._is_further(after, now):
                return after
        self._replace_literals(before)
        return None

    def _correct_attributes(self, needed: list[Site]) -> list[Site]:
        """Give attributes the sizes that were replaced in forwards: code that no run has reached reads them too.

        Numbers are replaced only where a run has been. A clip of more frames, say, takes a shifted window through a
        mask, and there too the number of heads is the attribute's. An attribute is taken for the source of a replaced
        number if with its new value the code gives that number by itself, and all that runs is still as predicted.

        Args:
            needed: The replacements without those that the code gives by itself.

        Returns:
            Those that are needed now.
        """
        paths = dict.fromkeys(path for path, *_ in self.edits.literals)
        first_of_kind = {self._kind(path): path for path in reversed(paths)}
        reads = self.run(reading=True).reads
        for path in first_of_kind.values():
            for name, options in self.sizes.attributes(self.model, path).items():
                if len(options) != 1 or reads is None or not reads.has(path, name):
                    continue
                values, literals = self._everywhere(path, name, options[0]), self.edits.literals
                old = self._values(values)
                self._set(values)
                after = self.run(watched=True)
                better = after if after.passed else self._try_literals([owner for owner, _ in values], after)
                if better is not None and better.passed:
                    fewer = needed_repairs(self.edits.literals, self.sizes.batch_numbers(), self.run)
                    before, now = ({(one[0], one[1], one[3]) for one in sites} for sites in (needed, fewer))
                    if before - now:
                        self._accept(values, old)
                        needed = fewer
                        continue
                self._set(old)
                self._replace_literals(literals)
        return needed

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


def joint_groups(
    suspects: Sequence[tuple[str, AttributeOptions]], held: AttributeRepairs, wrong: Collection[int]
) -> Iterator[AttributeRepairs]:
    """Groups of attributes to be tried at once, where changing one alone does not help.

    Of each module the attributes that can have one value only: those that hold what was given in the first wrong call,
    and all with each value of one that can have several. Then those of a module and of the one around it.

    Args:
        suspects: Modules that may be at fault, the likeliest first.
        held: Present values.
        wrong: Sizes in the first call with wrong ones, as they were before the cut.
    """
    sure: list[AttributeRepairs] = []
    for path, found in suspects:
        own = {(path, name): values[0] for name, values in found.items() if len(values) == 1}
        sure.append(own)
        given: AttributeRepairs = {}
        for key, value in own.items():
            if not set(_numbers(held[key])).isdisjoint(wrong):
                given[key] = value
        if 1 < len(given) < len(own):
            yield given
        for name, values in found.items():
            if len(values) > 1:
                yield from ({**own, (path, name): value} for value in values)
    for one, around in pairwise(sure):
        if one and around:
            yield {**one, **around}


def needed_repairs(
    literals: Sequence[Site], repeated: Mapping[LiteralPlace, set[Any]], run: Callable[[], object]
) -> list[Site]:
    """The replacements without those that the code gives by itself.

    A number in which the batch is a factor becomes a part of what the code gives: the example's batch has no place in
    it.

    Args:
        literals: Replaced numbers.
        repeated: What those must be in which the batch, or another number that no axis has, is a factor.
        run: Runs the model with the replacements.
    """
    given = defaultdict[LiteralPlace, set[tuple[Any, Any]]](set)

    def note(
        mode: load_pruned.CallSiteMode, site: str, _number: int, changes: dict[str, Any], numbers: dict[str, Any]
    ) -> None:
        for where, value in changes.items():
            given[mode.path, site, where].add((numbers.get(where), value))

    load_pruned.watch = note
    try:
        run()
    finally:
        load_pruned.watch = None
    kept: list[Site] = []
    for one in literals:
        place = one[0], one[1], one[3]
        pairs, wanted = given.get(place, set[tuple[Any, Any]]()), repeated.get(place)
        own = {number for number, _ in pairs}
        # Of several calls of one site each may give another of the wanted numbers.
        in_each_call = bool(pairs) and all(number == value for number, value in pairs)
        if in_each_call or (wanted is not None and len(wanted) == 1 and own == wanted):
            continue
        shares: set[Fraction | None] = set()
        if wanted is not None:
            shares = {Fraction(value, n) if n and n > 0 and value > 0 else None for n, value in pairs}
        share = shares.pop() if len(shares) == 1 else None
        kept.append((*one[:4], one[4] if share is None else (share.numerator, share.denominator)))
    return kept


def learn_repairs(
    sizes: AxisSizes, first: Mapping[tuple[str, str], Any], edits: Edits, known: KnownRepairs
) -> KnownRepairs:
    """What is known after a cut of the axes that attributes and literals follow.

    An attribute of a module whose numbers were replaced too may have a wrong value that these make up for: it shows
    nothing where an earlier cut has shown what it follows.

    Args:
        sizes: Of the cut.
        first: What the repaired attributes were before, by (module path, name).
        edits: The repairs that made it run.
        known: What was known before it.
    """
    found = {one[:2]: one for one in known.attributes}
    replaced = dict.fromkeys((path, site, where) for path, site, _, where, _ in edits.literals)
    doubtful = {path for path, _, _ in replaced}
    for path, name, value in edits.attributes:
        if (path, name) in first and not (path in doubtful and (path, name) in found):
            axes = tuple(
                sizes.between(path, old, new) or sizes.between("", old, new)
                for old, new in zip(_numbers(first[path, name]), _numbers(value), strict=False)
            )
            earlier = found[path, name][2] if (path, name) in found else axes
            # The axes that fit both times; those that fit now where none does.
            both = (tuple(a for a in one if a in other) or one for one, other in zip(axes, earlier, strict=False))
            found[path, name] = (path, name, tuple(both))
    gone = [path for path, _ in edits.blocks]
    own = (
        one for one in sizes.size_numbers() if one not in replaced and not any(inside(one[0], path) for path in gone)
    )
    return KnownRepairs(
        tuple(found.values()),
        tuple(dict.fromkeys([*known.literals, *replaced])),
        tuple(dict.fromkeys([*known.given, *own])),
    )


def guess_repairs(
    sizes: AxisSizes, known: KnownRepairs, now: Mapping[tuple[str, str], Any], trial: bool = False
) -> tuple[AttributeRepairs, list[Site]]:
    """Values of attributes and replaced numbers for a cut, where what is known leaves one choice.

    Args:
        sizes: Of the cut.
        known: What earlier cuts have shown.
        now: Values of the known attributes that the model has.
        trial: Replace also the numbers that only some cuts needed: all that counts is whether the cut runs.
    """
    values: AttributeRepairs = {}
    for path, name, axes in known.attributes:
        if (path, name) not in now:
            continue
        old, numbers = now[path, name], _numbers(now[path, name])
        new = [sizes.after(number, own) for number, own in zip(numbers, axes, strict=False)]
        if len(new) == len(numbers) and None not in new and new != numbers:
            values[path, name] = new if isinstance(old, (list, tuple)) else new[0]
    given = set[LiteralPlace]() if trial else set(known.given)
    places = dict.fromkeys(one for one in known.literals if one not in given)
    factors = {(site, where) for _, site, where in places}
    paths = dict.fromkeys(path for path, _, _ in places)
    sites = [one for path in paths for one in sizes.literals(path, factors) if (one[0], one[1], one[3]) in places]
    return values, sites


def _numbers(value: Any) -> list[int]:
    return list(cast("Sequence[int]", value)) if isinstance(value, (list, tuple)) else [value]
