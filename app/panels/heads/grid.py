"""Which heads there are, as rows of cells: one row a layer, key/value groups as wide as the query heads they serve."""

from dataclasses import dataclass
from itertools import takewhile

from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind

from ...text.translate import sentence


@dataclass(frozen=True, slots=True)
class HeadRow:
    """A row of the map.

    Attributes:
        module: Path of the layer.
        set_number: Coupled set whose structures are its cells, -1 where none of its heads can be removed.
        first: Its first structure.
        count: Its cells.
        span: Query heads that a cell stands for: more than one for a key/value group.
        inner: Set of the heads within each group, -1 where there is none; its own row follows.
        within: The cells are the heads of every group, and no whole heads.
        reason: Why not, "" where that is not known.
    """

    module: str
    set_number: int
    first: int
    count: int
    span: int = 1
    inner: int = -1
    within: bool = False
    reason: str = ""

    @property
    def columns(self) -> int:
        """How many heads wide it is."""
        return self.count * self.span


def heads_of(analysis: Analysis) -> tuple[HeadRow, ...]:
    """All rows, in the order of the model."""
    sets = list(enumerate(analysis.sets))
    groups = {(s.name, s.dim): n for n, s in sets if s.kind is Kind.KV_GROUP}
    inner = {groups[s.name, s.dim]: n for n, s in sets if s.kind is Kind.HEAD and (s.name, s.dim) in groups}
    rows: list[HeadRow] = []
    for number, one in sets:
        if one.kind is Kind.KV_GROUP:
            within = inner.get(number, -1)
            span = analysis.sets[within].count if within >= 0 else 1
            rows.append(HeadRow(_layer(one), number, one.first, one.count, span, within))
        elif one.kind is Kind.HEAD:
            rows.append(HeadRow(_layer(one), number, one.first, one.count, within=number in inner.values()))
    rows += _fixed(analysis, rows)
    place = {module.path: n for n, module in enumerate(analysis.modules)}
    return tuple(sorted(rows, key=lambda row: place.get(row.module, len(place))))


def _layer(one: CoupledSet) -> str:
    """The module that holds all projections of a set: what their paths have in common."""
    parts = zip(*(path.split(".") for path in (one.module, *one.along)), strict=False)
    alike = takewhile(lambda names: len(set(names)) == 1, parts)
    return ".".join(names[0] for names in alike) or one.module


def _fixed(analysis: Analysis, rows: list[HeadRow]) -> list[HeadRow]:
    """Layers of the same class as those with heads, in which no head can be removed, and why if known."""
    classes, known = {m.path: m.type_name for m in analysis.modules}, {row.module for row in rows}
    names = {classes[path] for path in known if path in classes}
    reasons: dict[str, str] = {}
    for fixed in analysis.fixed:
        reasons.setdefault(analysis.tensors[fixed.tensor].module, sentence(fixed.reason))
    found: list[HeadRow] = []
    for path, name in classes.items():
        if name in names and path not in known:
            inside = (r for module, r in reasons.items() if module == path or module.startswith(f"{path}."))
            reason = next(inside, "")
            found.append(HeadRow(path, -1, -1, 0, reason=reason))
    return found
