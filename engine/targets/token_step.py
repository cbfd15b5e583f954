"""One decoding step of a language model, with the earlier tokens in its cache. Loads torch.

The cache is the model's own, as the library transformers has it: an output with `cache` (`past_key_values` in older
versions), whose layers hold keys and values, and a forward that takes it again by that name.
"""

import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import SecateurError
from ..inference.model_inputs import Inputs
from ..tracing.model_state import model_state_restored

IDS, PAST = "input_ids", "past"
NAMES = ("cache", "past_key_values")
"""What a cache is called, the newer name first."""


def tokens_in(inputs: Inputs) -> Tensor:
    """The tokens [N, T] among a model's inputs; raises SecateurError where there are none."""
    given = inputs.get(IDS) if isinstance(inputs, Mapping) else inputs[0] if len(inputs) == 1 else None
    if given is None or given.ndim != 2 or torch.as_tensor(given).is_floating_point():
        template = (
            "Prompt and next token can be measured for language models only, and this model takes no tokens [N, T]."
        )
        raise SecateurError("target.no_tokens", template)
    return torch.as_tensor(given)


def cache_of(model: nn.Module, tokens: Tensor) -> Any:
    """What a model keeps of tokens [N, T]; raises SecateurError where it keeps nothing."""
    name, cache = _cache_name(model), None
    if name:
        try:
            with model_state_restored(model), torch.inference_mode():
                cache = getattr(model(tokens, use_cache=True), name, None)
        except Exception as error:
            # Whatever the model's own code raises.
            template = "The model does not run on a prompt of {tokens} tokens: {error}"
            raise SecateurError("target.prompt", template, tokens=tokens.shape[1], error=str(error)) from error
    if not getattr(cache, "layers", None):
        template = (
            "The model keeps no cache of earlier tokens as models of transformers do, so the next token cannot be "
            "measured apart from its prompt. Measure the whole model at the length that you need."
        )
        raise SecateurError("target.no_cache", template)
    return cache


def step_inputs(model: nn.Module, inputs: Inputs) -> Inputs:
    """Inputs of `StepModel`: the last token [N, 1], and the cache of tokens [N, T] as (keys, values) of each layer.

    Raises:
        SecateurError: There is no cache, or its layers hold more than keys and values of all tokens.
    """
    from transformers.cache_utils import DynamicLayer

    tokens = tokens_in(inputs)
    layers: list[Any] = cache_of(model, tokens).layers
    if any(type(one) is not DynamicLayer or not one.is_initialized for one in layers):
        template = "The model's cache ({kind}) cannot be saved to a file. Measure the next token in PyTorch."
        kind = ", ".join(sorted({type(one).__name__ for one in layers}))
        raise SecateurError("target.cache_kind", template, kind=kind)
    past = [(one.keys.clone(), one.values.clone()) for one in layers]
    return {IDS: tokens[:, -1:], PAST: past}


class StepModel(nn.Module):
    """A model that computes one further token: its cache comes in and goes out as tensors."""

    def __init__(self, model: nn.Module) -> None:
        """Take the model, whose weights keep their names below `model`."""
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, past: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Logits [N, 1, V], and keys and values [N, heads, T + 1, D] of each layer."""
        from transformers.cache_utils import DynamicCache

        name = _cache_name(self.model)
        output = self.model(input_ids, use_cache=True, **{name: DynamicCache(past)})
        kept: list[Any] = getattr(output, name).layers
        return output.logits, [(one.keys, one.values) for one in kept]


class TokenStep:
    """A run of one further token, always behind the same tokens."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        """Run the prompt, tokens [N, T]."""
        tokens = tokens_in(inputs)
        self._model, self._cache, self._next = model, cache_of(model, tokens), tokens[:, -1:]
        self._named = {_cache_name(model): self._cache}
        layers: list[Any] = self._cache.layers
        self._before: list[dict[str, Any]] = [{**vars(layer)} for layer in layers]

    def __call__(self) -> Tensor:
        """Logits of the token; the cache is put back first, without copying what it holds."""
        for layer, before in zip(self._cache.layers, self._before, strict=True):
            vars(layer).update(before)
        return cast("Any", self._model)(self._next, use_cache=True, **self._named).logits


def _cache_name(model: nn.Module) -> str:
    """What a forward calls its cache, "" for one that takes none."""
    taken = inspect.signature(model.forward).parameters
    return next((name for name in NAMES if name in taken and "use_cache" in taken), "")
