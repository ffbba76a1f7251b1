"""The dataflow architecture: a unit for every layer, connected by streams."""

from .lower import lower_unit
from .top import DataflowTop

__all__ = ["DataflowTop", "lower_unit"]
