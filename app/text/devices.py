"""Devices in words."""

from PySide6.QtCore import QCoreApplication

from secateur.engine.device_list import Device

from .format import percent, size


def device_called(device: Device) -> str:
    """For example cuda:0, NVIDIA H100 80GB HBM3."""
    return f"{device.name}, {device.title}" if device.title else device.name


def device_facts(device: Device) -> str:
    """Memory and load as they are now, and the precision that serves there."""
    parts = [say("memory unknown")]
    if device.total:
        parts = [say("{free} free of {total}").format(free=size(device.free), total=size(device.total))]
    if device.load is not None:
        parts.append(say("{share} busy").format(share=percent(device.load, 0)))
    if not device.half:
        parts.append(say("float32 only"))
    elif device.fast:
        parts.append(say("mixed precision in {type}").format(type=device.half))
    return " \u00b7 ".join(parts)


def say(text: str) -> str:
    """A text of this file in the user's language."""
    return QCoreApplication.translate("Devices", text)
