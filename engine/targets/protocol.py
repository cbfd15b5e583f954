"""Plain data of targets and measurements, and the protocol that each runtime implements."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar, cast

from ..inference.model_inputs import Inputs
from ..machine.devices import CPU, NUMBER_OF_THREADS
from ..options import Option
from ..text.notation import SIZE

Plain = TypeVar("Plain")
RUNTIME = "onnxruntime"
"""What runs a model by default."""
WRITING = 4.0
"""About how often a file could be timed in the time that it takes to write it."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target.

    Attributes:
        runtime: A key of `table.TARGETS`.
        threads: Intra-op threads.
        batch: Batch size.
        multiple: Kept widths are multiples of this: what the runtime likes. All of them block channels by 16 for
            float32 where a CPU has AVX-512 (8 before that, which 16 serves too).
        seconds: About how long one model is measured.
        precision: One of the runtime's `precisions`; it concerns the time only, metrics are those of float32.
        size: Last sizes of the inputs ((320, 320) for images, (512,) for tokens), () as the model was opened.
        machine: What another machine is called where `bench.py` measured, "" for this one.
        address: How `ssh` reaches that machine, with the path of its Python (`subprocesses.ssh`), "" where only
            results of it are read. Two targets that differ in it alone are equal.
        tokens: Of a language model's prompt: that is measured, and one further token behind it apart; 0 for one run as
            it is.
        device: Where the runtime computes, as `devices.available` names it; of a sort in the runtime's `devices`. On
            another machine, what `bench.py` was asked to use.
    """

    runtime: Annotated[
        str, Option(title="Runtime", help="what runs the model there", automatic=RUNTIME, in_dialog=False)
    ] = RUNTIME
    threads: Annotated[
        int, Option(title="Threads", help="its threads", minimum=1, dialog_maximum=256, notation=NUMBER_OF_THREADS)
    ] = 1
    batch: Annotated[
        int, Option(title="Batch size", help="its batch size", minimum=1, dialog_maximum=4096, metavar="N")
    ] = 1
    multiple: Annotated[
        int,
        Option(
            title="Widths in multiples of",
            help="kept widths are multiples of this",
            details="Runtimes are fast only at some widths. 16 suits onnxruntime on a CPU.",
            minimum=1,
            dialog_maximum=256,
            on_command_line=False,
        ),
    ] = 16
    seconds: float = 1.5
    precision: Annotated[
        str,
        Option(
            title="Precision",
            help="what it computes in",
            details="Affects latency only. Metrics are measured in fp32.",
            in_dialog=False,
        ),
    ] = "fp32"
    size: Annotated[
        tuple[int, ...],
        Option(
            title="Input size",
            help="other sizes of the inputs than the model was opened with",
            notation=SIZE,
            hint="320 x 320; empty: as opened",
        ),
    ] = ()
    machine: str = ""
    tokens: Annotated[
        int,
        Option(
            title="Prompt tokens",
            help="of a language model: a prompt of N tokens, and one further token behind it, apart",
            minimum=1,
            zero="none",
            metavar="N",
            hint="128: time a prompt and the next token; empty: one pass",
        ),
    ] = 0
    device: str = CPU
    address: str = field(default="", compare=False)

    @property
    def is_reachable(self) -> bool:
        """Whether it can be measured from here."""
        return not self.machine or bool(self.address)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Last sizes of the inputs of a run."""
        return (self.tokens,) if self.tokens else self.size

    @property
    def place(self) -> tuple[object, ...]:
        """What a latency depends on."""
        place = self.runtime, self.threads, self.batch, self.precision, self.size, self.machine, self.tokens
        return place if self.device == CPU else (*place, self.device)


@dataclass(frozen=True, slots=True)
class Latency:
    """Times of runs.

    Attributes:
        median: Milliseconds a batch, median.
        low: 10th percentile in milliseconds.
        high: 90th percentile in milliseconds.
        runs: How many runs.
    """

    median: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True, slots=True)
class Timing:
    """A measured latency, from a process of its own; of the prompt where a target has one.

    Attributes:
        target: What it was measured on.
        median: Milliseconds a batch, median.
        low: 10th percentile in milliseconds.
        high: 90th percentile in milliseconds.
        runs: How many runs.
        machine: Processor, cores and runtime version in words.
        step: Of one further token behind the prompt, None where the target has none.
        own: Milliseconds of the processor that a batch takes of the process, all threads together, median; 0 where
            that is not known.
        beside: Milliseconds a batch of the original in the same turns (`undisturbed`), 0 where it was not among them.
        when: Seconds since 1970 at which it was measured, 0 unknown; two timings that differ in it alone are equal.
    """

    target: TargetSpec
    median: float
    low: float
    high: float
    runs: int
    machine: str
    step: Latency | None = None
    own: float = 0.0
    beside: float = 0.0
    when: float = field(default=0.0, compare=False, repr=False)

    @property
    def undisturbed(self) -> float:
        """Milliseconds a batch on a processor that nothing else uses (`timing.undisturbed_seconds`)."""
        return min(self.median, self.own) if self.own else self.median


Run: TypeAlias = Callable[[], object]
"""Runs one batch and waits until it is done; nothing else happens in it, because it is timed."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A fused block as a runtime ran it: a convolution with its norm, its activation and the sum behind it, say.

    Attributes:
        name: The runtime's; the same in a cut model, where the runtime fuses that in the same way.
        kind: The runtime's word for what it computes ("Conv").
        sizes: Shapes of all that goes in and comes out, weights included where the runtime tells them.
        seconds: One run of it.
    """

    name: str
    kind: str
    sizes: tuple[tuple[int, ...], ...]
    seconds: float


class Loaded(Protocol):
    """A loaded model."""

    def __call__(self, inputs: Inputs) -> Run:
        """Take arrays [N, ...], positional or by name as the model takes them, in the runtime's own form."""
        ...


class Target(Protocol):
    """A runtime. One file each, and a line in `table.TARGETS`; the runtime is imported only when a model is loaded.

    Attributes:
        title: For a person ("ONNX Runtime").
        takes: What it runs: "onnx" (a file) or "parcel" (a folder that `export.model_package` packed).
        precisions: What it can compute in, "fp32" first.
        devices: Sorts of devices that it can compute on, "cpu" first.
    """

    title: str
    takes: str
    precisions: tuple[str, ...]
    devices: tuple[str, ...]

    def version(self) -> str:
        """The runtime with its version."""
        ...

    def load(self, path: str, threads: int, precision: str = "fp32", step: bool = False, device: str = CPU) -> Loaded:
        """Load a model onto `threads` intra-op threads and one inter-op thread.

        Where it `takes` files, that of a further token is a file of its own; a parcel runs a `step` behind its inputs.
        """
        ...

    def kernels(self, path: str, target: TargetSpec, inputs: Inputs) -> list[Kernel]:
        """The fused blocks of one run, in their order, each timed in its place; a run takes a little longer then.

        It runs the model for about `target.seconds`, once at least.
        """
        ...


def addresses_in(value: Any) -> list[str]:
    """The addresses of all targets in a value of frozen dataclasses, structs and tuples, each once, sorted."""
    found = set[str]()
    rest: list[Any] = [value]
    # A state has thousands of numbers, and a project may have thousands of states.
    while rest:
        one = rest.pop()
        if isinstance(one, TargetSpec) and one.address:
            found.add(one.address)
        if type(one) is tuple:
            rest += [part for part in cast("tuple[Any, ...]", one) if type(part) not in _NUMBERS]
        else:
            rest += [getattr(one, name) for name in _field_names(one.__class__)]
    return sorted(found)


def without_addresses(value: Plain) -> Plain:
    """The same value, whose targets lead to no other machine; itself where they do not anyway.

    A file of a stranger must not make this machine connect to one that the stranger chose.
    """
    if not addresses_in(value):
        return value
    if isinstance(value, TargetSpec):
        return replace(value, address="")
    if type(value) is tuple:
        return cast("Plain", tuple(map(without_addresses, cast("tuple[Any, ...]", value))))
    changed = {name: without_addresses(getattr(value, name)) for name in _field_names(value.__class__)}
    # The window starts without it.
    import msgspec

    return msgspec.structs.replace(value, **changed) if isinstance(value, msgspec.Struct) else replace(value, **changed)  # type: ignore[type-var]


_NUMBERS = frozenset((int, float, bool))


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...]:
    """The fields that a dataclass or a struct is made with; none of any other type."""
    # The window starts without it.
    import msgspec

    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    return tuple(one.name for one in fields(kind) if one.init) if is_dataclass(kind) else ()
