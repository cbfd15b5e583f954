"""Load a pruned model without Secateur: this one file needs torch and safetensors only, and may be copied anywhere.

    model = load_pruned(make_model, "shapes.json", "weights.safetensors")

`make_model` builds the original, unpruned network (your class); `shapes.json` says what its tensors measure now and
which repairs its code needs. The result is an ordinary trainable module of your class.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import is_dataclass
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

SCHEMA = 1


def load_pruned(model_factory: Callable[[], nn.Module], shapes_file: str, weights_file: str) -> nn.Module:
    """Build the original network, give it the pruned shapes, repair its code and load the weights.

    Args:
        model_factory: Makes the original network.
        shapes_file: The JSON file of the export.
        weights_file: The safetensors file of the export, or of weights trained elsewhere since.

    Returns:
        The pruned network in eval mode.

    Raises:
        ValueError: The file is of another schema, or the tensors do not fit.
    """
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

    described = json.loads(Path(shapes_file).read_text(encoding="utf-8"))
    if described.get("schema") != SCHEMA:
        raise ValueError(f"{shapes_file} has schema {described.get('schema')}, this file reads {SCHEMA}.")
    model = model_factory()
    apply_edits(model, described["edits"])
    resize(model, described["shapes"])
    weights = load_file(weights_file)
    found = model.load_state_dict(weights, strict=False)
    missing = cast("list[str]", found.missing_keys)
    unexpected = cast("list[str]", found.unexpected_keys)
    tied = _tied_names(model)
    lost = [name for name in missing if not any(name in names and names & weights.keys() for names in tied)]
    if lost or unexpected:
        raise ValueError(f"The weights do not fit: missing {lost[:5]}, unexpected {unexpected[:5]}.")
    return model.eval()


def resize(model: nn.Module, shapes: dict[str, Any]) -> None:
    """Give the named parameters and buffers new shapes (values zero); tied ones stay tied."""
    made: dict[int, torch.Tensor] = {}
    for name, tensor in _named_tensors(model):
        shape = shapes.get(name)
        if shape is not None and list(tensor.shape) != list(shape) and id(tensor) not in made:
            fresh = torch.zeros(tuple(shape), dtype=tensor.dtype, device=tensor.device)
            made[id(tensor)] = nn.Parameter(fresh, tensor.requires_grad) if _is_parameter(tensor) else fresh
    replace(model, made)


def replace(model: nn.Module, new: dict[int, torch.Tensor]) -> None:
    """Put other tensors wherever a module of the model holds one; `new` maps id(old tensor) to the new one."""
    for module in model.modules():
        stores = (module._parameters, module._buffers)  # pyright: ignore[reportPrivateUsage]
        for store in cast("tuple[dict[str, Any], ...]", stores):
            for name, tensor in store.items():
                if tensor is not None and id(tensor) in new:
                    store[name] = new[id(tensor)]
        if isinstance(module, nn.RNNBase):  # LSTM and GRU keep a second list of their weights
            names: list[str] = module._flat_weights_names  # pyright: ignore[reportPrivateUsage]
            module._flat_weights = [getattr(module, n, None) for n in names]  # pyright: ignore[reportPrivateUsage]


def _named_tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]


def apply_edits(model: nn.Module, edits: dict[str, Any]) -> None:
    """Make the model's code run with its new sizes.

    Args:
        model: A network with the original's modules.
        edits: {"blocks": [[path, result]], "attributes": [[path, name, value]],
            "attention": [[path, heads, head dimension]], "literals": [[path, function, call, argument, value]],
            "slices": [[buffer, dimension, kept indices]]}
    """
    removed: tuple[str, ...] = ()
    for path, result in sorted(edits.get("blocks", ()), key=lambda b: len(b[0])):  # an outer one before its inner ones
        if not path.startswith(removed):
            replaced = model.get_submodule(path)
            if not isinstance(replaced, StandIn):
                model.set_submodule(path, StandIn(replaced, result))
            removed += (f"{path}.",)
    for path, heads, head_dim in edits.get("attention", ()):
        if not f"{path}.".startswith(removed):
            _size_from_weights(model.get_submodule(path), int(heads), int(head_dim))
    for path, name, value in edits.get("attributes", ()):
        if not f"{path}.".startswith(removed):
            setattr(
                model.get_submodule(path), name, tuple(cast("list[Any]", value)) if isinstance(value, list) else value
            )
    _slice_buffers(model, edits.get("slices", ()))
    literals: dict[str, dict[tuple[str, int], list[tuple[int, Any]]]] = {}
    for path, function, call, argument, value in edits.get("literals", ()):
        literals.setdefault(path, {}).setdefault((function, int(call)), []).append((int(argument), value))
    for path, sites in literals.items():
        if not f"{path}.".startswith(removed):
            _replace_literals(model.get_submodule(path), sites)


def _slice_buffers(model: nn.Module, slices: Any) -> None:
    """Cut buffers that the model makes itself (no weights file holds them)."""
    for name, dim, kept in slices:
        tensor = dict(model.named_buffers(remove_duplicate=False)).get(name)
        if tensor is not None:  # else it vanished with a block
            replace(model, {id(tensor): tensor.index_select(int(dim), torch.tensor(kept, device=tensor.device))})


class StandIn(nn.Module):
    """Stands where a module of a removed block stood, computes nothing and returns what the others go on with.

    Code around it may read plain attributes of the removed module and of those inside it; their parameters read None.
    """

    def __init__(self, removed: nn.Module, result: Any) -> None:
        """Take the module that goes and what to return.

        Args:
            removed: The module that goes.
            result: {"input": place} what is given there ("0" by position, "mask" by name, "0.1" the second in a
                tuple), {"zeros": place} zeros of its shape, None, {"constant": value}, or {"tuple": [...]},
                {"list": [...]}, {"dict": {...}}, {"class": "module:Name", "fields": {...}} of these.
        """
        super().__init__()
        for name, value in vars(removed).items():
            if name not in self.__dict__ and _is_plain(value):
                self.__dict__[name] = value
        for name in (*removed._parameters, *removed._buffers):  # pyright: ignore[reportPrivateUsage]
            self.register_parameter(name, None)
        for name, child in removed.named_children():
            self.__dict__[name] = StandIn(child, None)  # to be read, no module of the model
        self.training = removed.training
        self.result = result
        self.names = tuple(signature(removed.forward).parameters)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what `result` says, whatever the arguments are."""
        return self._make(self.result, args, kwargs)

    def _make(self, part: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if part is None or "constant" in part:
            return None if part is None else part["constant"]
        if "input" in part:
            return self._given(part["input"], args, kwargs)
        if "zeros" in part:
            return torch.zeros_like(self._given(part["zeros"], args, kwargs))
        if "dict" in part:
            return {key: self._make(one, args, kwargs) for key, one in part["dict"].items()}
        if "fields" in part:
            return _dataclass(part["class"])(**{k: self._make(v, args, kwargs) for k, v in part["fields"].items()})
        kind = "tuple" if "tuple" in part else "list"
        made = [self._make(one, args, kwargs) for one in part[kind]]
        return tuple(made) if kind == "tuple" else made

    def _given(self, place: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An argument, also where a caller now gives by name what was given by position, or the other way round."""
        first, *inner = place.split(".")
        if first.isdigit():
            number = int(first)
            found: Any = args[number] if number < len(args) else kwargs[self.names[number]]
        else:
            found = kwargs[first] if first in kwargs else args[self.names.index(first)]
        for key in inner:
            found = found[key] if hasattr(found, "keys") else found[int(key)]
        return found

    def extra_repr(self) -> str:
        """What it returns."""
        return json.dumps(self.result)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(one) for one in cast("tuple[Any, ...]", value))
    return value is None or isinstance(value, (bool, int, float, str))


def _dataclass(name: str) -> Any:
    """A class that the model's own code has loaded; nothing is imported for a name in a file."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"{name}, which a removed block returned, is no loaded dataclass.")
    return found


class PrunedAttention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` that takes its sizes from its weights: heads and head dimensions may be missing."""

    pruned_heads: int
    pruned_scale: float
    pruned_packed: bool

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As in the base class: (output, weights or None)."""
        batched = query.dim() == 3
        q, k, v = self._project(query, key, value)
        if not batched:
            q, k, v = (t.unsqueeze(0) for t in (q, k, v))
        elif not self.batch_first:
            q, k, v = (t.transpose(0, 1) for t in (q, k, v))
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(k.shape[0], 1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.expand(v.shape[0], 1, -1)], dim=1)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        q, k, v = (self._heads(t) for t in (q, k, v))
        # The base class takes is_causal as a hint that goes with an attn_mask, never as a mask of its own.
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        dropout = self.dropout if self.training else 0.0
        weights: torch.Tensor | None = None
        if need_weights:
            scores = (q * self.pruned_scale) @ k.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, dim=-1)
            mixed = F.dropout(weights, dropout) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout, scale=self.pruned_scale)
        result = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return result.squeeze(0), None if weights is None else weights.squeeze(0)
        return result if self.batch_first else result.transpose(0, 1), weights

    def _heads(self, tensor: torch.Tensor) -> torch.Tensor:
        """[N, L, heads * head dimension] -> [N, heads, L, head dimension]."""
        return cast("torch.Tensor", tensor.unflatten(-1, (self.pruned_heads, -1))).transpose(1, 2)

    def _project(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        bias = cast("torch.Tensor | None", self.in_proj_bias)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        if not self.pruned_packed:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        elif query is key and key is value:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        elif key is value:
            rows = self.in_proj_weight.shape[0] // 3
            first, second = self.in_proj_weight[:rows], self.in_proj_weight[rows:]
            own, shared = (None, None) if bias is None else (bias[:rows], bias[rows:])
            return F.linear(query, first, own), *F.linear(key, second, shared).chunk(2, dim=-1)
        else:
            weights = self.in_proj_weight.chunk(3)
        return tuple(F.linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases))

    def _mask(
        self, attn_mask: torch.Tensor | None, padding: torch.Tensor | None, q: torch.Tensor, k: torch.Tensor
    ) -> torch.Tensor | None:
        masks: list[torch.Tensor] = []
        if attn_mask is not None:
            added = self._additive(attn_mask, q)
            masks.append(added if added.dim() == 2 else added.view(q.shape[0], self.pruned_heads, *added.shape[1:]))
        if padding is not None:
            masks.append(self._additive(padding.view(q.shape[0], 1, 1, -1), q))
        more = 0 if not masks else k.shape[2] - masks[0].shape[-1]
        masks = [F.pad(m, (0, more)) for m in masks]
        return None if not masks else masks[0] if len(masks) == 1 else masks[0] + masks[1]

    @staticmethod
    def _additive(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        if mask.dtype is not torch.bool:
            return mask.to(like.dtype)
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))


def takes_sizes(module: nn.Module) -> bool:
    """True for attention whose forward is torch's own, or is replaced already: a subclass's own would be lost."""
    forward = type(module).forward
    return isinstance(module, nn.MultiheadAttention) and forward in (
        nn.MultiheadAttention.forward,
        PrunedAttention.forward,
    )


def _size_from_weights(module: nn.Module, heads: int, head_dim: int) -> None:
    if not takes_sizes(module):
        raise ValueError(f"{type(module).__name__} is no plain nn.MultiheadAttention: the factory builds another one.")
    assert isinstance(module, nn.MultiheadAttention)
    if not isinstance(module, PrunedAttention):
        # nn.TransformerEncoderLayer has a fast path that would read embed_dim; without this flag it does not take it.
        module.__dict__["pruned_packed"] = module._qkv_same_embed_dim  # pyright: ignore[reportPrivateUsage]
        module._qkv_same_embed_dim = False  # pyright: ignore[reportPrivateUsage]
        module.__class__ = PrunedAttention
    module.__dict__["pruned_heads"] = module.__dict__["num_heads"] = heads
    module.__dict__["pruned_scale"] = head_dim**-0.5


class OwnCalls(TorchFunctionMode):
    """Counts the calls of torch functions that a module's own forward makes (not its children's), and may change them.

    Attributes:
        literals: For (function, k-th call): the arguments to replace.
    """

    def __init__(self, literals: dict[tuple[str, int], list[tuple[int, Any]]]) -> None:
        """Take the replacements."""
        super().__init__()
        self.literals = literals
        self._counts: Counter[str] = Counter()
        self._depth = 0
        self._handles: list[Any] = []

    def __enter__(self) -> Any:
        """Begin a forward."""
        hooks = nn.modules.module
        self._handles = [
            hooks.register_module_forward_pre_hook(self._entered),
            hooks.register_module_forward_hook(self._left, always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """End a forward."""
        for handle in self._handles:
            handle.remove()
        super().__exit__(*error)

    def _entered(self, _module: nn.Module, _args: Any) -> None:
        self._depth += 1

    def _left(self, _module: nn.Module, _args: Any, _result: Any) -> None:
        self._depth -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, with other arguments where so asked."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if self._depth == 0 and name in COUNTED:
            number = self._counts[name]
            self._counts[name] += 1
            for argument, value in self.literals.get((name, number), ()):
                args, kwargs = with_literal(name, args, kwargs, argument, value)
        return func(*args, **kwargs)


NAMED = {"layer_norm": "normalized_shape", "rms_norm": "normalized_shape", "group_norm": "num_groups"}
SIZES = ("reshape", "view", "expand", "split", *NAMED)
SCALARS = (
    "mul", "__mul__", "__rmul__", "div", "__truediv__", "true_divide", "add", "__add__", "__radd__", "sub", "__sub__",
    "pow", "__pow__",
)  # fmt: skip
COUNTED = (*SIZES, *SCALARS, "scaled_dot_product_attention")


def with_literal(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], argument: int, value: Any) -> Any:
    """(args, kwargs) of a call with one literal replaced: the `argument`-th size, the scalar, or attention's scale."""
    if name == "scaled_dot_product_attention":
        return args, {**kwargs, "scale": value}
    if name in SCALARS:
        return tuple(type(a)(value) if type(a) in (int, float) else a for a in args), kwargs
    at = 1
    keyword = {"reshape": "shape", "view": "size", "expand": "size", **NAMED}.get(name, "split_size")
    if name == "split" and "split_size_or_sections" in kwargs:
        keyword = "split_size_or_sections"
    given: Any = kwargs.get(keyword, args[at] if len(args) > at else None)
    if isinstance(given, (list, tuple)):
        changed: Any = [value if n == argument else s for n, s in enumerate(cast("list[Any]", given))]
    elif keyword in kwargs or name in ("split", "group_norm"):
        changed = value
    else:  # sizes given one by one
        return tuple(value if n == argument + at else a for n, a in enumerate(args)), kwargs
    if keyword in kwargs:
        return args, {**kwargs, keyword: changed}
    return (*args[:at], changed, *args[at + 1 :]), kwargs


class _Replaced:
    """Mixed into a module's class: its forward runs with other literals."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the class's own forward."""
        with OwnCalls(self.__dict__["pruned_literals"]):
            return super().forward(*args, **kwargs)  # type: ignore[misc]


def _replace_literals(module: nn.Module, sites: dict[tuple[str, int], list[tuple[int, Any]]]) -> None:
    if "forward" in module.__dict__:
        raise ValueError(f"{type(module).__name__} sets its own forward on the instance, which cannot be repaired.")
    if not isinstance(module, _Replaced):
        own = type(module)
        module.__class__ = type(own.__name__, (_Replaced, own), {"__module__": own.__module__})
    module.__dict__["pruned_literals"] = sites


def _is_parameter(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.Parameter)


def _tied_names(model: nn.Module) -> list[set[str]]:
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return list(names.values())
