"""QKeras models on Keras 3 (``.keras`` archives): variables that are numbered there get the names
that they have in HDF5 files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...identifiers import identifier
from ...ir import Graph
from ...numeric import QType
from ..keras.architecture import KerasLayer, read_network
from ..keras.archive import Archive, Variables
from ..keras.flow import Flow
from ..keras.lower import lower
from .files import Weights
from .layers import check_supported, steps_of

Names = tuple[tuple[str, str | None], ...]

_BIAS = ("bias", "use_bias")
_KERNEL: Names = (("kernel", None), _BIAS)
_DEPTHWISE: Names = (("depthwise_kernel", None), _BIAS)
_SEPARABLE: Names = (("depthwise_kernel", None), ("pointwise_kernel", None), _BIAS)
_STATISTICS: Names = (
    ("gamma", "scale"), ("beta", "center"), ("moving_mean", None), ("moving_variance", None),
)  # fmt: skip
_INSIDE: dict[str, Names] = {"batchnorm": _STATISTICS}

_WEIGHTS: dict[str, dict[str, Names]] = {
    "QConv1D": {"": _KERNEL},
    "QConv2D": {"": _KERNEL},
    "QDense": {"": _KERNEL},
    "QDepthwiseConv2D": {"": _DEPTHWISE},
    "QSeparableConv1D": {"": _SEPARABLE},
    "QSeparableConv2D": {"": _SEPARABLE},
    "QConv2DBatchnorm": {"": _KERNEL} | _INSIDE,
    "QDenseBatchnorm": {"": _KERNEL} | _INSIDE,
    "QDepthwiseConv2DBatchnorm": {"": _DEPTHWISE} | _INSIDE,
    "BatchNormalization": {"": _STATISTICS},
    "QBatchNormalization": {"": _STATISTICS},
}
"""A layer's weights in the order of its variables, by where these are in it, and the field without
which one is not there."""


def is_qkeras(config: Any) -> bool:
    """Whether an archive's configuration has layers of QKeras."""
    return '"qkeras' in json.dumps(config)


def load_archive(path: Path, archive: Archive, input_type: QType | None) -> Graph:
    """Import a QKeras model that Keras 3 saved; ``input_type`` as of load_qkeras.

    Raises UserError naming the layer where something is damaged or unsupported.
    """
    network = read_network(archive.config, check_supported, keras=3)
    flow = Flow.of(
        network,
        lambda layer: steps_of(layer, _named(layer, archive.variables(layer.place))),
    )
    name = identifier(path.stem)
    return lower(name, network.inputs, flow, input_type)


def _named(layer: KerasLayer, variables: Variables) -> Weights:
    """A layer's weights by name. Raises UserError where there are more or fewer of them."""
    result: Weights = {}
    for place, all_names in _WEIGHTS.get(layer.class_name, {"": ()}).items():
        # A number alone is a count of the steps of training.
        arrays = [array for array in variables.get(place, []) if array.ndim]
        names = [name for name, key in all_names if key is None or layer.config.get(key, True)]
        if len(arrays) != len(names):
            wanted = ", ".join(names) or "none"
            where = f" in {place}" if place else ""
            raise layer.error(
                f"has {len(arrays)} variables{where}, its configuration says {wanted}",
                "the file is damaged: save it again",
            )
        result |= dict(zip(names, arrays, strict=True))
    return result
