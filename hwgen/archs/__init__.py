"""Architectures: everything that is one architecture's own, from its options to its report.

An architecture is a folder with one object (see ``protocol``), and its entry here.
"""

from __future__ import annotations

from .dataflow.architecture import Dataflow
from .registry import ARCHITECTURES
from .tiled.architecture import Tiled

ARCHITECTURES.update({entry.name: entry for entry in (Dataflow(), Tiled())})
