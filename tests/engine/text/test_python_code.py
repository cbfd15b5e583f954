"""Whatever a stranger's file holds, it stands in code as data: what is written reads back as it was, or is refused."""

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from secateur.engine.errors import OpenError
from secateur.engine.text.python_code import called, comment, identifier, literal, quoted

PLAIN = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner) | some.tuples(inner, inner),
    max_leaves=8,
)


@given(PLAIN)
def test_values_read_back_as_they_were(value: object) -> None:
    assert ast.literal_eval(literal(value)) == value and "\n" not in literal(value)


@given(some.text())
def test_texts_read_back_as_they_were_on_one_line(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == text and len(quoted(text).splitlines()) == 1


@given(some.text())
def test_a_comment_ends_with_its_line(text: str) -> None:
    try:
        parsed = ast.parse(f"# {comment(text)}\nafter = 1\n")
    except (SyntaxError, ValueError):  # a null byte: nothing runs then
        return
    assert [type(one) for one in parsed.body] == [ast.Assign]


@given(some.text(), some.text())
def test_a_call_is_one_call_whatever_its_arguments_are_called(name: str, value: str) -> None:
    try:
        code = called("make", **{name: value})
    except OpenError:
        assert not name.isidentifier() or name == identifier_of_a_keyword(name)
        return
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call) and [ast.literal_eval(one.value) for one in call.keywords] == [value]


def identifier_of_a_keyword(name: str) -> str:
    import keyword

    return name if keyword.iskeyword(name) else ""


@pytest.mark.parametrize("name", ["", "class", "a b", "x=None) + exec('1') #", "a.b", "1a", "None"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(OpenError, match="is not a Python name"):
        identifier(name)


def test_what_is_no_plain_value_is_refused_and_infinities_are_written() -> None:
    with pytest.raises(OpenError, match="cannot be written as Python"):
        literal([object()])
    assert literal(math.inf) == 'float("inf")'
