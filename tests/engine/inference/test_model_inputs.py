"""Inputs by position or name: called, repeated, written and read back with their names."""

import numpy as np
import pytest
import torch

from secateur.engine.inference.model_inputs import (
    alike,
    at_batch,
    batch_size,
    call,
    few,
    inputs_of,
    named_arrays,
    read,
    write,
)


def test_a_model_is_called_with_what_it_is_given() -> None:
    def model(*inputs: int, **named: int) -> object:
        return inputs, named

    assert call(model, (1, 2)) == ((1, 2), {}) and call(model, {"b": 1, "a": 2}) == ((), {"b": 1, "a": 2})


def test_what_users_call_inputs_is_a_tuple_or_names() -> None:
    assert inputs_of(3) == (3,) and inputs_of([3, 4]) == (3, 4) and inputs_of({"a": 3}) == {"a": 3}


def test_only_what_has_the_batch_is_repeated_or_cut() -> None:
    rows, positions = np.arange(6.0).reshape(3, 2), np.arange(2)
    for batch, expected in ((2, rows[:2]), (4, rows[[0, 1, 2, 0]])):
        given = at_batch({"x": rows, "more": [rows, positions], "scale": np.float32(2)}, batch)
        assert isinstance(given, dict) and np.array_equal(given["x"], expected)
        assert np.array_equal(given["more"][0], expected) and np.array_equal(given["more"][1], positions)
    cut = few((torch.ones(3, 2), torch.arange(4)), 2)
    assert [len(one) for one in cut] == [2, 4] and batch_size(cut) == 2


def test_names_nesting_and_flags_come_back_from_a_file(tmp_path) -> None:
    value: list[object] = [
        ({"ids": torch.arange(6).reshape(2, 3), "flag": True, "none": None}, [np.ones(2), np.zeros(())])
    ]
    value.append(((np.ones((1, 1), np.float32), [torch.ones(1), "word"], 0.5), []))
    write(tmp_path / "a.npz", value)
    found = read(tmp_path / "a.npz")
    assert list(found[0][0]) == ["ids", "flag", "none"] and found[0][0]["flag"] is True and found[0][0]["none"] is None
    assert isinstance(found[1][0], tuple) and found[1][0][1][1] == "word" and found[1][0][2] == 0.5
    before, after = list(named_arrays(value)), list(named_arrays(found))
    assert [path for path, _ in before] == [path for path, _ in after] and len(after) == 5
    for (_, one), (_, other) in zip(before, after, strict=True):
        assert np.asarray(one).dtype == other.dtype and np.array_equal(one, other)


def test_what_is_no_array_is_not_written(tmp_path) -> None:
    with pytest.raises(TypeError, match="object"):
        write(tmp_path / "a.npz", {"x": object()})


def test_a_call_is_alike_where_all_inputs_were_given() -> None:
    x, other = torch.tensor([1.0, torch.nan]), torch.ones(2)
    assert alike(((x,), {}), (x.clone(),)) and alike(((), {"ids": x, "labels": other}), {"ids": x.double()})
    array = np.ones(2)
    assert alike(((array.copy(),), {}), (array,)) and not alike(((x,), {}), (array,))
    assert not alike(((other,), {}), (x,)) and not alike(((x[:1],), {}), (x,)) and not alike(((x,), {}), (x, other))
