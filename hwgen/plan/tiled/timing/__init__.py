"""The cycles of a program on the tiled engine, found without its data."""

from .model import Memory, Times, times

__all__ = ["Memory", "Times", "times"]
