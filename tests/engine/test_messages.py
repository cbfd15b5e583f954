"""Parts of sentences in a row."""

import pytest

from secateur.engine.errors import Message, SecateurError, filled
from secateur.engine.messages import all_of, any_of, listed
from secateur.engine.storage.serialization import from_plain, to_plain


def test_parts_stand_in_a_row() -> None:
    assert [str(all_of("abc"[:count])) for count in range(4)] == ["", "a", "a and b", "a and b and c"]
    assert str(any_of("ab")) == "a or b" and str(listed("abc")) == "a, b, c"
    assert str(listed("abcdef", 4)) == "a, b, c, d and 2 more"


@pytest.mark.parametrize("count", [7, 5000])
def test_a_long_row_is_written_and_read_as_any_other(count: int) -> None:
    names = [f"layer{number}" for number in range(count)]
    row = listed(names)
    assert isinstance(row, Message) and str(row) == ", ".join(names)
    assert from_plain(to_plain(row), Message) == row


@pytest.mark.parametrize("field", ["{name.__class__}", "{name[0]}", "{0}", "{}", "{name:9999}", "{name:{width}}"])
def test_a_template_from_elsewhere_reaches_into_nothing(field: str) -> None:
    words = {"name": "layer", "width": "4096"}
    with pytest.raises(ValueError, match=r"name of a field|too wide"):
        filled(f"Read {field}.", words)
    assert str(Message("a.b", f"Read {field}.", words)) == f"Read {field}."


def test_a_field_that_nobody_fills_is_shown_as_it_stands() -> None:
    """A repair's message in the history of a stranger's project; our own errors are held to their fields."""
    assert str(Message("a.b", "Read {zz}.", {})) == "Read {zz}."
    with pytest.raises(KeyError):
        SecateurError("a.b", "Read {zz}.")


def test_of_what_a_library_says_a_sentence_has_the_first_line() -> None:
    said = "\n".join(["wrong field", *["more" * 50] * 40])
    error = SecateurError("a.b", "Cannot read it: {error}.", error=said)
    assert str(error) == "Cannot read it: wrong field." and error.details == said
    assert len(str(SecateurError("a.b", "{error}", error="x" * 5000))) < 400
