"""The cycles of a program on the tiled engine, found without its data."""

from .model import MemoryTiming, Times, times

__all__ = ["MemoryTiming", "Times", "times"]
