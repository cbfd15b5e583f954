"""Describes which outputs of a model every plan preserves, and which may become narrower."""

from collections.abc import Iterable

from ..errors import Message
from ..messages import Phrase, listed
from ..tracing.record import RecordedOutput

SHOWN = 8
"""Outputs that a sentence names."""


def outputs_in_words(returned: Iterable[RecordedOutput]) -> tuple[Message, ...]:
    """A sentence on the outputs that are preserved, and one on the others where there are any."""
    every = tuple(returned)
    preserved, narrower = (_list_outputs(one for one in every if one.preserved is kept) for kept in (True, False))
    found = [Message("outputs.preserved", "Preserved outputs: {names}.", {"names": preserved})] if preserved else []
    if narrower:
        template = (
            "Outputs that may become narrower: {names}. If you use them, open the model again and choose the outputs "
            "to preserve."
        )
        found.append(Message("outputs.narrower", template, {"names": narrower}))
    return tuple(found)


def _list_outputs(outputs: Iterable[RecordedOutput]) -> Phrase:
    """Names with shapes; tensors below one name together: "logits 2x1000, hidden_states (13 tensors)"."""
    below: dict[str, list[RecordedOutput]] = {}
    for one in outputs:
        below.setdefault(one.path.partition(".")[0], []).append(one)
    parts: list[Phrase] = []
    for name, tensors in below.items():
        if len(tensors) > 1:
            fields = {"name": name, "count": len(tensors)}
            parts.append(Message("outputs.several", "{name} ({count} tensors)", fields))
            continue
        path, shape = tensors[0].path, "x".join(map(str, tensors[0].shape)) or Message("outputs.number", "one number")
        words = {"name": path, "shape": shape}
        named = Message("outputs.named", "{name} {shape}", words)
        parts.append(named if path else Message("outputs.tensor", "one tensor {shape}", words))
    return listed(parts, SHOWN)
