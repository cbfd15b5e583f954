"""Runs for shapes give what torch's own kernels for tensors without values give, the first time and remembered."""

from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_flatten

from secateur.engine.tracing import shapes

aten: Any = torch.ops.aten


def blank(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


image, vector, scale = blank(2, 8, 7, 9), blank(8), blank(8, 1, 1)
last, part = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), image[:, 2:6]
heads = blank(2, 5, 3, 4, 6)[:, :, 1].transpose(1, 2)
CASES: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    *((aten.convolution.default, (x, blank(4, 8, 3, 2), blank(4), [2, 1], [1, 0], [1, 2], False, [0, 0], 1), {})
      for x in (image, last)),
    (aten.convolution.default, (image, blank(8, 1, 3, 3), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 8), {}),
    (aten.native_batch_norm.default, (image, vector, vector, vector, vector, True, 0.1, 1e-5), {}),
    (aten.native_layer_norm.default, (image, [7, 9], blank(7, 9), None, 1e-5), {}),
    *((aten.max_pool2d_with_indices.default, (image, [3, 3], [2, 2], [1, 1], [1, 1], ceil), {})
      for ceil in (False, True)),
    (aten.max_pool2d_with_indices.default, (image, [2]), {}),
    *((aten.avg_pool2d.default, (image, [3, 2], [2, 2], [0, 1], ceil), {}) for ceil in (False, True)),
    (aten.avg_pool2d.default, (image, [2, 2]), {}),
    *((rule, (x, [-1, 1], keep), {}) for rule in (aten.mean.dim, aten.sum.dim_IntList) for x in (image, last)
      for keep in (False, True)),
    (aten.linalg_vector_norm.default, (heads, 2.0, [-1], True), {}),
    (aten._softmax.default, (heads, 2, False), {}),
    (aten.mm.default, (blank(3, 4), blank(5, 4).t()), {}),
    (aten.bmm.default, (blank(2, 3, 4), blank(2, 5, 4).mT), {}),
    (aten.addmm.default, (blank(5), blank(3, 4), blank(4, 5)), {}),
    *((aten.cat.default, (parts, 1), {}) for parts in ([image, image], [part, part], [image, part])),
    *((aten.clone.default, (x,), {}) for x in (image, last, part, heads)),
    (aten.clone.default, (heads,), {"memory_format": torch.contiguous_format}),
    *((rule, (x, y), {}) for rule in (aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor)
      for x, y in ((image, last), (last, image), (last, last), (last, scale), (scale, last), (image, 2.0), (part, part),
                   (heads, blank(2, 4, 5, 1)), (blank(4, 1, 6), blank(5, 1)), (part, 3))),
    *((rule, (x, y), {}) for rule in (aten.add_.Tensor, aten.mul_.Tensor, aten.sub_.Tensor, aten.div_.Tensor)
      for x, y in ((image, last), (last, scale), (part, 2.0))),
    *((rule, (x,), {}) for rule in (aten.relu.default, aten.gelu.default) for x in (image, last, part)),
    (aten.clamp.default, (last, 0.0, 1.0), {}),
    (aten.clamp_min.default, (heads, 0.0), {}),
    *((rule, (image, 0), {}) for rule in (aten.ne.Scalar, aten.eq.Scalar)),
    (aten.masked_fill.Scalar, (image, blank(9, dtype=torch.bool), -100.0), {}),
    (aten.index.Tensor, (blank(6, 3), [blank(4, 4, dtype=torch.int64)]), {}),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "args", "kwargs"), CASES)
def test_a_remembered_call_gives_what_the_meta_kernel_gives(
    operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    kernel = operator(*args, **kwargs)
    for _ in range(2):
        mine = shapes.run(operator, args, kwargs)
        pairs = zip(tree_flatten(mine)[0], tree_flatten(kernel)[0], strict=True)
        assert all(told(one) == told(other) for one, other in pairs)
        assert (mine is args[0]) == (kernel is args[0])


def test_a_call_is_asked_of_the_kernel_once() -> None:
    shapes._ask_kernel.cache_clear()
    first = shapes.run(aten.gelu.default, (blank(3, 5),), {})
    second = shapes.run(aten.gelu.default, (blank(3, 5),), {})
    assert first is not second and told(first) == told(second)
    assert shapes._ask_kernel.cache_info().hits == 1


def test_numbers_of_other_types_are_other_calls() -> None:
    flags = [shapes.run(aten.full_like.default, (blank(2), 1), {"dtype": dtype}) for dtype in (None, torch.bool)]
    assert [one.dtype for one in flags] == [torch.float32, torch.bool]
    shapes._ask_kernel.cache_clear()
    shapes.run(aten.pow.Tensor_Scalar, (blank(2), 1), {})
    shapes.run(aten.pow.Tensor_Scalar, (blank(2), True), {})
    assert shapes._ask_kernel.cache_info().misses == 2


def test_what_changes_sizes_in_place_is_left_to_the_kernel() -> None:
    for _ in range(2):
        one = blank(1, 4)
        assert shapes.run(aten.squeeze_.default, (one,), {}) is one and one.shape == (4,)


def test_a_view_keeps_its_storage() -> None:
    base = blank(4, 6)
    for _ in range(2):
        part = shapes.run(aten.slice.Tensor, (base, 1, 2, 4), {})
        assert part._base is base or part.untyped_storage()._cdata == base.untyped_storage()._cdata


def told(tensor: torch.Tensor) -> Any:
    """All that a run for shapes can see of a tensor; strides of sizes of one mean nothing."""
    strides = [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1]
    return tensor.shape, strides, tensor.dtype, tensor.device


WRONG: list[tuple[Any, tuple[Any, ...]]] = [
    (aten.convolution.default, (image, blank(4, 7, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)),
    (aten.mm.default, (blank(3, 4), blank(5, 4))),
    (aten.bmm.default, (blank(2, 3, 4), blank(3, 4, 5))),
    (aten.add.Tensor, (blank(3), blank(4))),
    (aten.add_.Tensor, (blank(1), blank(4))),
    (aten.cat.default, ([blank(2, 3), blank(3, 3)], 1)),
]


@pytest.mark.parametrize(("operator", "args"), WRONG)
def test_what_does_not_fit_raises_each_time(operator: Any, args: tuple[Any, ...]) -> None:
    for _ in range(2):
        with pytest.raises((RuntimeError, IndexError)):
            shapes.run(operator, args, {})


def test_rows_with_values_are_taken_from_a_table_without() -> None:
    rows = torch.zeros(2, 5, dtype=torch.int64)
    assert shapes.run(aten.index.Tensor, (blank(6, 3), [rows]), {}).shape == torch.zeros(6, 3)[rows].shape


def test_values_are_not_written_over_by_unknown_ones() -> None:
    with pytest.raises(RuntimeError, match="writes unknown values"):
        shapes.run(aten.add_.Tensor, (torch.zeros(2, dtype=torch.int64), blank(2)), {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("turned", [False, True])
def test_products_of_experts_have_the_shape_that_they_have_when_computed(dtype: torch.dtype, turned: bool) -> None:
    rows, ends = torch.ones(6, 16, dtype=dtype), torch.tensor([2, 6], dtype=torch.int32)
    experts = torch.ones(2, 24, 16, dtype=dtype).mT if turned else torch.ones(2, 16, 24, dtype=dtype)
    right = aten._grouped_mm.default(rows, experts, ends)
    found = shapes.run(aten._grouped_mm.default, (rows.to("meta"), experts.to("meta"), ends), {})
    assert (found.shape, found.stride(), found.dtype) == (right.shape, right.stride(), right.dtype)
