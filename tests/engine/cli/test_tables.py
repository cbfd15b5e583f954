"""Lines of results that several commands print."""

from secateur.engine.cli.tables import layer_repairs_of
from secateur.engine.errors import Message
from secateur.engine.session.states import State, StateKind
from secateur.engine.surgery.cut.edits import Edits


def test_repairs_of_several_recoveries_name_their_states() -> None:
    said = [Message("test.repair", f"{count} of 5 layers were repaired.") for count in (3, 5)]
    before = State("s1", "s0", StateKind.CUT, {}, Edits(), "", 10, 10)
    first, second = (
        State(name, before.id, StateKind.RECOVERED, {}, Edits(), "", 10, 10, repaired=(message,))
        for name, message in zip(("s2", "s4"), said, strict=True)
    )
    assert layer_repairs_of([before, first]) == ["3 of 5 layers were repaired."]
    assert layer_repairs_of([before, first, second]) == [
        "s2: 3 of 5 layers were repaired.", "s4: 5 of 5 layers were repaired.",
    ]  # fmt: skip
