"""Messages that say why an axis is fixed, one function for each reason."""

from ..errors import Message
from ..messages import Phrase


def output() -> Message:
    """The axis is part of a model output."""
    return Message("fixed.output", "This is a model output: removing an index would change what the model returns.")


def handed() -> Message:
    """The tensor leaves PyTorch."""
    return Message(
        "fixed.handed",
        "The forward passes this to NumPy or to a Python list, where it cannot be followed.",
    )


def model_input(op: str) -> Message:
    """The axis comes from the input, not from a parameter."""
    return Message(
        "fixed.input",
        "This axis belongs to the model's input, to space or to the sequence, and keeps its size ({op}).",
        {"op": op},
    )


def combined(op: str) -> Message:
    """The axis is combined with one that cannot shrink."""
    return Message(
        "fixed.combined", "{op} combines this axis with one that cannot shrink (input, space or sequence).", {"op": op}
    )


def no_rule(op: str) -> Message:
    """No rule knows the operator."""
    named = op.replace(".", "::", 1)  # as `register_rule` takes it
    return Message("fixed.no_rule", "{op} has no rule, so nothing that it touches can be removed.", {"op": named})


def reduced(op: str) -> Message:
    """The operator reduces or normalises over the axis."""
    return Message("fixed.reduced", "{op} runs over this axis, so its result depends on every index.", {"op": op})


def sliced(op: str) -> Message:
    """The code slices the axis at fixed positions."""
    return Message("fixed.sliced", "The forward slices this axis at fixed positions ({op}).", {"op": op})


def repeated() -> Message:
    """The axis counts repetitions."""
    return Message("fixed.repeated", "This axis counts repetitions. Remove what is repeated instead.")


def chosen(op: str) -> Message:
    """The operator selects indices of the axis by number."""
    return Message(
        "fixed.chosen",
        "{op} selects indices of this axis by number: too few would remain, or the numbers are used later.",
        {"op": op},
    )


def equal_parts(op: str, count: int) -> Message:
    """A split into parts of equal size."""
    return Message("counted.equal", "The {count} parts of {op} must keep equal sizes.", {"op": op, "count": count})


def at_least(op: str, least: int) -> Message:
    """A selection of a fixed number of indices."""
    return Message(
        "counted.least", "{op} selects {least} of these, so at least as many must stay.", {"op": op, "least": least}
    )


def einsum() -> Message:
    """A sum of products by `torch.einsum`."""
    return Message("counted.einsum", "einsum computes another way where one of these is left, so at least 2 must stay.")


def last_part(op: str, least: int) -> Message:
    """A split into parts of equal size with a shorter last one."""
    return Message(
        "counted.last", "The last part of {op} has {least} and must not become the longest.", {"op": op, "least": least}
    )


def projected(least: int) -> Message:
    """An LSTM with a projection."""
    return Message(
        "counted.projected",
        "The projection of an LSTM is narrower than the layer, so at least {least} units must stay.",
        {"least": least},
    )


def multiple(op: str, number: int) -> Message:
    """A kernel that needs sizes aligned to a multiple."""
    return Message("counted.multiple", "{op} accepts only multiples of {number}.", {"op": op, "number": number})


def split(number: int) -> Message:
    """Code that splits an axis into equal parts."""
    return Message("counted.split", "The code splits them into {number} equal parts.", {"number": number})


def counted(reason: Message) -> Message:
    """Counting constraints leave no smaller size."""
    return Message(
        "fixed.counted",
        "No number of these can be removed, alone or together with others: {reason}",
        {"reason": reason},
    )


def own_code(kind: str) -> Message:
    """A size that the model's code computes, where plans must leave the code unchanged."""
    return Message(
        "counted.own_code",
        "The code of {kind} computes one of these sizes from another, and the code must stay unchanged.",
        {"kind": kind},
    )


def own_attention() -> Message:
    """`nn.MultiheadAttention`, where plans must leave its code unchanged."""
    return Message(
        "counted.own_attention",
        "In nn.MultiheadAttention, heads times head dimension must equal the width of the queries, and its code must "
        "stay unchanged.",
    )


def vocabulary() -> Message:
    """Rows that input values select."""
    return Message("fixed.vocabulary", "Each index stands for one value of the model's input (a token or a position).")


def state() -> Message:
    """The forward changes the model."""
    return Message("fixed.state", "The forward replaces this buffer by one of a size that cannot shrink.")


def unused() -> Message:
    """No output depends on the axis."""
    return Message("fixed.unused", "No output of the model depends on this for the example input.")


def unused_reader(names: Phrase) -> Message:
    """A module that did not run may read it."""
    return Message(
        "fixed.unused_reader",
        "{names} did not run on the example input, but may read this when it runs. Open the model with inputs that "
        "reach it, or ignore unused modules.",
        {"names": names},
    )


def unread(count: int, size: int) -> Message:
    """A slice of a table that is as long as the input left it out."""
    return Message(
        "fixed.unread",
        "The example inputs read {count} of {size} indices here. Longer inputs may read the others, so all are kept.",
        {"count": count, "size": size},
    )


def unused_kept(names: Phrase) -> Message:
    """Modules that did not run are kept."""
    return Message(
        "note.unused",
        "These modules did not run on the example input: {names}. What they may read is kept. To prune that too, open "
        "the model with inputs that reach them, or ignore unused modules if they never run.",
        {"names": names},
    )


def unused_ignored(names: Phrase) -> Message:
    """Modules that did not run are ignored."""
    return Message(
        "note.unused_ignored",
        "These modules did not run on the example input and are ignored: {names}. They may fail in a pruned model. If "
        "you need them, open the model without ignoring them.",
        {"names": names},
    )


def kernel() -> Message:
    """The axis is spatial."""
    return Message("fixed.kernel", "This is a kernel size in space, not a channel.")


def conflict() -> Message:
    """Two views split the axis in incompatible ways."""
    return Message("fixed.conflict", "The model splits this axis in two ways that do not fit together.")


def constant(op: str) -> Message:
    """A tensor in the code is neither parameter nor buffer."""
    return Message(
        "fixed.constant",
        "{op} combines this axis with a constant in the code, which cannot shrink. Register the constant as a buffer.",
        {"op": op},
    )


def all_or_none() -> Message:
    """Every index depends on its neighbour."""
    return Message(
        "fixed.all_or_none",
        "The forward combines neighbouring indices of this axis, so only all of them could be removed together.",
    )


def not_floating() -> Message:
    """The tensor holds integers or booleans."""
    return Message("fixed.integer", "This holds integers or flags: positions rather than weights.")


def unrepaired(detail: Phrase) -> Message:
    """No repair makes the model's code run with a smaller size."""
    return Message(
        "fixed.unrepaired",
        "The model's code stores this size where no repair reaches it ({detail}), so it is kept.",
        {"detail": detail},
    )


def also_makes(module: str) -> Message:
    """A block whose further results later layers use."""
    return Message(
        "block.also_makes",
        "{module} cannot be removed as a whole: besides its result it produces a tensor that later layers use.",
        {"module": module},
    )


def stays(module: str, reason: Message) -> Message:
    """A block that the model's code needs."""
    return Message(
        "block.stays", "{module} cannot be removed as a whole. {reason}", {"module": module, "reason": reason}
    )


def can_be_merged(count: int, method: str) -> Message:
    """Blocks with training branches that are not merged yet."""
    return Message(
        "merging.apart",
        "{count} blocks have branches that their own {method}() merges after training. They are analysed and cut "
        "unmerged. Merge the pruned model after training it.",
        {"count": count, "method": method},
    )


def packed(count: int, first: str) -> Message:
    """Quantised layers, which cannot be cut."""
    return Message(
        "note.packed",
        "{count} layers are quantised ({first} and others): their weights are packed, so nothing can be removed from "
        "them. Open the model from before quantisation, and quantise the pruned model.",
        {"count": count, "first": first},
    )


def are_merged(count: int) -> Message:
    """Blocks that are merged already."""
    return Message(
        "merging.done",
        "{count} re-parameterised blocks are already merged. Each is analysed and cut as one layer.",
        {"count": count},
    )
