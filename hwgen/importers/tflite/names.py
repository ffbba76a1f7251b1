"""What layers of a file are called: the names that its author gave them, not its operators'.

The converter leaves a tensor the names of all that it fused into it, parted by semicolons, as paths
MODEL/LAYER/OPERATION; it may add a digit, and names of layers that share a constant.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from .file import TfModel, TfOperator

_STEMS = {
    "CONV_2D": ("conv2d", "conv1d"),
    "DEPTHWISE_CONV_2D": ("depthwise",),
    "FULLY_CONNECTED": ("matmul",),
    "AVERAGE_POOL_2D": ("avgpool",),
    "CONCATENATION": ("concat",),
    "MAX_POOL_2D": ("maxpool",),
}
"""How the operation that an operator was is called in a path; of others, as the operator is."""
_NAMELESS = re.compile(r"^(StatefulPartitionedCall|PartitionedCall|Identity)?[:_\d]*$")
"""What the converter calls tensors that have no name."""

_SERVED = re.compile(r"^serving_default_(.+?)(:\d+)?$")
"""What the converter makes of the name of an input."""


def layer_name(model: TfModel, op: TfOperator) -> str:
    """The layer that an operator carries out; the operator's own name where the file has none."""
    stems = _STEMS.get(op.kind, (op.kind.lower().replace("_", ""),))
    named = [model.tensors[index].name for index in (*op.inputs[1:2], *op.outputs) if index >= 0]
    paths = [[part.split("/") for part in name.split(";")] for name in named]
    for parts in paths:
        layers = [_layer(path) for path in parts]
        done = [
            layer
            for layer, path in zip(layers, parts, strict=True)
            if layer and any(_is_one_of(stems, word) for word in path[1:])
        ]
        if done:
            # The operator's own layer is named most often, and last.
            counts = Counter(layers)
            return max(reversed(done), key=lambda layer: counts[layer])
    own = [layer for path in paths[-1] if (layer := _layer(path))] if op.outputs else []
    return own[0] if own else op.name


def end_name(model: TfModel, index: int) -> str | None:
    """What the file calls an input or an output: in its signature, else as a tensor; None where it
    has no name."""
    if name := model.signed.get(index):
        return name
    name = _SERVED.sub(r"\1", model.tensors[index].name.split(";")[0])
    return _layer(name.split("/")) or None


def _is_one_of(stems: tuple[str, ...], word: str) -> bool:
    return any(re.fullmatch(rf"{stem}[_\d]*", word.lower()) for stem in stems)


def _layer(path: list[str]) -> str:
    """What stands before the first operation of a path, empty where it names nothing."""
    if len(path) == 1:
        return "" if _NAMELESS.match(path[0]) else path[0]
    found = (before for before, word in pairwise(path) if word[:1].isupper())
    return next(found, path[-2])
