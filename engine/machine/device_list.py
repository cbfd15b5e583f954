"""Devices that this machine computes with: names, memory, load, and what each can do. Loads torch when it is called.

Each kind of device is one `Backend` in `BACKENDS`; all that is known of a device comes from there. `devices.py` puts
models on them.
"""

import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

CPU = "cpu"
AUTO = "auto"
"""In place of a name: the accelerator with the most free memory, the CPU where there is none."""
GROUP = Path("/sys/fs/cgroup")
"""Where Linux says how much memory a container or a job of a cluster may take."""
LISTENING = 0.1
"""Seconds over which the load of the CPU is measured."""
AMPERE, VOLTA = (8, 0), (7, 0)
"""Compute capabilities of NVIDIA from which bfloat16, and half precision at all, are faster than float32."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it stands now.

    Attributes:
        name: As `--device` takes it: "cpu", "cuda:0", "mps", "xpu:1".
        title: As its maker calls it, "" where nothing says.
        total: Bytes of memory, 0 where unknown.
        free: Bytes of it that can be had now, 0 where unknown.
        load: Share of its computing power that is used now, by any program; None where unknown, or not asked for.
        half: Type that mixed precision computes in, "" where that is not safe.
        fast: Mixed precision is faster there than float32.
        double: It has float64.
    """

    name: str
    title: str
    total: int
    free: int
    load: float | None
    half: str
    fast: bool
    double: bool


class Backend(Protocol):
    """A kind of device."""

    def names(self) -> tuple[str, ...]:
        """What is there of it."""
        ...

    def title(self, name: str) -> str:
        """As its maker calls it; opens no context on it."""
        ...

    def device(self, name: str) -> Device:
        """All that is known of one at once, without its load."""
        ...

    def load(self, name: str) -> float | None:
        """Share of its computing power that is used now, None where unknown; that of the CPU takes a moment."""
        ...

    def half(self, name: str) -> str:
        """Type that mixed precision computes in, "" where that is not safe."""
        ...

    def double(self, name: str) -> bool:
        """Whether it has float64."""
        ...

    def same_operators(self, name: str) -> bool:
        """Whether models run the CPU's operators there, so that what enters a product can be watched."""
        ...

    def synchronize(self, name: str) -> None:
        """Wait until it has done what it was given."""
        ...


class CpuBackend:
    """The processor, with the memory that this process may take."""

    def names(self) -> tuple[str, ...]:
        """It is always there."""
        return (CPU,)

    def title(self, name: str) -> str:
        """The processor, where the system names it."""
        with suppress(OSError):
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
            return next((one.partition(":")[2].strip() for one in lines if one.startswith("model name")), "")
        return platform.processor()

    def device(self, name: str) -> Device:
        """Memory as the system has it, or the group of processes that this one belongs to, whichever is less."""
        import psutil

        memory = _told(psutil.virtual_memory)
        total, free = (0, 0) if memory is None else (int(memory.total), int(memory.available))
        if limit := _number_in(GROUP / "memory.max"):
            total = min(total, limit) if total else limit
            held = _number_in(GROUP / "memory.current") - _unused_cache(GROUP / "memory.stat")
            free = min(free or limit, max(limit - held, 0))
        # Whether the processor has units for bfloat16: AVX-512 or AMX with it, or Arm's.
        import torch

        if platform.machine().lower() in ("arm64", "aarch64"):
            has_bfloat16 = bool(_told(torch.ops.mkldnn._is_mkldnn_bf16_supported))
        else:
            own: Any = torch.cpu
            names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            has_bfloat16 = any(bool(_told(getattr(own, name, bool))) for name in names)
        return Device(name, self.title(name), total, free, None, self.half(name), has_bfloat16, True)

    def load(self, name: str) -> float | None:
        """Of all cores, over a moment."""
        import psutil

        return _told(lambda: psutil.cpu_percent(LISTENING) / 100)

    def half(self, name: str) -> str:
        """Without units for it bfloat16 is computed too, but slowly."""
        return "bfloat16"

    def double(self, name: str) -> bool:
        """It has."""
        return True

    def same_operators(self, name: str) -> bool:
        """They are."""
        return True

    def synchronize(self, name: str) -> None:
        """What it was given is done."""


class CudaBackend:
    """NVIDIA's devices, and AMD's, which PyTorch calls the same."""

    def names(self) -> tuple[str, ...]:
        """Those that the driver shows to this process."""
        import torch

        return tuple(f"cuda:{n}" for n in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()

    def title(self, name: str) -> str:
        """For example NVIDIA H100 80GB HBM3."""
        import torch

        return torch.cuda.get_device_name(name)

    def device(self, name: str) -> Device:
        """Memory as the driver tells it; without its library as the runtime does."""
        import torch

        cuda: Any = torch.cuda
        total = int(cuda.get_device_properties(name).total_memory)
        used = _told(lambda: torch.cuda.device_memory_used(name))
        free = _told(lambda: int(torch.cuda.mem_get_info(name)[0])) if used is None else max(total - used, 0)
        fast = bool(torch.version.hip) or torch.cuda.get_device_capability(name) >= VOLTA
        return Device(name, self.title(name), total, free or 0, None, self.half(name), fast, True)

    def load(self, name: str) -> float | None:
        """As the driver's library tells it."""
        import torch

        return _told(lambda: torch.cuda.utilization(name) / 100)

    def half(self, name: str) -> str:
        """Bfloat16 from NVIDIA's Ampere on and on AMD's, float16 on what is older."""
        import torch

        modern = bool(torch.version.hip) or torch.cuda.get_device_capability(name) >= AMPERE
        return "bfloat16" if modern else "float16"

    def double(self, name: str) -> bool:
        """They have."""
        return True

    def same_operators(self, name: str) -> bool:
        """They do, recurrent layers aside."""
        return True

    def synchronize(self, name: str) -> None:
        """Wait for all streams."""
        import torch

        torch.cuda.synchronize(name)


class MpsBackend:
    """The graphics unit of an Apple computer. It shares the memory, has no float64, and half precision overflows."""

    def names(self) -> tuple[str, ...]:
        """One, where PyTorch was built for it."""
        import torch

        return ("mps",) if torch.backends.mps.is_available() else ()

    def title(self, name: str) -> str:
        """By the processor that it is a part of."""
        return " ".join(filter(None, ("Apple", platform.machine())))

    def device(self, name: str) -> Device:
        """Memory as Metal recommends it at most, less what this process has."""
        import torch

        total = _told(torch.mps.recommended_max_memory) or 0
        held = _told(torch.mps.driver_allocated_memory) or 0
        return Device(name, self.title(name), total, max(total - held, 0), None, self.half(name), False, False)

    def load(self, name: str) -> float | None:
        """Metal does not tell."""

    def half(self, name: str) -> str:
        """None is safe for training."""
        return ""

    def double(self, name: str) -> bool:
        """It has none."""
        return False

    def same_operators(self, name: str) -> bool:
        """Linear layers are an operator of their own there."""
        return False

    def synchronize(self, name: str) -> None:
        """Wait for its stream."""
        import torch

        torch.mps.synchronize()


class XpuBackend:
    """Intel's devices."""

    def names(self) -> tuple[str, ...]:
        """Those that the driver shows to this process."""
        import torch

        return tuple(f"xpu:{n}" for n in range(torch.xpu.device_count())) if torch.xpu.is_available() else ()

    def title(self, name: str) -> str:
        """For example Intel(R) Arc(TM) A770 Graphics."""
        import torch

        return torch.xpu.get_device_name(name)

    def device(self, name: str) -> Device:
        """Memory as the runtime tells it; not every driver does."""
        import torch

        xpu: Any = torch.xpu
        total = int(xpu.get_device_properties(name).total_memory)
        free = _told(lambda: int(torch.xpu.mem_get_info(name)[0])) or 0
        return Device(name, self.title(name), total, free, None, self.half(name), True, self.double(name))

    def load(self, name: str) -> float | None:
        """PyTorch does not tell."""

    def half(self, name: str) -> str:
        """All that PyTorch supports have it."""
        return "bfloat16"

    def double(self, name: str) -> bool:
        """Data centre devices have."""
        import torch

        xpu: Any = torch.xpu
        return bool(xpu.get_device_properties(name).has_fp64)

    def same_operators(self, name: str) -> bool:
        """Nobody has looked."""
        return False

    def synchronize(self, name: str) -> None:
        """Wait for all streams."""
        import torch

        torch.xpu.synchronize(name)


BACKENDS: dict[str, Backend] = {CPU: CpuBackend(), "cuda": CudaBackend(), "mps": MpsBackend(), "xpu": XpuBackend()}
"""By what stands before the number in a name."""


def kind_of(device: str) -> str:
    """What sort of device a name means: "cuda" of "cuda:1"."""
    return device.partition(":")[0]


def backend_of(device: str) -> Backend:
    """What knows of a device; of a kind that nobody knows (meta) what knows of the CPU."""
    return BACKENDS.get(kind_of(device), BACKENDS[CPU])


def available() -> tuple[str, ...]:
    """Names of the devices, the CPU first: "cpu", "cuda:0", "mps"."""
    return tuple(name for backend in BACKENDS.values() for name in backend.names())


def list_devices() -> tuple[Device, ...]:
    """All devices as they stand now, the CPU first."""
    found = ((backend, name) for backend in BACKENDS.values() for name in backend.names())
    return tuple(replace(backend.device(name), load=backend.load(name)) for backend, name in found)


def device_facts(device: str) -> Device:
    """One of them as it stands now, without its load: that would take a moment."""
    return backend_of(device).device(device)


def best_device() -> str:
    """The accelerator with the most free memory, the CPU where there is none."""
    others = [device_facts(name) for name in available() if name != CPU]
    return max(others, key=lambda one: one.free).name if others else CPU


def _told(ask: Callable[[], Read]) -> Read | None:
    """What a driver or the system says; None where it cannot, whatever it raises then."""
    try:
        return ask()
    except Exception:
        return None


def _number_in(path: Path) -> int:
    """The number in a file, 0 where there is none ("max": no limit)."""
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return 0


def _unused_cache(path: Path) -> int:
    """Bytes of files that were read and that the system drops where memory is wanted."""
    with suppress(OSError, ValueError):
        lines = path.read_text(encoding="ascii").splitlines()
        return next((int(one.split()[1]) for one in lines if one.startswith("inactive_file ")), 0)
    return 0
