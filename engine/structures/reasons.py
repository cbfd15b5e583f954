"""Why an axis is fixed: one function a reason, each a code with an English sentence."""

from ..errors import Message
from ..messages import Phrase


def output() -> Message:
    """The model's answer."""
    return Message("fixed.output", "It is the model's output: removing an index would change what the model answers.")


def handed() -> Message:
    """Gone from torch."""
    return Message(
        "fixed.handed",
        "The forward hands it to NumPy or to a Python list, and what is made of it there is not seen.",
    )


def model_input(op: str) -> Message:
    """Reads an axis that no parameter made."""
    return Message(
        "fixed.input",
        "It reads the model's input, or an axis of space or sequence, which keeps its size ({op}).",
        {"op": op},
    )


def combined(op: str) -> Message:
    """Combined with an untracked axis."""
    return Message(
        "fixed.combined", "{op} combines it with an axis that cannot shrink (input, space or sequence).", {"op": op}
    )


def no_rule(op: str) -> Message:
    """Unknown operator."""
    named = op.replace(".", "::", 1)  # as `register_rule` takes it
    return Message("fixed.no_rule", "{op} has no rule, so nothing that it touches is removed.", {"op": named})


def reduced(op: str) -> Message:
    """Summed, averaged or normalised over."""
    return Message("fixed.reduced", "{op} runs over this axis, so its result depends on every index.", {"op": op})


def sliced(op: str) -> Message:
    """Cut at positions that the code names."""
    return Message("fixed.sliced", "The forward takes a part of this axis at fixed positions ({op}).", {"op": op})


def repeated() -> Message:
    """How often something repeats."""
    return Message("fixed.repeated", "It counts how often something is repeated; what is repeated can go instead.")


def chosen(op: str) -> Message:
    """Its indices are chosen by number."""
    return Message(
        "fixed.chosen",
        "{op} chooses indices of this axis by number, and too few would remain or the numbers are used.",
        {"op": op},
    )


def equal_parts(op: str, count: int) -> Message:
    """A split by one size."""
    return Message("counted.equal", "The {count} parts of {op} keep equal counts.", {"op": op, "count": count})


def at_least(op: str, least: int) -> Message:
    """A choice of some of an axis."""
    return Message(
        "counted.least", "{op} chooses {least} of these, so at least as many stay.", {"op": op, "least": least}
    )


def last_part(op: str, least: int) -> Message:
    """A split by one size with a shorter last part."""
    return Message(
        "counted.last", "The last part of {op} has {least} and is never the longest.", {"op": op, "least": least}
    )


def projected(least: int) -> Message:
    """The units of an LSTM with a projection."""
    return Message(
        "counted.projected",
        "An LSTM's projection is narrower than the layer, so at least {least} units stay.",
        {"least": least},
    )


def multiple(op: str, number: int) -> Message:
    """A kernel that reads whole pieces of memory."""
    return Message("counted.multiple", "{op} takes multiples of {number} only.", {"op": op, "number": number})


def split(number: int) -> Message:
    """Code that takes an axis apart."""
    return Message("counted.split", "The code takes them apart into {number} equal parts.", {"number": number})


def counted(reason: Message) -> Message:
    """Constraints that leave no choice."""
    return Message("fixed.counted", "No number of these can go alone or with others: {reason}", {"reason": reason})


def own_code(kind: str) -> Message:
    """A number that a model's code works out, under plans that leave that code as it is."""
    return Message(
        "counted.own_code",
        "{kind}'s code works one of these sizes out from another, and is to stay as it is.",
        {"kind": kind},
    )


def own_attention() -> Message:
    """Torch's own attention, under plans that leave it as it is."""
    return Message(
        "counted.own_attention",
        "nn.MultiheadAttention has as many heads times head dimensions as its queries are wide, and stays as it is.",
    )


def vocabulary() -> Message:
    """Rows addressed by input values."""
    return Message("fixed.vocabulary", "Each index belongs to one value of the model's input (a token or a position).")


def unused() -> Message:
    """No path to the outputs."""
    return Message("fixed.unused", "No output of the model depends on it for the example input.")


def unused_reader(names: Phrase) -> Message:
    """Code that did not run may read it."""
    return Message(
        "fixed.unused_reader",
        "{names} did not run on the example input, and may read it when it does. Open the model with inputs that reach "
        "it, or ignore unused modules.",
        {"names": names},
    )


def unused_kept(names: Phrase) -> Message:
    """Modules that did not run."""
    return Message(
        "note.unused",
        "These did not run on the example input: {names}. What they may read stays as it is. To prune that too, open "
        "the model with inputs that reach them, or ignore unused modules if they never run.",
        {"names": names},
    )


def unused_ignored(names: Phrase) -> Message:
    """Modules that did not run, and are ignored."""
    return Message(
        "note.unused_ignored",
        "These did not run on the example input and are ignored: {names}. In a pruned model they may fail. Open the "
        "model without ignoring them if they are needed.",
        {"names": names},
    )


def kernel() -> Message:
    """Space, not structure."""
    return Message("fixed.kernel", "It is the extent of a kernel in space, not a channel.")


def conflict() -> Message:
    """Two incompatible views of one axis."""
    return Message("fixed.conflict", "The model splits this axis in two ways that do not fit together.")


def constant(op: str) -> Message:
    """Code that makes a tensor of numbers, or holds one that is neither parameter nor buffer."""
    return Message(
        "fixed.constant",
        "{op} reads it together with a constant of the code, which cannot shrink. Register the constant as a buffer.",
        {"op": op},
    )


def all_or_none() -> Message:
    """Every index is tied to the next."""
    return Message(
        "fixed.all_or_none",
        "The forward combines neighbouring indices of this axis, so all of them could only be removed together.",
    )


def not_floating() -> Message:
    """Integer and boolean buffers."""
    return Message("fixed.integer", "It holds whole numbers or flags, which are positions rather than weights.")


def unrepaired(detail: Phrase) -> Message:
    """The model's code could not be made to run with it."""
    return Message(
        "fixed.unrepaired",
        "The model's code keeps this size where no repair reaches it ({detail}), so it stays.",
        {"detail": detail},
    )


def also_makes(module: str) -> Message:
    """A member of a list whose other results are used."""
    return Message(
        "block.also_makes",
        "{module} cannot go as a whole: besides its result it makes something that later layers use.",
        {"module": module},
    )


def stays(module: str, reason: Message) -> Message:
    """A block without which the model's code did not run."""
    return Message("block.stays", "{module} cannot go as a whole. {reason}", {"module": module, "reason": reason})


def can_be_merged(count: int, method: str) -> Message:
    """Blocks as they are trained, which become one layer each before they are used."""
    return Message(
        "merging.apart",
        "{count} blocks have branches that their own {method}() merges after training. They are analysed, counted "
        "and cut as they are, before that; merge the smaller model when it is trained.",
        {"count": count, "method": method},
    )


def packed(count: int, first: str) -> Message:
    """Layers that were quantised."""
    return Message(
        "note.packed",
        "{count} layers are quantised ({first} and so on): their weights are packed, and nothing of them can be "
        "removed. Open the model as it was before, and quantise what comes of it.",
        {"count": count, "first": first},
    )


def are_merged(count: int) -> Message:
    """Blocks of which nothing is left to merge."""
    return Message(
        "merging.done",
        "{count} re-parameterised blocks are merged already: they are analysed and cut as the one layer that each is.",
        {"count": count},
    )
