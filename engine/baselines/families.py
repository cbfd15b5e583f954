"""Finds smaller models of the same family by name.

A name is read as words and numbers: resnet50 is (resnet, 50), regnet_y_8gf is (regnet, y, 8, gf). The family are the
models that the same file of the library defines and whose names begin with the same word; those are nearest that differ
in the fewest parts.
"""

import re

from ..sources import timm_models, torchvision_models

PART = re.compile(r"[a-z]+|[0-9]+", re.IGNORECASE)


def relatives(source: str) -> tuple[str, ...]:
    """Sources of the same family, nearest names first; () where the source names none."""
    prefix, _, name = source.partition(":")
    known = _siblings(f"{prefix}:", name)
    others = sorted((distance(name, one), one) for one in known if one != name and _first(one) == _first(name))
    return tuple(f"{prefix}:{one}" for _, one in others)


def distance(one: str, other: str) -> int:
    """In how many parts two names differ."""
    first, second = PART.findall(one), PART.findall(other)
    return sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))


def _first(name: str) -> str:
    return next(iter(PART.findall(name)), "")


def _siblings(prefix: str, name: str) -> list[str]:
    """Names of the models that the same file of a library defines."""
    if prefix == torchvision_models.PREFIX:
        from torchvision import models

        home = models.get_model_builder(name).__module__
        return [one for one in models.list_models() if models.get_model_builder(one).__module__ == home]
    if prefix == timm_models.PREFIX:
        import timm

        base = name.partition(".")[0]
        home = timm.model_entrypoint(base).__module__.rpartition(".")[2]
        return timm.list_models(module=home)
    return []
