"""What all Keras models have in common: their layers as a graph.

``architecture`` finds the layers of a configuration and their order; an importer turns each into
``steps``; ``flow`` connects them, ``lower`` makes the graph. ``affine`` is the exact per-channel
arithmetic between accumulator and quantizer, ``functions`` are activations as staircases.
"""

from __future__ import annotations

import re


def identifier(stem: str) -> str:
    """A file's stem as a valid identifier."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return name if name and not name[0].isdigit() else f"m_{name}"
