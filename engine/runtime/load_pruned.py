"""Load a pruned model without Secateur: this one file needs torch and safetensors only, and may be copied anywhere.

    model = load_pruned(make_model, "shapes.json", "weights.safetensors")

`make_model` builds the original, unpruned network (your class); `shapes.json` says what its tensors measure now and
which repairs its code needs. The result is an ordinary trainable module of your class.
"""

import copy
import copyreg
import itertools
import json
import linecache
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.lazy import LazyModuleMixin
from torch.overrides import TorchFunctionMode

SCHEMA = 1


def load_pruned(model_factory: Callable[[], nn.Module], shapes_file: str, weights_file: str = "") -> nn.Module:
    """Build the original network, give it the pruned shapes, repair its code and load the weights.

    Args:
        model_factory: Makes the original network.
        shapes_file: The JSON file of the export, or the folder of the export.
        weights_file: The safetensors file of the export, or of weights trained elsewhere since; "" for the one in
            the folder of the JSON file.

    Returns:
        The pruned network in eval mode.

    Raises:
        ValueError: The file is of another schema, or the tensors do not fit.
    """
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

    shapes = Path(shapes_file)
    shapes = shapes / "shapes.json" if shapes.is_dir() else shapes
    described = json.loads(shapes.read_text(encoding="utf-8"))
    if described.get("schema") != SCHEMA:
        raise ValueError(f"{shapes_file} has schema {described.get('schema')}, this file reads {SCHEMA}.")
    model = model_factory()
    if is_lazy(model):
        initialize_lazy(model, model_factory(), described.get("input_shape", ()))
    apply_edits(model, described["edits"])
    resize(model, described["shapes"])
    weights = load_file(weights_file or str(shapes.with_name("weights.safetensors")))
    if not any(one.dtype is torch.bfloat16 for one in weights.values()):
        model.float()  # as the model was when its weights were saved
    found = model.load_state_dict(weights, strict=False)
    missing = cast("list[str]", found.missing_keys)
    unexpected = cast("list[str]", found.unexpected_keys)
    tied: dict[int, set[str]] = {}  # a file holds a tied weight under one of its names only
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tied.setdefault(id(parameter), set()).add(name)
    lost = [name for name in missing if not any(name in names and names & weights.keys() for names in tied.values())]
    if lost or unexpected:
        raise ValueError(f"The weights do not fit: missing {lost[:5]}, unexpected {unexpected[:5]}.")
    return model.eval()


def is_lazy(model: nn.Module) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return any(nn.parameter.is_lazy(one) for one in (*model.parameters(), *model.buffers()))


def initialize_lazy(model: nn.Module, other: nn.Module, input_shape: Sequence[int]) -> None:
    """Give the lazy layers of a model their sizes, as a run of another one finds them; the model itself does not run.

    Args:
        model: Its lazy layers are initialised, in the order in which they run.
        other: Another one, which runs once on zeros.
        input_shape: With batch.
    """
    met: list[tuple[str, Any, Any]] = []

    def note_call(path: str) -> Callable[[Any, Any, Any], None]:
        return lambda _module, args, kwargs: met.append((path, args, kwargs))

    for path, module in cast("Iterable[tuple[str, nn.Module]]", other.named_modules()):
        if isinstance(module, LazyModuleMixin):
            module.register_forward_pre_hook(note_call(path), with_kwargs=True, prepend=True)
    with torch.no_grad():
        other.eval()(torch.zeros(max(2, input_shape[0]), *input_shape[1:]))
    for path, args, kwargs in met:
        layer = cast("Any", model.get_submodule(path))
        if is_lazy(layer):
            layer._infer_parameters(layer, args, kwargs)


def resize(model: nn.Module, shapes: dict[str, Any]) -> None:
    """Give the named parameters and buffers new shapes (values zero); tied ones stay tied."""
    made: dict[int, torch.Tensor] = {}
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        shape = shapes.get(name)
        if shape is not None and list(tensor.shape) != list(shape) and id(tensor) not in made:
            fresh = torch.zeros(tuple(shape), dtype=tensor.dtype, device=tensor.device)
            made[id(tensor)] = nn.Parameter(fresh, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fresh
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


def apply_edits(model: nn.Module, edits: dict[str, Any]) -> None:
    """Make the model's code run with its new sizes.

    Args:
        model: A network with the original's modules.
        edits: {"blocks": [[path, result]], "attributes": [[path, name, value]],
            "attention": [[path, heads, head dimension]],
            "literals": [[path, call site, k-th call or -1 for each, argument, value or [times, by]]],
            "constants": [[path, call site, k-th call or -1 for each, argument, [[dimension, size, kept indices]]]],
            "slices": [[buffer, dimension, kept indices]]}
    """
    removed: tuple[str, ...] = ()
    # An outer block before its inner ones, which go with it.
    for path, result in sorted(edits.get("blocks", ()), key=lambda b: len(b[0])):
        if not path.startswith(removed):
            replaced = model.get_submodule(path)
            if not isinstance(replaced, StandIn):
                model.set_submodule(path, StandIn(replaced, result))
            removed += (f"{path}.",)
    for path, heads, head_dim in edits.get("attention", ()):
        if not f"{path}.".startswith(removed):
            _size_from_weights(model.get_submodule(path), int(heads), int(head_dim))
    owned: dict[int, tuple[Any, Any]] = {}
    modules = dict(cast("Iterable[tuple[str, nn.Module]]", model.named_modules(remove_duplicate=False)))
    for path, name, value in edits.get("attributes", ()):
        if not f"{path}.".startswith(removed):
            owner, last = _attribute_owner(model, modules[path], name, owned)
            set_remembered(owner, last, value)
    _slice_buffers(model, edits.get("slices", ()))
    for path, sites in _by_module(edits.get("literals", ())).items():
        if not f"{path}.".startswith(removed):
            _replace_literals(model.get_submodule(path), path, sites)
    kept = ((*place, Kept(dims)) for *place, dims in edits.get("constants", ()))
    for path, sites in _by_module(kept).items():
        if not f"{path}.".startswith(removed):
            module = model.get_submodule(path)
            if not isinstance(module, _Replaced):
                _replace_literals(module, path, {})
            module.__dict__["pruned_constants"] = sites


def _by_module(replaced: Iterable[Any]) -> dict[str, "Sites"]:
    """Replacements (path, call site, k-th call, argument, by what) for each module."""
    found: dict[str, Sites] = {}
    for path, site, call, where, value in replaced:
        found.setdefault(path, {}).setdefault(site, {}).setdefault(int(call), {})[where] = value
    return found


def _attribute_owner(
    model: nn.Module, module: nn.Module, name: str, owned: dict[int, tuple[Any, Any]]
) -> tuple[Any, str]:
    """What has an attribute: a module, or for "config.hidden_size" the plain object that it holds.

    Such an object may belong to others than this model, so the model's modules get a copy of it first; `owned` holds
    (object, its copy) by the id of each.
    """
    if any(part.startswith("__") for part in name.split(".")):
        raise ValueError(f"{name} is no attribute that a model has for its sizes.")
    owner: Any = module
    *holders, last = name.split(".")
    for holder in holders:
        held = getattr(owner, holder)
        if id(held) not in owned:
            own = copy.copy(held)
            owned[id(held)], owned[id(own)] = (held, own), (own, own)
        own = owned[id(held)][1]
        for one in (owner, *model.modules()):
            for key, value in vars(one).items():
                if value is held:
                    vars(one)[key] = own
        owner = own
    return owner, last


def set_remembered(owner: Any, name: str, value: Any) -> None:
    """Set an attribute to a number, or to numbers in the kind of sequence that it is (JSON knows lists only)."""
    if isinstance(value, (list, tuple)):
        value = cast("list[Any]", value)
        value = list(value) if isinstance(getattr(owner, name, None), list) else tuple(value)
    setattr(owner, name, value)


def _slice_buffers(model: nn.Module, slices: Any) -> None:
    """Cut buffers that the model makes itself (no weights file holds them)."""
    for name, dim, kept in slices:
        tensor = dict(model.named_buffers(remove_duplicate=False)).get(name)
        if tensor is not None:  # else it vanished with a block
            replace(model, {id(tensor): tensor.index_select(int(dim), torch.tensor(kept, device=tensor.device))})


HANDED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "input": lambda given: given,
    "copy": torch.clone,
    "zeros": torch.zeros_like,
}
"""What a stand-in returns in place of a tensor, made from one that it is given."""


class StandIn(nn.Module):
    """Takes the place of a module of a removed block, computes nothing and returns what the others go on with.

    Code around it may read plain attributes of the removed module and of those inside it; their parameters read None.
    """

    def __init__(self, removed: nn.Module, result: Any) -> None:
        """Take the module that goes and what to return.

        Args:
            removed: The module that goes.
            result: {"input": place} what is given there ("0" by position, "mask" by name, "0.1" the second in a
                tuple), {"copy": place} a copy of it, {"zeros": place} zeros of its shape, None, {"constant": value},
                or {"tuple": [...]}, {"list": [...]}, {"dict": {...}}, {"class": "module:Name", "fields": {...}} of
                these.
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
        for kind, make in HANDED.items():
            if kind in part:
                # A caller may now give by name what was given by position, or the other way round.
                first, *inner = part[kind].split(".")
                if first.isdigit():
                    number = int(first)
                    found: Any = args[number] if number < len(args) else kwargs[self.names[number]]
                else:
                    found = kwargs[first] if first in kwargs else args[self.names.index(first)]
                for key in inner:
                    found = found[key] if hasattr(found, "keys") else found[int(key)]
                return make(found)
        if "dict" in part:
            return {key: self._make(one, args, kwargs) for key, one in part["dict"].items()}
        if "fields" in part:
            return _loaded_dataclass(part["class"])(
                **{k: self._make(v, args, kwargs) for k, v in part["fields"].items()}
            )
        kind = "tuple" if "tuple" in part else "list"
        made = [self._make(one, args, kwargs) for one in part[kind]]
        return tuple(made) if kind == "tuple" else made

    def extra_repr(self) -> str:
        """What it returns."""
        return json.dumps(self.result)


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(one) for one in cast("tuple[Any, ...]", value))
    return value is None or isinstance(value, (bool, int, float, str))


def _loaded_dataclass(name: str) -> Any:
    """A class that the model's own code has loaded; nothing is imported for a name in a file."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"{name}, which a removed block returned, is not a loaded dataclass.")
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
        # Repairs number the calls in here one after the other (`call_site` leaves this file out): their order stays.
        batched = query.dim() == 3
        bias = cast("torch.Tensor | None", self.in_proj_bias)
        if self.pruned_packed and query is key and key is value:
            q, k, v = F.linear(query, self.in_proj_weight, bias).chunk(3, dim=-1)
        elif self.pruned_packed and key is value:
            rows = self.in_proj_weight.shape[0] // 3
            first, second = self.in_proj_weight[:rows], self.in_proj_weight[rows:]
            own, shared = (None, None) if bias is None else (bias[:rows], bias[rows:])
            q = F.linear(query, first, own)
            k, v = F.linear(key, second, shared).chunk(2, dim=-1)
        else:
            packed = self.in_proj_weight.chunk(3) if self.pruned_packed else None
            weights_of = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight) if packed is None else packed
            biases = (None,) * 3 if bias is None else bias.chunk(3)
            q, k, v = (F.linear(t, w, b) for t, w, b in zip((query, key, value), weights_of, biases))
        if not batched:
            q, k, v = (t.unsqueeze(0) for t in (q, k, v))
        elif not self.batch_first:
            q, k, v = (t.transpose(0, 1) for t in (q, k, v))
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(k.shape[0], 1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.expand(v.shape[0], 1, -1)], dim=1)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        # [N, L, heads * head dimension] -> [N, heads, L, head dimension]
        q, k, v = (cast("torch.Tensor", t.unflatten(-1, (self.pruned_heads, -1))).transpose(1, 2) for t in (q, k, v))
        # The base class takes is_causal as a hint that goes with an attn_mask, never as a mask of its own.
        mask = self._join_masks(attn_mask, key_padding_mask, q, k)
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

    def _join_masks(
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
        raise ValueError(
            f"{type(module).__name__} is not a plain nn.MultiheadAttention: the factory builds another one."
        )
    assert isinstance(module, nn.MultiheadAttention)
    if not isinstance(module, PrunedAttention):
        # nn.TransformerEncoderLayer has a fast path that would read embed_dim; without this flag it does not take it.
        module.__dict__["pruned_packed"] = module._qkv_same_embed_dim  # pyright: ignore[reportPrivateUsage]
        module._qkv_same_embed_dim = False  # pyright: ignore[reportPrivateUsage]
        module.__class__ = PrunedAttention
    module.__dict__["pruned_heads"] = module.__dict__["num_heads"] = heads
    module.__dict__["pruned_scale"] = head_dim**-0.5


Sites: TypeAlias = dict[str, dict[int, dict[str, Any]]]
"""Numbers to put in: by call site, k-th call from there (-1: each), place among the arguments."""


class Kept:
    """What stays of a constant: [[dimension, its size, kept indices]]."""

    def __init__(self, dims: Any) -> None:
        """Take it as the repair has it."""
        self.dims = [(int(dim), int(size), torch.tensor(list(kept))) for dim, size, kept in dims]

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor with these indices only.

        Raises:
            RuntimeError: The code made a constant of another size.
        """
        for dim, size, kept in self.dims:
            if tensor.shape[dim] != size:
                raise RuntimeError(f"a constant of the code has {tensor.shape[dim]} in place of {size}")
            tensor = tensor.index_select(dim, kept.to(tensor.device))
        return tensor


class CallSiteMode(TorchFunctionMode):
    """Runs one forward of a module with other numbers at some of the places where its code calls torch.

    Attributes:
        path: Path of the module.
        sites: For each call site (`call_site`), for its k-th call in one forward (-1: for each): the numbers to
            replace, by their places among the arguments (`numbers`); two numbers are what to multiply with and
            to divide by, where the batch is a factor.
    """

    def __init__(self, path: str, sites: Sites) -> None:
        """Take the module's path and the replacements."""
        super().__init__()
        self.path, self.sites = path, sites
        self._names = {site.rpartition(" ")[2] for site in sites}
        self._texts: dict[str, set[str]] = {}
        for name, text in (_text_of(part) for site in sites for part in site.split(" ")[:-1]):
            self._texts.setdefault(name, set()).add(text)
        self._counts: Counter[str] = Counter()
        self._frame: FrameType | None = None

    def __enter__(self) -> Any:
        """Begin the forward that the calling frame runs."""
        self._frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """End it."""
        self._frame = None
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, with other numbers where so asked."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in self._names:
            site = call_site(name, sys._getframe(1), self._frame)  # pyright: ignore[reportPrivateUsage]
            calls = self.sites.get(site)
            if calls is None:
                # Where the code around a replaced number is another one by now, the model would compute nonsense.
                for part in site.split(" ")[:-1]:
                    caller, text = _text_of(part)
                    if text not in self._texts.get(caller, (text,)):
                        raise RuntimeError(
                            f"The code of {caller} differs from the code that the model was cut with, so the sizes "
                            "replaced in it cannot be found. Install the version of its library that it was cut with, "
                            "or cut again."
                        )
            else:
                changes = {**calls.get(-1, {}), **calls.get(self._counts[site], {})}
                self._counts[site] += 1
                if watch is not None:
                    watch(self, site, self._counts[site] - 1, changes, dict(numbers(args, kwargs)))
                args, kwargs = with_numbers(args, kwargs, changes)
        return func(*args, **kwargs)


watch: Callable[[CallSiteMode, str, int, dict[str, Any], dict[str, Any]], None] | None = None
"""Called at every replacement: the mode, the call site, which call from there it is, the new numbers, and all numbers
that the code gave."""

SIZED = (
    "reshape", "view", "expand", "unflatten", "split", "split_with_sizes", "narrow", "__getitem__", "__setitem__",
    "layer_norm", "rms_norm", "group_norm", "channel_shuffle", "zeros", "ones", "empty", "rand", "randn", "new_zeros",
    "new_ones", "new_empty", "repeat_interleave", "arange",
    *(f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)),
)  # fmt: skip
"""Functions that are given sizes."""
FILLED = ("full", "new_full")
"""Functions that are given sizes and a number to compute with."""
SCALED = ("mul", "mul_", "div", "div_", "true_divide", "pow", "add", "sub", "rsub", "tensor",
          "scaled_dot_product_attention",
          *(f"__{r}{n}__" for n in ("mul", "truediv", "div", "pow", "add", "sub") for r in ("", "r", "i")))  # fmt: skip
"""Functions that compute with the numbers that they are given."""
WATCHED = frozenset((*SIZED, *FILLED, *SCALED))


def call_site(function: str, frame: FrameType | None, until: FrameType | None = None) -> str:
    """Where a forward calls a function: for every Python function between them its name, text and place in it.

    "Block.forward#9ac1d2f0+4-4:31 window_attention#77b01c9e+20-21:14 reshape": name, checksum of the source, line and
    last line after the function's first, column of the call's end. Torch's own functions are left out, so that a site
    is the same whichever way torch takes.

    Args:
        function: Name of the called function.
        frame: Frame of its caller.
        until: Frame that runs the forward; by default the call of the innermost module.

    Returns:
        "" for a call that another module's forward makes.
    """
    parts: list[str] = []
    while frame is not None and frame is not until:
        module: str = frame.f_globals.get("__name__", "")
        if module == "torch.nn.modules.module":
            if until is not None:
                return ""
            break
        at, own = frame, frame
        while own.f_code.co_name in COMPREHENSIONS and own.f_back is not None:
            own = own.f_back  # later Pythons have no frame of their own for these
        # Left out: code of torch that hands calls on, and this file.
        torchs_own = module == "torch" or (module.startswith("torch.") and not module.startswith("torch.nn.modules."))
        if module != __name__ and not torchs_own:
            parts.append(_place(at.f_code, at.f_lasti, own.f_code))
        frame = own.f_back
    return " ".join((*reversed(parts), function))


COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>")


@cache
def _place(at: CodeType, instruction: int, own: CodeType) -> str:
    line, last, _, column = next(itertools.islice(at.co_positions(), instruction // 2, None))
    first = own.co_firstlineno
    return f"{own.co_qualname}#{_checksum(own):08x}+{(line or 0) - first}-{(last or 0) - first}:{column or 0}"


@cache
def _checksum(code: CodeType) -> int:
    """Of the function's source text; 0 where there is none."""
    last = max(line for _, _, line in code.co_lines() if line is not None)
    lines = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 : last]
    return zlib.crc32("".join(lines).encode())


def _text_of(part: str) -> tuple[str, str]:
    """(qualified name, checksum) of a part of a call site."""
    name, _, rest = part.rpartition("#")
    return name, rest.partition("+")[0]


def numbers(args: Any, kwargs: Any) -> Iterator[tuple[str, int | float]]:
    """Every number among the arguments of a call, with its place: "1", "size.2", "1.0.stop"."""
    for name, value in (*enumerate(args), *kwargs.items()):
        yield from _numbers(str(name), value)


def _numbers(where: str, value: Any) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield where, value
    elif isinstance(value, (tuple, list)):
        for number, one in enumerate(cast("tuple[Any, ...]", value)):
            yield from _numbers(f"{where}.{number}", one)
    elif isinstance(value, slice):
        yield from _numbers(f"{where}.start", value.start)
        yield from _numbers(f"{where}.stop", value.stop)


def with_numbers(args: Any, kwargs: Any, changes: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """(args, kwargs) of a call with some of its numbers replaced; keywords that were not given are added."""
    given = {**{str(n): a for n, a in enumerate(args)}, **kwargs}
    for where, value in changes.items():
        name, _, inside = where.partition(".")
        given[name] = _with_number(given.get(name), inside, value)
    return tuple(given.pop(str(n)) for n in range(len(args))), given


def _with_number(old: Any, inside: str, value: Any) -> Any:
    if not inside and isinstance(value, Kept):
        return value.of(old)
    if not inside:
        if not isinstance(value, (list, tuple)):
            return value
        times, by = cast("tuple[int, int]", value)  # a factor of a size that follows the batch
        return old * times // by
    step, _, inside = inside.partition(".")
    if isinstance(old, slice):
        given = cast("slice[Any, Any, Any]", old)
        start = _with_number(given.start, "", value) if step == "start" else given.start
        stop = _with_number(given.stop, "", value) if step == "stop" else given.stop
        return slice(start, stop, given.step)
    changed = [_with_number(one, inside, value) if str(n) == step else one for n, one in enumerate(old)]
    return changed if isinstance(old, list) else tuple(changed)


class _Replaced:
    """Mixed into a module's class: its forward runs with other numbers."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the class's own forward, or the one that was set on the instance."""
        own = cast("Any", self.__dict__.get("pruned_forward") or super().forward)  # type: ignore[misc]
        path, sites = self.__dict__["pruned_literals"]
        if constants := self.__dict__.get("pruned_constants"):
            sites = {
                site: {
                    call: {**sites.get(site, {}).get(call, {}), **constants.get(site, {}).get(call, {})}
                    for call in {*sites.get(site, {}), *constants.get(site, {})}
                }
                for site in {*sites, *constants}
            }
        compiler = sys.modules.get("torch._dynamo")  # what it makes of a forward has no call sites any more
        run = _run_with_sites if compiler is None else compiler.disable(_run_with_sites)
        return run(own, path, sites, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle by the user's own class: the one made here cannot be imported."""
        make, given, *rest = cast("tuple[Any, ...]", super().__reduce_ex__(protocol))
        if make is copyreg.__newobj__:  # type: ignore[attr-defined]
            make, given = _revive, (own_class(cast("nn.Module", self)), *given[1:])
        elif "__reduce__" in _copy_methods(own_class(cast("nn.Module", self))):
            make, given = _remake, (make, given, *self.__dict__["pruned_literals"])
        return (make, given, *rest)


def _run_with_sites(forward: Any, path: str, sites: Sites, args: Any, kwargs: Any) -> Any:
    with CallSiteMode(path, sites):
        return forward(*args, **kwargs)


# Pickles name these two functions: they keep their names and what they take.


def _revive(own: type, *given: Any) -> Any:
    kind: Any = _replaced_class(own)
    return kind.__new__(kind, *given)


def _remake(make: Callable[..., nn.Module], given: tuple[Any, ...], path: str, sites: Sites) -> nn.Module:
    """What a class makes of its pickle, which knows of no other numbers."""
    module = make(*given)
    _replace_literals(module, path, sites)
    return module


def _deepcopy(self: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """As the user's class copies, which may make another class for each of its modules (GraphModule)."""
    path, sites = self.__dict__["pruned_literals"]
    restore_literals(self)
    try:
        module = copy.deepcopy(self, memo)
    finally:
        _replace_literals(self, path, sites)
    _replace_literals(module, path, sites)
    return module


def _copy_methods(own: type) -> set[str]:
    """How a class says itself that its modules are copied and pickled."""
    classes = own.__mro__[: own.__mro__.index(nn.Module)]
    return {name for one in classes for name in ("__deepcopy__", "__reduce__") if name in vars(one)}


def _replaced_class(own: type) -> type:
    """The user's class with `_Replaced` before it."""
    content: dict[str, Any] = {"__module__": own.__module__, "__qualname__": own.__qualname__}
    if "__deepcopy__" in _copy_methods(own):  # it may be the class of one module alone, which is not kept
        return type(own.__name__, (_Replaced, own), content | {"__deepcopy__": _deepcopy})
    if own not in _KEPT:
        _KEPT[own] = type(own.__name__, (_Replaced, own), content)
    return _KEPT[own]


_KEPT: dict[type, type] = {}
"""A user's class to the one with `_Replaced`, so that two modules of a class still have one."""


def _replace_literals(module: nn.Module, path: str, sites: Sites) -> None:
    if not isinstance(module, _Replaced):
        if "forward" in module.__dict__:
            module.__dict__["pruned_forward"] = module.__dict__.pop("forward")
        module.__class__ = _replaced_class(type(module))
    module.__dict__["pruned_literals"] = (path, sites)


def own_class(module: nn.Module) -> type:
    """The user's class of a module, whether or not numbers in its forward are replaced."""
    return type(module).__mro__[2] if isinstance(module, _Replaced) else type(module)


def restore_literals(module: nn.Module) -> None:
    """Undo the replacement of numbers in a module's forward."""
    if isinstance(module, _Replaced) and "pruned_constants" in module.__dict__:
        module.__dict__["pruned_literals"] = (module.__dict__["pruned_literals"][0], {})
    elif isinstance(module, _Replaced):
        module.__class__ = own_class(module)
        del module.__dict__["pruned_literals"]
        if "pruned_forward" in module.__dict__:
            module.__dict__["forward"] = module.__dict__.pop("pruned_forward")
