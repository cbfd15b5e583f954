"""The link to the engine process: one thread that sends calls and brings events as Qt signals."""

from .link import EngineLink

__all__ = ["EngineLink"]
