"""Operators that create tensors: an axis of one repeated value may shrink with what it is combined with."""

from .context import Context


def uniform(context: Context) -> None:
    """zeros, full, new_empty ...: every index of an axis is as the others, so its size is a literal only."""
    context.give([context.labels.spread(size) for size in context.out_shape()])


def distinct_values(context: Context) -> None:
    """arange, linspace, eye, random numbers: an index is its value, so nothing of it goes."""
    context.give_untracked()


RULES = {
    **{
        f"aten.{name}": uniform
        for name in ("zeros", "ones", "full", "empty", "empty_strided", "new_zeros", "new_ones", "new_full",
                     "new_empty", "new_empty_strided")
    },
    **{
        f"aten.{name}": distinct_values
        for name in ("arange", "linspace", "logspace", "eye", "rand", "randn", "randint", "randperm", "scalar_tensor",
                     "hann_window", "hamming_window")
    },
}  # fmt: skip
