"""Adversarial networks: everything that the analysis offers must be cut to half and verify, alone and all together.

    python -m tests.benchmarks.toys            # all of them, as a table
    python -m tests.benchmarks.toys C2f Cbam   # these, with the reasons of what is fixed

A network that is pruned wrongly is a fault; one that stays whole is none, as long as a reason says why.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.engine.errors import SecateurError
from secateur.engine.jobs import finish
from secateur.engine.planning.count_balance import balanced
from secateur.engine.structures.analysis import Analysis, CoupledSet, Kind, Mask, from_identities, identities
from secateur.engine.structures.costs import costs
from secateur.engine.surgery.cut.cut import CutModel, copy_model, cut
from secateur.engine.surgery.cut.edits import Edits, Verification
from secateur.engine.surgery.cut.trial_cuts import settle
from secateur.engine.surgery.verify.verify import verify
from secateur.engine.tracing.isolated_forward import quiet_forward

from .toy_nets import TOYS, Toy

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one network.

    Attributes:
        name: The network.
        free: Share of the parameters that some structure holds.
        removed: Share of the parameters that went when half of everything was cut at once.
        cuts: Cuts tried: each set alone, all together.
        verified: Those that ran and passed every comparison.
        controls: (noticed, tried): cuts with one wrong index.
        repairs: How many repairs of each form the cut of everything needed.
        reasons: Code of each reason, and how many indices of parameters it keeps.
        faults: What went wrong, in words; empty for a network that is never wrong.
    """

    name: str
    free: float
    removed: float
    cuts: int
    verified: int
    controls: tuple[int, int]
    repairs: dict[str, int]
    reasons: dict[str, int]
    faults: tuple[str, ...]


def examine(name: str, net: nn.Module, inputs: Inputs, by_value: bool = False) -> Outcome:
    """Settle a network, cut each of its sets alone and all together, verify, count and spoil every cut once."""
    net = net.eval()
    try:
        analysis = finish(settle(net, inputs, name=name))
    except Exception as error:  # whatever it is, it is a fault
        return Outcome(name, 0.0, 0.0, 0, 0, (0, 0), {}, {}, (f"{type(error).__name__}: {error}",))
    faults = [*unexplained(analysis)]
    verified = noticed = tried = 0
    edits, removed = Edits(), 0.0
    plans = [(one.key, (one,)) for one in analysis.sets]
    plans += [("everything", analysis.sets)] if len(analysis.sets) > 1 else []
    for title, sets in plans:
        mask = half_of(analysis, sets)
        if not mask.any():
            continue
        if not np.array_equal(from_identities(analysis, identities(analysis, mask))[0], mask):
            faults.append(f"{title}: a recipe of it means something else")
        try:
            made = cut(net, analysis, mask, inputs)
        except SecateurError as error:
            faults.append(f"{title}: {error}")
            continue
        wrong = [*not_as_planned(net, made, analysis, mask, inputs, by_value)]
        faults += [f"{title}: {text}" for text in wrong]
        verified += not wrong
        edits, removed = made.edits, 1 - costs(analysis, mask).parameters / costs(analysis).parameters
        if len(sets) == 1 and sets[0].kind is not Kind.BLOCK:
            seen = any(
                not check(net, CutModel(spoilt, edits, made.factors), analysis, mask, inputs).passed
                for spoilt in spoils(net, made.model, analysis, mask, sets[0])
            )
            tried, noticed = tried + 1, noticed + seen
            faults += [] if seen else [f"{title}: one wrong index goes unnoticed"]
    repairs = {
        n: len(getattr(edits, n)) for n in ("attributes", "weights", "attention", "literals", "constants", "slices")
    }
    reasons: Counter[str] = Counter()
    for fixed in analysis.fixed:
        reasons[fixed.reason.code.removeprefix("fixed.")] += fixed.count
    return Outcome(
        name, free_share(analysis), removed, sum(bool(half_of(analysis, s).any()) for _, s in plans), verified,
        (noticed, tried), repairs, dict(reasons.most_common()), tuple(faults),
    )  # fmt: skip


def half_of(analysis: Analysis, sets: Sequence[CoupledSet]) -> Mask:
    """A random half of each set and of what goes along, every second block."""
    mask, rng = analysis.empty(), np.random.default_rng(0)
    for one in sets:
        if one.kind is not Kind.BLOCK:
            mask[one.first + rng.permutation(one.count)[: one.count // 2]] = True
    mask[[s.first for s in sets if s.kind is Kind.BLOCK][::2]] = True
    return balanced(analysis, mask)


def check(net: nn.Module, made: CutModel, analysis: Analysis, mask: Mask, inputs: Inputs) -> Verification:
    """Every comparison of a cut."""
    return finish(verify(net, made.model, analysis, mask, inputs, factors=made.factors, edits=made.edits))


def not_as_planned(
    net: nn.Module, made: CutModel, analysis: Analysis, mask: Mask, inputs: Inputs, by_value: bool
) -> Iterator[str]:
    """How a cut differs from what the analysis says: comparisons that fail, wrong costs, no gradient."""
    result, smaller = check(net, made, analysis, mask, inputs), made.model
    for one in result.checks:
        if not one.passed:
            yield f"{one.name}: {one.difference:.1e} {one.detail}"
    if not result.passed and all(c.passed for c in result.checks):
        yield "verification is inconclusive"
    counted = costs(analysis, mask)
    parameters = sum(p.numel() for p in smaller.parameters())
    if counted.parameters != parameters:
        yield f"{parameters} parameters, {counted.parameters} predicted"
    if by_value:
        return
    batch = len(inputs[0])
    found = {size: flops(smaller, tuple(t[:size] for t in inputs)) for size in (1, batch)}
    if found[1] != 2 * counted.macs and found[batch] != 2 * counted.macs * batch:
        yield f"{found} FLOPs a batch, {2 * counted.macs} predicted for each sample"


def _recurrent(shape: torch.Size, into: torch.Size, back: torch.Size, *_: Any, **__: Any) -> int:
    """A layer of an LSTM or GRU in one direction: [T, N, I] by [G H, I], and each state [N, H] by [G H, H]."""
    return 2 * shape[0] * shape[1] * (into.numel() + back.numel())


def _trilinear(first: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    """`nn.Bilinear`: [N, I] and [N, J] by [O, I, J]."""
    return 2 * first[0] * weight.numel()


UNCOUNTED = {torch.ops.aten.mkldnn_rnn_layer: _recurrent, torch.ops.aten._trilinear: _trilinear}
"""Closed formulas for what torch's counter does not know."""


def flops(net: nn.Module, inputs: Inputs) -> int:
    """What torch counts, -1 where the network does not run on these inputs."""
    try:
        with quiet_forward(net), FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
            net(*(t.clone() for t in inputs))
    except RuntimeError:
        return -1
    return counter.get_total_flops()


def spoils(net: nn.Module, smaller: nn.Module, analysis: Analysis, mask: Mask, one: CoupledSet) -> Iterator[nn.Module]:
    """The cut model with one wrong index: the values of a removed one stand in place of a kept one.

    In the first dimension that the set touches; one place after the other, since some neurons are silent.
    """
    tensor, dim = one.touches[0]
    info = analysis.tensors[tensor]
    kept = analysis.kept_indices(mask)[info.name]
    assert kept is not None
    stays = kept[dim]
    assert stays is not None
    gone = np.setdiff1d(np.arange(info.shape[dim]), stays)
    whole = dict(net.named_parameters())[info.name].data
    for other, index in enumerate(kept):
        if other != dim and index is not None:
            whole = whole.index_select(other, torch.from_numpy(index))
    for place in range(min(4, len(stays), len(gone))):
        spoilt = copy_model(smaller)
        dict(spoilt.named_parameters())[info.name].data.select(dim, place).copy_(whole.select(dim, int(gone[place])))
        yield spoilt


def free_share(analysis: Analysis) -> float:
    """Share of the parameters that lie in a slice of a structure, or in a block."""
    in_blocks = {int(t) for t in analysis.block_tensor[:, 1]}
    total = free = 0.0
    for number, tensor in enumerate(analysis.tensors):
        if tensor.parameter:
            size = float(np.prod(tensor.shape))
            kept = [1 - held(analysis, axis).mean() if axis >= 0 else 1.0 for axis in tensor.axes]
            total += size
            free += size if number in in_blocks else size * (1 - float(np.prod(kept)))
    return free / total if total else 0.0


def held(analysis: Analysis, axis: int) -> np.ndarray:
    """[n] for each index of an axis whether some structure holds it."""
    everything = np.ones(analysis.count, dtype=np.bool_)
    return analysis.removed_positions(everything)[analysis.axis_start[axis] : analysis.axis_start[axis + 1]]


def unexplained(analysis: Analysis) -> Iterator[str]:
    """Dimensions of parameters of which something stays without a reason."""
    told = {(f.tensor, f.dim) for f in analysis.fixed}
    for number, tensor in enumerate(analysis.tensors):
        for dim, (size, axis) in enumerate(zip(tensor.shape, tensor.axes, strict=True)):
            whole = size == 1 or (axis >= 0 and bool(held(analysis, axis).all()))
            if tensor.parameter and not whole and (number, dim) not in told:
                yield f"{tensor.name} dimension {dim} stays without a reason"


def run(toy: Toy) -> Outcome:
    """Build one toy with the same weights every time, and examine it."""
    torch.manual_seed(0)
    return examine(toy.net.__name__, toy.net(), toy.inputs, toy.by_value)


def main() -> None:
    """Print the table; with names, the traps of these networks too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="Networks to run; all by default.")
    chosen = parser.parse_args().names
    say("| network | free | removed | verified | control | repairs | fixed by |\n|---|---|---|---|---|---|---|")
    outcomes: list[Outcome] = []
    for name in chosen or TOYS:
        outcomes.append(run(TOYS[name]))
        say(row(outcomes[-1]))
        if chosen:
            say(f"\n{TOYS[name].trap}\n")
    wrong = [o for o in outcomes if o.faults]
    cuts, verified = sum(o.cuts for o in outcomes), sum(o.verified for o in outcomes)
    say(f"\n{len(outcomes)} networks, {verified} of {cuts} cuts pass. Free: {np.mean([o.free for o in outcomes]):.3f}")
    say(f"on average; {sum(o.cuts == 0 for o in outcomes)} stay whole. Wrong: {len(wrong)}.")
    for one in wrong:
        say("\n".join(f"{one.name}: {fault}" for fault in one.faults))


def say(text: str) -> None:
    """Write a line at once, so that a long run can be watched."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def row(one: Outcome) -> str:
    """One line of the table."""
    repairs = ", ".join(f"{count} {name}" for name, count in one.repairs.items() if count) or "none"
    reasons = ", ".join(f"{name} {count}" for name, count in one.reasons.items())
    control = f"{one.controls[0]}/{one.controls[1]}"
    return (
        f"| {one.name} | {one.free:.3f} | {one.removed:.3f} | {one.verified}/{one.cuts} | {control} | {repairs} "
        f"| {reasons} |"
    )


if __name__ == "__main__":
    main()
