"""Devices as the drivers tell of them, with stand-ins for what torch asks CUDA, Metal and Intel's runtime by."""

from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from secateur.engine.machine import device_list
from secateur.engine.machine.device_list import CpuBackend, available, best_device, device_facts, list_devices
from secateur.engine.machine.devices import device_named, title_of, wide_device

GIGABYTE = 1 << 30


def refuses(*_: object) -> None:
    raise RuntimeError("this driver does not tell")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Two CUDA devices: one with tensor cores for bfloat16 and a library that tells all, an older one without it."""
    facts = {
        "cuda:0": {"name": "New", "total": 80 * GIGABYTE, "used": 70 * GIGABYTE, "load": 93, "capability": (9, 0)},
        "cuda:1": {"name": "Old", "total": 24 * GIGABYTE, "free": 20 * GIGABYTE, "capability": (7, 5)},
    }

    def told(key: str, needed: str = ""):
        return lambda name: facts[name][key] if key in facts[name] else refuses()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", told("name"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", told("capability"))
    monkeypatch.setattr(torch.cuda, "device_memory_used", told("used"))
    monkeypatch.setattr(torch.cuda, "utilization", told("load"))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda name: SimpleNamespace(total_memory=facts[name]["total"])
    )
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (facts[name]["free"], facts[name]["total"]))
    return facts


def test_memory_load_and_precision_of_cuda_devices_are_those_of_their_driver(cuda: dict[str, dict[str, Any]]):
    cpu, new, old = list_devices()
    assert (cpu.name, new.name, old.name) == ("cpu", "cuda:0", "cuda:1") == available()
    assert (new.title, new.total, new.free, new.load) == ("New", 80 * GIGABYTE, 10 * GIGABYTE, 0.93)
    assert (old.title, old.total, old.free, old.load) == ("Old", 24 * GIGABYTE, 20 * GIGABYTE, None)
    assert (new.half, old.half) == ("bfloat16", "float16") and new.fast and old.fast and new.double
    assert title_of("cuda:1") == "Old, cuda:1" and title_of("cpu") == "cpu"


def test_auto_is_the_accelerator_with_the_most_free_memory(cuda: dict[str, dict[str, Any]]):
    assert device_named("auto") == "cuda:1" and device_named("cuda") == "cuda:0"
    cuda["cuda:0"]["used"] = 0
    assert best_device() == "cuda:0"


def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_list, "BACKENDS", {"cpu": CpuBackend()})
    assert device_named("auto") == "cpu"


def test_an_apple_computer_has_no_float64_and_no_safe_mixed_precision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GIGABYTE)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2 * GIGABYTE)
    found = device_facts("mps")
    assert (found.total, found.free, found.load) == (12 * GIGABYTE, 10 * GIGABYTE, None)
    assert found.half == "" and not found.double and "mps" in available()
    assert str(wide_device(torch.device("mps"))) == "cpu" and str(wide_device(torch.device("cuda:1"))) == "cuda:1"


def test_an_intel_device_says_itself_whether_it_has_float64(monkeypatch: pytest.MonkeyPatch):
    properties = SimpleNamespace(total_memory=16 * GIGABYTE, has_fp64=False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    monkeypatch.setattr(torch.xpu, "device_count", lambda: 1)
    monkeypatch.setattr(torch.xpu, "get_device_name", lambda _name: "Arc")
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda _name: properties)
    monkeypatch.setattr(torch.xpu, "mem_get_info", refuses)
    found = device_facts("xpu:0")
    assert (found.title, found.total, found.free, found.half, found.double) == (
        "Arc",
        16 * GIGABYTE,
        0,
        "bfloat16",
        False,
    )


def test_nothing_waits_for_a_load_that_it_does_not_ask_for(
    monkeypatch: pytest.MonkeyPatch, cuda: dict[str, dict[str, Any]]
):
    monkeypatch.setattr(psutil, "cpu_percent", lambda _interval: pytest.fail("it was measured"))
    monkeypatch.setattr(torch.cuda, "utilization", lambda _name: pytest.fail("it was asked for"))
    assert device_facts("cpu").load is None and device_facts("cuda:0").load is None
    assert device_named("auto") == "cuda:1"


def test_memory_of_the_cpu_is_what_this_process_may_take(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(psutil, "cpu_percent", lambda _interval: 25.0)
    monkeypatch.setattr(device_list, "GROUP", tmp_path)
    whole = list_devices()[0]
    assert whole.total == psutil.virtual_memory().total and whole.load == 0.25
    assert 0 < whole.free <= whole.total
    (tmp_path / "memory.max").write_text("max\n")
    assert device_facts("cpu").total == whole.total
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert (device_facts("cpu").total, device_facts("cpu").free) == (3000000, 2000000)
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 500000\nactive_file 100000\n")
    assert device_facts("cpu").free == 2500000, "what was only read from files is dropped"
